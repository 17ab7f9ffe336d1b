"""The command line: its errors in one line each, what it writes, and a short real run."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

import pytest

from benchmarks import broker, cli, native, plots, results, run, scenarios, servers, tables

RUN = ["--scenarios", "http"]


@pytest.fixture
def line(capsys, load):
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
        (["--scenarios", "htp"], "unknown scenario 'htp'; known are echo-small, echo-one"),
        (["--scenarios", ""], "--scenarios: none was named"),
        ([*RUN, "--servers", "nginx"], "--servers: unknown server 'nginx'; known are asgiws"),
        ([*RUN, "--servers", ""], "--servers: none was named"),
        ([*RUN, "--servers", "asgiws,asgiws"], "asgiws is there twice"),
        ([*RUN, "--rounds", "0"], "--rounds: at least 1"),
        ([*RUN, "--rounds", "x"], "argument --rounds: invalid int value: 'x'"),
        ([*RUN, "--seconds", "0"], "--seconds, --warm-up: a time in seconds"),
        ([*RUN, "--servers", "", "--asgiws", "before"], "--asgiws: NAME=DIR"),
        ([*RUN, "--servers", "", "--asgiws", "before=/"], "before: there is no asgiws in /"),
        ([*RUN, "--servers", "", "--add", "x"], "--add: NAME=COMMAND"),
        ([*RUN, "--servers", "", "--add", "x=y"], "--add: the command of x has no {port}"),
        ([*RUN, "--servers", "", "--add", "x=/no/y {port}"], "there is no program '/no/y'"),
        ([*RUN, "--servers", "", "--asgiws-also", "/bin"], "--asgiws-also: VERSION=DIR"),
        ([*RUN, "--servers", "asgiws", "--asgiws-also", "3.13=/no"], "/no/python cannot be run"),
        (["--from", "/no/such"], "/no/such holds no results of a run"),
        (["--no-such"], "unrecognized arguments: --no-such"),
    ],
)
def test_what_cannot_be_meant_is_one_line(line, argv, message):
    code, said = line(*argv)
    assert code == cli.CANNOT_RUN
    assert said.startswith("benchmarks: ")
    assert message in said


def test_a_peer_that_is_not_there_is_left_out(capsys, load):
    code = cli.main([*RUN, "--servers", "granian", "--peers-bin", "/no"])
    assert code == cli.CANNOT_RUN
    assert capsys.readouterr().err.splitlines() == [
        "granian is left out: there is no granian in /no",
        "benchmarks: no server is left",
    ]


def test_without_the_headers_of_openssl_there_is_no_tls(capsys, load, monkeypatch, tmp_path):
    (tmp_path / "load.c").write_text("#include <openssl/no_such.h>\n")
    for name in ("tls.c", "tls.h"):
        (tmp_path / name).write_text("")
    program = native.load(tls=False)
    monkeypatch.setattr(native, "_SOURCES", tmp_path)
    monkeypatch.setattr(native, "program", lambda name: program)
    code = cli.main(["--servers", "asgiws", "--scenarios", "https,tls-connect"])
    assert code == cli.CANNOT_RUN
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("https, tls-connect: left out, for there is no TLS here: load.c cannot")
    assert first.endswith("TLS needs OpenSSL's headers (Debian: libssl-dev)")
    assert last == "benchmarks: no scenario is left"


def test_without_a_compiler_there_is_one_plain_line(line, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    code, said = line(*RUN, "--servers", "asgiws")
    assert code == cli.CANNOT_RUN
    assert said == "benchmarks: a C compiler is needed, and there is no no-such-compiler here"


def test_a_program_that_does_not_compile_is_one_line(load, monkeypatch, tmp_path):
    (tmp_path / "broken.c").write_text("int main(void) { return nothing; }\n")
    monkeypatch.setattr(native, "_SOURCES", tmp_path)
    with pytest.raises(native.NativeError, match=r"broken\.c cannot be compiled: .*\d+") as caught:
        native.program("broken")
    assert "\n" not in str(caught.value)


def test_plots_to_the_docs_need_matplotlib(line, monkeypatch):
    monkeypatch.setattr(plots, "are_possible", lambda: False)
    code, said = line(*RUN, "--write-docs")
    assert code == cli.CANNOT_RUN
    assert "pip install 'asgiws[bench]'" in said


def test_saved_results_are_shown_again(tmp_path, capsys, make_results):
    path = tmp_path / "results.json"
    make_results({"http": {"asgiws": [4.0], "granian": [8.0]}}).write(path)
    assert cli.main(["--from", str(path), "--plots", str(tmp_path)]) == cli.DONE
    said = capsys.readouterr().out
    assert "0.50 granian" in said
    assert "Targets of asgiws: 1 of 1 met" in said


def test_an_asgiws_that_failed_is_the_exit_code(tmp_path, make_results):
    path = tmp_path / "results.json"
    make_results({"http": {"asgiws": ["the server ended"], "granian": [8.0]}}).write(path)
    assert cli.main(["--from", str(path), "--plots", str(tmp_path)]) == cli.FAILED
    make_results({"http": {"asgiws": [1.0], "granian": ["the server ended"]}}).write(path)
    assert cli.main(["--from", str(path), "--plots", str(tmp_path)]) == cli.DONE


def test_the_scenarios_are_listed(capsys):
    assert cli.main(["--list"]) == cli.DONE
    assert "echo-pipelined" in capsys.readouterr().out


def test_no_option_of_asgiws_and_no_other_checkout_comes_from_our_environment():
    server = servers.Server("x", "own", ("x",), {"ASGIWS_EXTENSIONS": "no"})
    made = servers.environment(server, {"ASGIWS_PORT": "1", "PYTHONPATH": "/here", "HOME": "/h"})
    assert made == {"HOME": "/h", "PYTHONPATH": str(servers.SERVED), "ASGIWS_EXTENSIONS": "no"}


BROKEN = """
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    connection, _ = listener.accept()
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 4\\r\\n\\r\\nnope")
    connection.close()
