"""The command line: its errors in one line each, its exit codes, what it writes."""

from __future__ import annotations

import json
import sys

import pytest

from conformance import cli, docs, results, run, servers
from conformance.client import Client
from conformance.results import CaseResult, Run

SERVER = f"{sys.executable} -c pass {{port}}"


@pytest.fixture
def line(capsys):
    """The exit code of a command line, and the one line that it wrote to the error stream."""

    def check(*argv: str) -> tuple[int, str]:
        try:
            code = cli.main(argv)
        except SystemExit as ended:
            code = ended.code  # type: ignore[assignment]
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1, captured.err
        return code, captured.err.strip()

    return check


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--cases", "8.*", "--server", SERVER], "no case of the suite fits '8.*'"),
        (["--server", "x"], "--server: the command has no {port}, where the port goes"),
        (["--server", SERVER, "--pure"], "--http, --loop, --deflate and --pure are asgiws' own"),
        (
            ["--server", SERVER, "--http", "h11"],
            "--http, --loop, --deflate and --pure are asgiws' own",
        ),
        (["--server", SERVER, "--repeat", "0"], "--repeat: at least 1"),
        (["--repeat", "many"], "argument --repeat: invalid int value: 'many'"),
        (["--server", SERVER, "--compare", "gunicorn"], "unknown server 'gunicorn'; known are"),
        (["--server", SERVER, "--compare", "daphne", "--peers-bin", "/"], "daphne is not in /"),
        (["--peers-only"], "--peers-only: --compare names the peers"),
        (["--peers-only", "--compare", "daphne", "--pure"], "--peers-only: no other server is"),
        (["--loop", "trio"], "argument --loop: invalid choice: 'trio'"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["--from", "missing.json"], "missing.json is no summary of a run"),
        (["--server", SERVER, "--expectations", "missing.json"], "missing.json: "),
    ],
)
def test_what_cannot_be_run_is_said_in_one_line(line, argv, message):
    code, said = line(*argv)
    assert code == cli.CANNOT_RUN
    assert said.startswith(f"conformance: {message}")


@pytest.fixture
def made_up(monkeypatch, tmp_path):
    """Runs that give the verdicts in the dict, by server, and OK elsewhere; the output folder."""
    verdicts: dict[str, dict[str, CaseResult]] = {}
    good = CaseResult("OK", "OK", 1000, 1)

    def one_pass(server, client, cases, folder, progress, *, use_tls):
        if server.name == "broken":
            raise run.RunError("the server ended with exit code 3")
        return Run({case: verdicts.get(server.name, {}).get(case, good) for case in cases})

    monkeypatch.setattr(cli.run, "run", one_pass)
    monkeypatch.setattr(cli.clients, "choose", lambda docker, say: Client("made up", ("x",)))
    monkeypatch.setattr(
        servers,
        "peer",
        lambda name, folder, tls: servers.Server(name, (sys.executable, "{port}")),
    )
    monkeypatch.setattr(
        servers, "asgiws", lambda **options: servers.Server("asgiws", (sys.executable, "{port}"))
    )
    return verdicts, tmp_path / "out"


def test_everything_as_expected(made_up, capsys):
    _, out = made_up
    assert cli.main(["--cases", "1,3", "--output", str(out)]) == cli.EXPECTED
    assert "Everything as expected." in capsys.readouterr().out
    (server,) = results.read_summary(out / "summary.json").servers
    assert (server.name, server.judged, len(server.cases)) == ("asgiws", True, 23)


