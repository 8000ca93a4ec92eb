"""The health score, by hand, and the slots that have a problem."""

import pytest

from esper.contracts.stage import SeedStage
from esper.signals.health_score import find_problem, has_problem, health_score
from tests.unit.policy.builders import make_seed, make_slot


@pytest.mark.parametrize(
    ("latency_ms", "error_rate", "cache_hit_rate", "score"),
    [
        (0.0, 0.0, 1.0, 1.0),
        (5.0, 0.1, 0.5, 0.2 + 0.2 + 0.1),
        (10.0, 0.2, 0.0, 0.0),
        (25.0, 1.0, 0.0, 0.0),
        (0.0, 1.0, 0.0, 0.4),
    ],
)
def test_the_score_of_three_known_parts(
    latency_ms: float, error_rate: float, cache_hit_rate: float, score: float
) -> None:
    found = health_score(
        latency_ms=latency_ms, error_rate=error_rate, cache_hit_rate=cache_hit_rate
    )
    assert found == pytest.approx(score)


def test_an_unknown_part_counts_neither_for_nor_against() -> None:
    assert health_score() is None
    assert health_score(error_rate=0.1) == pytest.approx(0.5)
    assert health_score(cache_hit_rate=0.25) == pytest.approx(0.25)
    # (0.4 * 0.5 + 0.2 * 1) / 0.6
    assert health_score(latency_ms=5.0, cache_hit_rate=1.0) == pytest.approx(2 / 3)


def test_errors_in_more_than_14_percent_of_the_steps_are_a_problem() -> None:
    assert [has_problem(rate) for rate in (None, 0.0, 0.139, 0.141, 1.0)] == [
        *(False, False, False),
        *(True, True),
    ]


def test_the_worst_seed_makes_a_slot_a_problem_slot() -> None:
    stage = SeedStage.FOSSILIZED
    fine = make_slot(seeds=(make_seed(), make_seed(stage, error_rate=0.1)))
    assert find_problem(fine) is None
    rates = (0.2, 0.9, None)
    failing = find_problem(make_slot(seeds=tuple(make_seed(stage, error_rate=r) for r in rates)))
    assert failing is not None
    assert (failing.seed, failing.error_rate) == (1, 0.9)
