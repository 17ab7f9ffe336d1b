"""Results, ratios and targets."""

from __future__ import annotations

import pytest

from benchmarks import results, scenarios, servers, targets
from benchmarks.targets import TARGETS, Target, judge


def test_a_figure_is_the_median_of_the_rounds_that_went_well(make_results):
    found = make_results({"echo-small": {"asgiws": [3.0, "broke", 9.0, 4.0]}})
    assert found.median("echo-small", "asgiws", "cpu_us_per_message") == 4.0
    assert found.spread("echo-small", "asgiws", "cpu_us_per_message") == 1.5
    assert found.errors("echo-small", "asgiws") == ["broke"]
    assert found.median("echo-small", "nobody", "cpu_us_per_message") is None
    assert found.spread("echo-small", "nobody", "cpu_us_per_message") is None


def test_the_best_peer_is_neither_ours_nor_the_floor(make_results):
    found = make_results(
        {"http": {"asgiws": [1.0], "granian": [7.0], "daphne": [9.0], "floor": [0.5]}}
    )
    assert found.best_peer("http", "cpu_us_per_message") == ("granian", 7.0)
    assert found.best_peer("http", "no such") is None


def test_a_target_is_a_ratio_to_the_server_that_it_names(make_results):
    found = make_results(
        {"echo-small": {"asgiws": [4.8], "uvicorn-sansio": [10.0], "granian": [1.0], "floor": [3]}}
    )
    first, second = judge(found, "asgiws")
    assert (first.reference, first.ratio, first.met) == ("uvicorn-sansio", 0.48, True)
    assert (second.reference, second.met) == ("floor", False)


def test_a_target_of_the_best_takes_the_best_that_was_measured(make_results):
    figures = {"asgiws": [0.7], "granian": [2.0], "uvicorn-sansio": [1.0], "daphne": ["broke"]}
    (verdict,) = judge(make_results({"connect": figures}), "asgiws")
    assert (verdict.reference, verdict.ratio, verdict.met) == ("uvicorn-sansio", 0.7, True)


def test_a_server_is_held_to_those_of_its_own_python(make_results):
    figures = {"asgiws": [4.0], "granian": [8.0], "asgiws@3.13": [4.0], "weft@3.13": [5.0]}
    found = make_results({"echo-one": figures, "connect": figures})
    (connect,) = judge(found, "asgiws")
    assert (connect.reference, connect.ratio) == ("granian", 0.5)
    newer = {one.target.scenario: one for one in judge(found, "asgiws@3.13")}
    assert newer["connect"].reference == "weft@3.13"
    assert newer["echo-one"].target == Target("echo-one", 0.90, ("*",), python="3.13")
    assert found.best_peer("connect", "cpu_us_per_message") == ("weft@3.13", 5.0)


def test_a_target_may_be_of_those_on_asyncio_alone(make_results):
    figures = {"asgiws": [4.0], "granian": [5.0], "freastal": [2.0]}
    found = make_results({"http": figures, "https": figures})
    assert [one.reference for one in judge(found, "asgiws")] == ["granian", "freastal"]


def test_a_target_may_be_a_ratio_to_another_scenario(make_results):
    found = make_results({"echo-small": {"asgiws": [4.0]}, "echo-10k": {"asgiws": [6.0]}})
    (verdict,) = judge(found, "asgiws")
    assert verdict.target == Target("echo-10k", 1.5, (), base="echo-small")
    assert (verdict.reference, verdict.ratio, verdict.met) == ("asgiws in echo-small", 1.5, True)


def test_a_target_may_be_of_a_metric_that_is_a_ratio(make_results):
    rounds = [{"p99_ratio": value} for value in (1.0, 1.05, 3.0)]
    (verdict,) = judge(make_results({"topic-deaf": {"asgiws": rounds}}), "asgiws")
    assert (verdict.reference, verdict.ratio, verdict.met) == ("without it", 1.05, True)


