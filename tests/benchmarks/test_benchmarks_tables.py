"""The tables, the plots, the progress and the block in the docs."""

from __future__ import annotations

import io

import pytest

from benchmarks import docs, plots, tables
from benchmarks.progress import Progress
from benchmarks.results import LeftOut
from benchmarks.targets import judge
from conformance.docs import write


def test_one_scenario(make_results):
    values = {"cpu_us_per_message": 5.0, "per_second": 123456.7, "p50_us": 80}
    found = make_results(
        {"echo-small": {"asgiws": [values, {**values, "cpu_us_per_message": 6.0}], "peer": [11.0]}}
    )
    head, own, peer = tables.of_scenario(found, "echo-small")
    assert head[:5] == ["server", "CPU µs/message", "to best peer", "spread", "messages/s"]
    assert own == ["asgiws", "5.50", "0.50", "18%", "123,457", "-", "80", "-", "-"]
    assert peer == ["peer", "11.00", "1.00", "-", "-", "-", "-", "-", "-"]


def test_a_server_that_failed_is_told_of(make_results):
    found = make_results({"echo-deflate": {"asgiws": [5.0, "slow"], "granian": ["no", "no"]}})
    assert [row[0] for row in tables.of_scenario(found, "echo-deflate")] == ["server", "asgiws"]
    assert tables.failures(found, "echo-deflate") == [
        "asgiws failed in 1 of 2 rounds: slow",
        "granian failed: no",
    ]


def test_overview_of_the_metric_that_a_scenario_ranks_by(make_results):
    found = make_results(
        {
            "http": {"asgiws": [4.0], "granian": [8.0], "daphne": [80.0], "floor": [1.0]},
            "idle": {"asgiws": [4.0], "granian": [100.0]},
            "scaling-10": {"asgiws": [1.0]},
        }
    )
    assert tables.overview(found, "cpu_us_per_message") == [
        ["scenario", "asgiws", "to best peer", "granian", "daphne", "floor"],
        ["http", "4.00", "0.50 granian", "8.00", "80.00", "1.00"],
    ]
    assert tables.overview(found, "kb_per_connection")[1:] == [
        ["idle", "4.00", "0.04 granian", "100.0"]
    ]


def test_two_pythons_stand_in_one_table(make_results):
    found = make_results(
        {
            "http": {"asgiws": [4.0], "granian": [8.0], "asgiws@3.13": [6.0], "weft@3.13": [5.0]},
            "connect": {"asgiws": [4.0], "floor": [1.0], "daphne": ["no"]},
        }
    )
    assert tables.overview(found, "cpu_us_per_message") == [
        ["scenario", "asgiws", "to best peer", "granian", "weft", "floor"],
        ["http, 3.11", "4.00", "0.50 granian", "8.00", "-", "-"],
        ["http, 3.13", "6.00", "1.20 weft", "-", "5.00", "-"],
        ["connect, 3.11", "4.00", "-", "-", "-", "1.00"],
    ]
    ratios = [row[2] for row in tables.of_scenario(found, "http")[1:]]
    assert ratios == ["0.50", "1.00", "1.20", "1.00"]


def test_memory_before_with_and_after(make_results):
    values = {
        "connections": 19900,
        "memory_before_kb": 20000,
        "memory_with_kb": 99600,
        "memory_after_kb": 21500,
        "kb_per_connection": 4.0,
    }
    found = make_results({"idle-20k": {"asgiws": [values], "granian": ["no"]}})
    assert tables.memory(found)[1:] == [
        ["idle-20k", "asgiws", "19,900", "20.0", "99.6", "21.5", "4.00"]
    ]


def test_scaling_by_the_connections_that_there_were(make_results):
    one, many = ({"connections": n, "cpu_us_per_message": 5.0} for n in (1, 19900))
    found = make_results({"scaling-1": {"asgiws": [one]}, "scaling-20000": {"asgiws": [many]}})
    rows = tables.scaling(found, "cpu_us_per_message", 2)
    assert rows == [["connections", "asgiws"], ["1", "5.00"], ["19,900", "5.00"]]