"""


@pytest.fixture
def scripts(load):
    """The folder of asgiws' program."""
    try:
        return os.path.dirname(servers.asgiws("asgiws", None).argv[0])
    except servers.ServerError as error:
        pytest.skip(str(error))


def test_a_wrong_answer_under_load_is_an_error(load, tmp_path):
    (tmp_path / "broken.py").write_text(BROKEN)
    server = servers.custom(f"broken={sys.executable} {tmp_path / 'broken.py'} {{port}}")
    scenario = scenarios.SCENARIOS["http"]
    plan = run.Plan([scenario], [server], 1, 0.2, 0, load)
    with pytest.raises(servers.ServerError, match="a body that is not the one expected"):
        run.measure(scenario, server, plan, tmp_path)


def short(tmp_path, *argv: str) -> tuple[int, results.Results]:
    path = tmp_path / "results.json"
    places = ["--json", str(path), "--plots", str(tmp_path)]
    code = cli.main(["--rounds", "1", "--seconds", "0.2", "--warm-up", "0", *places, *argv])
    return code, results.read(path)


@pytest.mark.timeout(180)
def test_a_short_real_run(tmp_path, capsys, scripts):
    broken = tmp_path / "broken.py"
    broken.write_text(BROKEN)
    more = ["--asgiws", f"other={scripts}", "--add", f"broken={sys.executable} {broken} {{port}}"]
    chosen = ["--servers", "asgiws,floor", "--scenarios", "echo-deflate,http"]
    code, found = short(tmp_path, *chosen, *more)
    captured = capsys.readouterr()
    assert code == cli.DONE, captured.out + captured.err
    assert found.scenarios() == ["echo-deflate", "http"]
    assert found.of_kind("own") == ["asgiws", "other"]
    for scenario in found.scenarios():
        for server in found.of_kind("own"):
            assert found.values(scenario, server, "messages")[0] > 0
    assert found.values("http", "floor", "messages")[0] > 0
    assert not found.values("echo-deflate", "floor", "messages")
    assert {one.server for one in found.left_out} == {"broken"}
    assert "broken is left out of http: the lifespan was not started; the body" in captured.err
    assert "compiled" in found.servers["asgiws"].versions


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("scripts")
def test_every_kind_of_load_is_right_against_asgiws(tmp_path, capsys):
    kinds = "scaling-10,echo-64k,broadcast,connect,upload,download,push"
    code, found = short(tmp_path, "--servers", "asgiws", "--scenarios", kinds)
    assert code == cli.DONE, capsys.readouterr().out
    assert all(one.values["messages"] > 0 for one in found.measurements)


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("scripts", "openssl")
def test_every_kind_of_load_over_tls_is_right_against_asgiws(tmp_path, capsys):
    kinds = "wss-64k,https,tls-connect,tls-resume,wss-connect"
    code, found = short(tmp_path, "--servers", "asgiws", "--scenarios", kinds)
    assert code == cli.DONE, capsys.readouterr().out
    assert found.scenarios() == kinds.split(",")
    assert all(one.values["messages"] > 0 for one in found.measurements)
    assert found.values("tls-resume", "asgiws", "resumed")[0] > 0


#: A node of a chat room: what a client says goes to Redis, and what comes from there to all clients, but for
#: each seventh message if it is told to lose some.
ROOM = """
import asyncio, os, sys
from http import HTTPStatus
from urllib.parse import urlsplit
from websockets.asyncio.server import broadcast, serve

async def main():
    redis = urlsplit(os.environ["REDIS_URL"])
    incoming, subscribe = await asyncio.open_connection(redis.hostname, redis.port)
    _, outgoing = await asyncio.open_connection(redis.hostname, redis.port)
    subscribe.write(b"SUBSCRIBE room\\r\\n")
    clients = set()

    async def serve_client(client):
        clients.add(client)
        async for text in client:
            data = text.encode()
            head = b"*3\\r\\n$7\\r\\nPUBLISH\\r\\n$4\\r\\nroom\\r\\n$%d\\r\\n" % len(data)
            outgoing.write(head + data + b"\\r\\n")

    def answer(connection, request):
        if "Upgrade" not in request.headers:
            return connection.respond(HTTPStatus.OK, "")

    async with serve(serve_client, "127.0.0.1", int(sys.argv[1]), process_request=answer):
        count = 0
        while line := await incoming.readline():
            if line.startswith(b"$"):
                data = (await incoming.readexactly(int(line[1:]) + 2))[:-2]
                if data.startswith(b"0"):
                    count += 1
                    if not (count % 7 == 0 and "lose" in sys.argv):
                        broadcast(clients, data.decode())

asyncio.run(main())
"""