def test_over_two_nodes_each_way_through_redis_is_a_reference(make_results):
    figures = {"asgiws": [3.0], "channels-redis": [90.0], "channels-pubsub": [60.0]}
    found = make_results({"topic-hosts": {**figures, "broadcaster": [12.0]}})
    channels, broadcaster = judge(found, "asgiws")
    assert (channels.reference, channels.ratio, channels.met) == ("channels-pubsub", 0.05, True)
    assert (broadcaster.reference, broadcaster.ratio, broadcaster.met) == (
        "broadcaster",
        0.25,
        False,
    )


def test_some_scenarios_of_a_run(make_results):
    figures = {"http": {"asgiws": [1.0], "granian": [2.0]}, "topic": {"asgiws": [3.0]}}
    found = make_results(figures)
    found.left_out = [results.LeftOut("granian", ["topic", "http"], "why")]
    some = found.of(["topic"])
    assert some.scenarios() == ["topic"]
    assert list(some.servers) == ["asgiws"]
    assert some.left_out == [results.LeftOut("granian", ["topic"], "why")]


def test_what_was_not_measured_is_not_judged(make_results):
    assert judge(make_results({"http": {"asgiws": [4.0]}}), "asgiws") == []
    found = make_results({"http": {"asgiws": ["broke"], "granian": [4.0]}})
    assert judge(found, "asgiws") == []


def test_every_target_is_of_a_scenario_and_a_server_that_there_are():
    for target in TARGETS:
        assert target.scenario in scenarios.SCENARIOS
        assert target.base is None or target.base in scenarios.SCENARIOS
        known = {*targets.SANSIO, *targets.BEST, *targets.BEST_ON_ASYNCIO, "floor"}
        known |= {*servers.PEERS, *targets.A_RATIO}
        assert set(target.of) <= known


def test_results_come_back_as_they_were(tmp_path, make_results):
    found = make_results({"http": {"asgiws": [4.0, "broke"]}, "idle": {"granian": [1.0]}})
    found.left_out.append(results.LeftOut("weft", ["wss-64k"], "an upload was lost"))
    path = tmp_path / "new folder" / "results.json"
    found.write(path)
    assert results.read(path) == found


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"about": {}, "servers": 1}', '{"about": 1}'])
def test_another_file_holds_no_results(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(results.ResultError, match="holds no results"):
        results.read(path)


def test_runs_are_merged_unless_a_scenario_is_in_both(make_results):
    first = make_results({"http": {"asgiws": [4.0]}})
    second = make_results({"idle": {"asgiws": [5.0], "granian": [6.0]}})
    second.about["date"] = "2026-01-03"
    left_out = results.LeftOut("weft", [], "not for this Python")
    first.left_out, second.left_out = [left_out], [left_out]
    merged = results.merge([first, second])
    assert merged.scenarios() == ["http", "idle"]
    assert list(merged.servers) == ["asgiws", "granian"]
    assert merged.about["date"] == "2026-01-02 / 2026-01-03"
    assert merged.left_out == [left_out]
    with pytest.raises(results.ResultError, match="http is in more than one"):
        results.merge([first, first])


def test_scenarios_are_chosen_by_name():
    names = [one.name for one in scenarios.select("http, scaling,echo-one,http")]
    scaling = [f"scaling-{n}" for n in (1, 10, 100, 1000, 10000, 20000)]
    assert names == ["http", *scaling, "echo-one"]
    assert len(scenarios.select("*")) == len(scenarios.SCENARIOS)
    for wrong in ("htp", "", " , "):
        with pytest.raises(scenarios.ScenarioError):
            scenarios.select(wrong)


def test_no_more_connections_than_a_process_may_have():
    large = scenarios.SCENARIOS["scaling-20000"]
    assert scenarios.within_limits(large, 20_000).connections == 19_900
    assert scenarios.within_limits(large, 65_536) == large