def test_targets(make_results):
    found = make_results({"http": {"asgiws": [7.0], "granian": [10.0]}})
    assert tables.verdicts(judge(found, "asgiws"))[1:] == [
        ["http", "CPU µs/message", "0.70", "0.95", "granian", "yes"]
    ]


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "-"), (1.234, "1.23"), (123.45, "123.5"), (12345.6, "12,346")]
)
def test_numbers(value, shown):
    assert tables.number(value, 2) == shown


def test_the_block_of_the_docs(tmp_path, make_results):
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{docs.BEGIN}\nold\n{docs.END}\nafter\n")
    found = make_results(
        {
            "http": {"asgiws": [4.0], "granian": [8.0], "freastal": [9.0]},
            "echo-deflate": {"asgiws": [4.0], "granian": ["no permessage-deflate"]},
        }
    )
    found.left_out.append(LeftOut("weft", ["https"], "an upload was lost"))
    write(docs.block(found, ["cpu"]), page, docs.BEGIN, docs.END)
    written = page.read_text()
    assert written.startswith(f"before\n{docs.BEGIN}\n")
    assert written.endswith(f"{docs.END}\nafter\n")
    assert "old" not in written
    assert "| http | 4.00 | 0.50 granian | 8.00 | 9.00 |" in written
    assert "### Targets of asgiws: 1 of 1 met" in written
    assert "![Server CPU time, µs per message](images/performance-cpu.svg)" in written
    assert "performance-throughput" not in written
    assert "- echo-deflate: granian failed: no permessage-deflate" in written
    assert "- granian (granian 1): `granian {app}`\n- freastal" in written
    assert "- freastal (freastal 1): `freastal {app}`. Not on asyncio: no lifespan" in written
    assert "### What was left out, and why\n\n- weft (https): an upload was lost\n" in written


@pytest.mark.parametrize("page", [docs.PAGE, docs.PUBSUB], ids=lambda page: page.name)
def test_our_pages_have_the_block(page):
    content = page.read_text()
    assert content.count(docs.BEGIN) == content.count(docs.END) == 1


def hosts_of(total: float, lost: float = 0) -> dict[str, float]:
    parts = {f"cpu_us_per_message_{n}": total * part for n, part in ((1, 0.5), (2, 0.4), (3, 0.1))}
    figures = {"cpu_us_per_message": total, "messages": 900, "lost": lost, "per_second": 1e4}
    return {**figures, **parts, "p50_us": 2000, "p99_us": 4500}


def test_two_nodes(make_results):
    found = make_results(
        {
            "topic-hosts": {
                "asgiws": [hosts_of(3.0)],
                "channels-redis": [hosts_of(100.0, 100), hosts_of(120.0)],
                "broadcaster": ["no"],
            }
        }
    )
    head, own, peer = tables.hosts(found, "topic-hosts")
    assert head[:3] == ["server", "CPU µs/delivery", "asgiws to it"]
    assert own == ["asgiws", "3.00", "-", "1.50", "1.20", "0.30", "10,000", "2.0 / 4.5", "0"]
    assert peer[:6] == ["channels-redis", "110.0", "0.03", "55.00", "44.00", "11.00"]
    assert peer[-1] == "100 (5.3%)"
    assert tables.hosts(make_results({"http": {"asgiws": [1.0]}}), "topic-hosts")[1:] == []


def deaf_of(ratio: float) -> dict[str, float]:
    return {"p99_ratio": ratio, "p99_us": 5000 * ratio, "p99_us_without": 5000, "behind_kb": 400}


def test_a_client_that_does_not_read(make_results):
    found = make_results({"topic-deaf": {"asgiws": [deaf_of(0.9), deaf_of(1.0), deaf_of(2.0)]}})
    assert tables.deaf(found, "topic-deaf")[1:] == [
        ["asgiws", "5.00", "5.00", "1.00", "0.90 to 2.00", "0.4", "3"]
    ]
    assert tables.of_scenario(found, "topic-deaf")[1][:2] == ["asgiws", "1.00"]