@pytest.mark.parametrize(
    ("case", "verdict", "message"),
    [
        ("3.2", CaseResult("NON-STRICT", "OK", 1002, 1), "behavior NON-STRICT, expected OK: 3.2"),
        ("3.2", CaseResult("OK", "OK", None, 1), "close code none, expected one: 3.2"),
        ("7.1.6", CaseResult("OK", "INFORMATIONAL", 1000, 1), "better than expected"),
    ],
)
def test_worse_and_better_are_not_as_expected(made_up, capsys, case, verdict, message):
    verdicts, out = made_up
    verdicts["asgiws"] = {case: verdict}
    assert cli.main(["--cases", case, "--output", str(out)]) == cli.DEVIATES
    assert message in capsys.readouterr().out
    content = json.loads((out / "summary.json").read_text())
    assert [one["case"] for one in content["deviations"]["asgiws"]] == [case]


def test_peers_are_shown_but_not_judged(made_up, capsys):
    verdicts, out = made_up
    verdicts["daphne"] = {"3.2": CaseResult("NON-STRICT", "OK", None, 1)}
    argv = ["--cases", "3", "--compare", "daphne", "--output", str(out)]
    assert cli.main(argv) == cli.EXPECTED
    said = capsys.readouterr().out
    assert "NON-STRICT: 3.2" in said
    assert "7/7, - s  6/7, - s" in said


def test_peers_alone(made_up):
    verdicts, out = made_up
    verdicts["daphne"] = {"3.2": CaseResult("FAILED", "OK", None, 1)}
    argv = ["--cases", "3", "--compare", "daphne", "--peers-only", "--output", str(out)]
    assert cli.main(argv) == cli.EXPECTED
    (server,) = results.read_summary(out / "summary.json").servers
    assert (server.name, server.judged) == ("daphne", False)


def test_a_server_that_cannot_be_run_does_not_stop_the_others(made_up, capsys):
    _, out = made_up
    argv = ["--cases", "3", "--compare", "broken,daphne", "--output", str(out)]
    assert cli.main(argv) == cli.CANNOT_RUN
    captured = capsys.readouterr()
    assert "conformance: broken: the server ended with exit code 3\n" in captured.err
    summary = results.read_summary(out / "summary.json")
    assert [one.name for one in summary.servers] == ["asgiws", "daphne"]


def test_the_exit_code_of_nothing_that_ran(made_up, monkeypatch, tmp_path):
    _, out = made_up
    broken = servers.Server("broken", (sys.executable, "{port}"))
    monkeypatch.setattr(servers, "custom", lambda command, tls: broken)
    assert cli.main(["--server", SERVER, "--output", str(out)]) == cli.CANNOT_RUN
    assert not out.exists()


def test_a_name_twice_is_an_error(made_up, line):
    assert line("--compare", "daphne,daphne") == (
        cli.CANNOT_RUN,
        "conformance: --compare: daphne is there twice",
    )


def test_the_docs_from_earlier_results(made_up, monkeypatch, tmp_path, capsys):
    _, out = made_up
    page = tmp_path / "conformance.md"
    page.write_text(f"{docs.BEGIN}\n{docs.END}\n")
    monkeypatch.setattr(docs, "PAGE", page)
    argv = ["--cases", "3", "--repeat", "2", "--compare", "daphne", "--output", str(out)]
    assert cli.main(argv) == cli.EXPECTED
    assert cli.main(["--from", str(out / "summary.json"), "--write-docs"]) == cli.EXPECTED
    assert "| daphne | 2 | 7 | 7 |" in page.read_text()


def test_the_same_server_from_two_runs_is_an_error(made_up, line):
    _, out = made_up
    assert cli.main(["--cases", "3", "--output", str(out)]) == cli.EXPECTED
    summary = str(out / "summary.json")
    assert line("--from", summary, "--from", summary) == (
        cli.CANNOT_RUN,
        "conformance: asgiws is in more than one of the summaries",
    )


def test_the_page_tells_of_every_option():
    page = docs.PAGE.read_text()
    for action in cli._parser()._actions:
        if action.dest != "help":
            assert f"`{action.option_strings[0]}" in page, action.option_strings


def test_prepare_only(made_up, capsys):
    assert cli.main(["--prepare"]) == cli.EXPECTED
    assert capsys.readouterr().out == "Ready: made up\n"
