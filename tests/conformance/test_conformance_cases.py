"""The catalogue of cases, and the patterns that choose from it."""

from __future__ import annotations

import pytest

from conformance import cases


def test_the_suite_has_517_cases_each_once():
    every = cases.all_cases()
    assert len(every) == len(set(every)) == 517
    assert every == sorted(every, key=cases.order)
    assert cases.sections_of(every) == list(cases.SECTIONS)


@pytest.mark.parametrize(
    ("patterns", "count", "first"),
    [
        ("*", 517, "1.1.1"),
        ("7.1.5", 1, "7.1.5"),
        ("1", 16, "1.1.1"),  # a section, and neither 10 nor 12 nor 13
        ("1.*", 16, "1.1.1"),
        ("9.3", 9, "9.3.1"),
        ("12.*.1", 5, "12.1.1"),  # the whole id, so neither 12.1.10 nor 12.1.18
        ("10, 7.13", 3, "7.13.1"),  # in the order of the suite, not of the patterns
        ("6.4,6.4.1,6.*", 145, "6.1.1"),  # each case once
    ],
)
def test_patterns_choose(patterns, count, first):
    chosen = cases.select(patterns)
    assert (len(chosen), chosen[0]) == (count, first)
    assert chosen == sorted(set(chosen), key=cases.order)


@pytest.mark.parametrize("pattern", ["8", "6.99.1", "", "1,,2", "x", "[17].1.1", "1.", "7.1.50"])
def test_a_pattern_that_fits_nothing_is_an_error(pattern):
    with pytest.raises(cases.CaseError, match="no case of the suite fits"):
        cases.select(pattern)


def test_ranges_are_short():
    assert cases.ranges(["5.15", "3.3", "3.2", "3.4", "6.4.1", "6.5.1"]) == (
        "3.2-4, 5.15, 6.4.1, 6.5.1"
    )
    assert cases.ranges([]) == ""


def test_a_whole_section_is_a_star():
    assert cases.ranges([*cases.select("3,12"), "4.1.1", "13.1.2"]) == "3.*, 4.1.1, 12.*, 13.1.2"
    assert cases.ranges(cases.select("10")) == "10.*"
    assert cases.ranges(cases.select("7.1,7.3")) == "7.1.1-6, 7.3.1-6"