def test_each_page_has_the_results_that_belong_to_it(tmp_path, monkeypatch, make_results):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(docs, "IMAGES", tmp_path)
    http = {"http": {"asgiws": [4.0], "granian": [8.0]}}
    topics = {
        "topic": {"asgiws": [2.5]},
        "topic-hosts": {"asgiws": [hosts_of(3.0)], "broadcaster": [hosts_of(12.0)]},
        "topic-deaf": {"asgiws": [deaf_of(1.0)]},
    }
    left_out = [LeftOut("weft", [], "no weft"), LeftOut("channels-redis", [], "no channels")]
    found = make_results({**http, **topics})
    found.left_out += left_out
    blocks = dict(docs.pages(found))
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "performance-cpu.svg",
        "performance-latency.svg",
        "performance-throughput.svg",
        "pubsub-hosts.svg",
    ]
    performance, pubsub = blocks[docs.PAGE], blocks[docs.PUBSUB]
    assert "granian" in performance
    assert "broadcaster" not in performance
    assert "- weft: no weft" in performance
    assert "topic" not in performance
    assert "![CPU time and latency of a delivery over two nodes](images/pubsub-hosts.svg)" in pubsub
    assert "| broadcaster | 12.00 | 0.25 |" in pubsub
    assert "| asgiws | 5.00 | 5.00 | 1.00 |" in pubsub
    assert "| topic | 2.50 |" in pubsub
    assert "### Targets of asgiws: 1 of 2 met" in pubsub
    assert "- channels-redis: no channels" in pubsub
    assert "granian" not in pubsub
    assert [page for page, _ in docs.pages(make_results(http))] == [docs.PAGE]
    assert [page for page, _ in docs.pages(make_results(topics))] == [docs.PUBSUB]


def test_plots_are_drawn_for_what_was_measured_and_always_alike(tmp_path, make_results):
    pytest.importorskip("matplotlib")
    full = {"p50_us": 80, "p99_us": 200, "p999_us": 300, "per_second": 9e4, "connections": 10}
    found = make_results(
        {
            "http": {"asgiws": [{"cpu_us_per_message": 4.0, **full}], "granian": [8.0]},
            "scaling-10": {"asgiws": [{"cpu_us_per_message": 4.0, **full}]},
        }
    )
    drawn = plots.write(found, tmp_path / "a")
    assert drawn == ["cpu", "throughput", "latency", "scaling"]
    plots.write(found, tmp_path / "b")
    found = make_results({"topic-hosts": {"asgiws": [hosts_of(3.0)], "peer": [hosts_of(12.0)]}})
    for folder in ("a", "b"):
        assert plots.write(found, tmp_path / folder, plots.PUBSUB) == ["hosts"]
    for name in [*drawn, "hosts"]:
        content = (tmp_path / "a" / plots.file_name(name)).read_bytes()
        assert content == (tmp_path / "b" / plots.file_name(name)).read_bytes()
        assert b"asgiws" in content


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_tells_the_time_that_is_left():
    now = 0.0
    stream = Terminal()
    progress = Progress(stream, 4, lambda: now)
    progress.begin("http", "asgiws", 1)
    assert "0/4  time left unknown  http  asgiws  round 1" in stream.getvalue()
    now = 30.0
    progress.end()
    progress.begin("http", "granian", 1)
    assert "[######" in stream.getvalue()
    assert "1/4  0:01:30 left  http  granian  round 1" in stream.getvalue()
    progress.finish()
    assert stream.getvalue().endswith("\x1b[K")


def test_progress_elsewhere_is_a_line_for_each_scenario():
    stream = io.StringIO()
    progress = Progress(stream, 3, lambda: 0.0)
    for scenario in ("http", "http", "idle"):
        progress.begin(scenario, "asgiws", 1)
        progress.end()
    progress.finish()
    assert [line.split()[-1] for line in stream.getvalue().splitlines()] == ["http", "idle"]