def over_two_nodes(load, tmp_path, *arguments: str) -> dict[str, float]:
    program = broker.find()
    if program is None:
        pytest.skip("there is no redis-server")
    (tmp_path / "room.py").write_text(ROOM)
    argv = (sys.executable, str(tmp_path / "room.py"), "{port}", *arguments)
    server = servers.Server("room", "peer", argv, room="room")
    scenario = replace(scenarios.SCENARIOS["topic-hosts"], connections=9)
    plan = run.Plan([scenario], [server], 1, 2.5, 0, load, redis=program)
    assert plan.taking_part(scenario) == [server]
    return run.measure(scenario, server, plan, tmp_path)


def test_a_room_of_two_nodes_through_redis(load, tmp_path):
    values = over_two_nodes(load, tmp_path)
    assert values["messages"] > 9
    assert values["lost"] == 0
    parts = sum(values[part] for part in tables.parts_of(3))
    assert parts == pytest.approx(values["cpu_us_per_message"], abs=0.01)
    assert all(values[part] > 0 for part in tables.parts_of(2))


def test_what_a_room_of_two_nodes_loses_is_counted(load, tmp_path):
    assert over_two_nodes(load, tmp_path, "lose")["lost"] >= 4


def test_without_redis_there_is_no_scenario_of_several_nodes(capsys, load, monkeypatch):
    monkeypatch.setenv("PATH", "/no")
    monkeypatch.setattr(native, "compiler", lambda: ["cc"])
    monkeypatch.setattr(native, "compiler_version", lambda: "cc 1")
    monkeypatch.setattr(native, "load", lambda tls: load)
    code = cli.main(["--servers", "asgiws", "--scenarios", "topic-hosts"])
    assert code == cli.CANNOT_RUN
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("topic-hosts: left out, for there is no redis-server here")
    assert last == "benchmarks: no scenario is left"


def test_a_server_with_a_room_is_for_several_nodes_alone(tmp_path):
    for name in ("uvicorn", "daphne"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    room = servers.peer("channels-redis-daphne", tmp_path)
    other = servers.peer("uvicorn-sansio", tmp_path)
    for name, scenario in scenarios.SCENARIOS.items():
        assert room.takes_part(scenario) == (name == "topic-hosts"), name
        assert not (other.takes_part(scenario) and scenario.topics), name
    command = room.in_scenario(scenarios.SCENARIOS["topic-hosts"], 8001, None, "redis://r")
    assert command[0].endswith("daphne")
    assert "with_channels:over_lists" in command
    assert "redis://r" not in command
    assert servers.environment(room, {}, "redis://r")["REDIS_URL"] == "redis://r"
    assert "REDIS_URL" not in servers.environment(room, {})


def test_asgiws_has_the_redis_and_the_options_of_a_scenario_on_its_command_line():
    server = servers.Server("asgiws", "own", ("asgiws", "{app}", "--port", "{port}"))
    hosts, deaf = (scenarios.SCENARIOS[name] for name in ("topic-hosts", "topic-deaf"))
    start = ["asgiws", "applications:topic", "--port", "1"]
    assert server.in_scenario(hosts, 1, redis="redis://r") == [*start, "--pubsub", "redis://r"]
    assert server.in_scenario(deaf, 1)[:5] == [*start, "--ws-slow-consumer"]


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("scripts")
def test_topics_are_right_against_asgiws(tmp_path, capsys):
    kinds = "topic,topic-deaf" + (",topic-hosts" if broker.find() else "")
    code, found = short(tmp_path, "--servers", "asgiws", "--scenarios", kinds)
    assert code == cli.DONE, capsys.readouterr().out
    assert found.scenarios() == kinds.split(",")
    assert found.values("topic-deaf", "asgiws", "p99_ratio")[0] > 0
    assert found.values("topic-deaf", "asgiws", "behind_kb")[0] > 128
    assert found.values("topic-deaf", "asgiws", "lost") == [0]


@pytest.mark.usefixtures("scripts")
def test_a_server_that_ends_the_client_that_does_not_read_is_an_error(load, tmp_path):
    options = ("--ws-slow-consumer", "abort", "--ws-max-outbound", "64KiB")
    scenario = replace(scenarios.SCENARIOS["topic-deaf"], connections=10, options=options)
    server = servers.asgiws("asgiws", None)
    plan = run.Plan([scenario], [server], 1, 9, 0, load)
    with pytest.raises(servers.ServerError, match="ended the connection that does not read"):
        run.measure(scenario, server, plan, tmp_path)
