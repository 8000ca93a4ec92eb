"""Correlations of expected and measured gains, and their ceilings, by hand."""

import math

import pytest

from experiments.promised import Pair, agreement, pairs_of, reliability


def run(*values: tuple[float, float], error: float | None = 0.1) -> list[Pair]:
    return [Pair(expected, gain, error) for expected, gain in values]


def test_gains_are_reliable_as_far_as_they_differ_by_more_than_their_errors() -> None:
    # Variance 2 of gains 0 and 2; squared errors 0.5.
    gains = [Pair(0.0, 0.0, math.sqrt(0.5)), Pair(0.0, 2.0, math.sqrt(0.5))]
    assert reliability([gains]) == pytest.approx(0.75)
    # Within groups, differences between them do not count; a group of one says nothing.
    other = [Pair(0.0, 10.0, math.sqrt(0.5)), Pair(0.0, 12.0, math.sqrt(0.5))]
    assert reliability([gains, other, [Pair(0.0, 99.0, 50.0)]]) == pytest.approx(0.75)
    assert reliability([[Pair(0.0, 0.0, 2.0), Pair(0.0, 2.0, 2.0)]]) == pytest.approx(-1)
    assert reliability([run((0, 1), (0, 1))]) is None, "gains do not differ"
    assert reliability([run((0, 1), (0, 2), error=None)]) is None
    assert reliability([]) is None


def test_pooled_and_within_a_run_may_disagree() -> None:
    # Runs of high expectations have high gains, but in each run the order is reversed.
    runs = [run((0, 1), (1, 0)), run((10, 11), (11, 10)), [], run((20, 20))]
    found = agreement(runs)
    assert found["runs"] == 3
    pooled, within = found["pooled"], found["within"]
    assert (pooled["pairs"], within["pairs"]) == (5, 4)
    assert pooled["correlation"][0] > 0.95
    assert within["correlation"] == pytest.approx([-1, -1, -1])
    # Squares of 4 x 0.25 with 2 degrees of freedom; squared errors 0.01.
    assert within["reliability"] == pytest.approx(1 - 0.01 / 0.5)
    assert within["ceiling"] == pytest.approx(math.sqrt(0.98))


def test_what_pairs_do_not_determine_is_unknown() -> None:
    assert agreement([])["pooled"]["correlation"] is None
    found = agreement([run((1, 0), (1, 1), (1, 2), error=9.0)])
    assert found["pooled"]["correlation"] is None, "the expectation is constant"
    assert found["pooled"]["reliability"] < 0
    assert found["pooled"]["ceiling"] == 0


def test_pairs_are_those_of_first_judgements_without_rollback() -> None:
    outcome = {"expected_gain": 0.1, "gain": 0.2, "gain_error": 0.05, "rolled_back": False}

    def event(after: int | None = None, **changes: float | bool | None) -> dict[str, object]:
        judged = {"outcome": {**outcome, **changes}, "epochs_after_keeping": after}
        return {"kind": "reward", **judged}

    events = [
        {"kind": "decision"},
        event(),
        event(after=2, gain=0.9),
        event(rolled_back=True),
        event(expected_gain=None),
        event(gain=None),
        event(gain_error=None),
    ]
    assert pairs_of(events) == [Pair(0.1, 0.2, 0.05), Pair(0.1, 0.2, None)]
