"""Expected against measured gains."""

import math

import pytest

from esper.strategy.agreement import Agreement


def agreement_of(*pairs: tuple[float | None, float | None]) -> Agreement:
    agreement = Agreement()
    for expected, measured in pairs:
        agreement.add(expected, measured)
    return agreement


@pytest.mark.parametrize(
    ("pairs", "correlation"),
    [
        ([(1, 2), (2, 4), (3, 6)], 1.0),
        ([(1, 6), (2, 4), (3, 2)], -1.0),
        # Deviations (-1, 0, 1) and (0, -1, 1): 1 / sqrt(2 * 2).
        ([(1, 2), (2, 1), (3, 3)], 0.5),
        ([(0.01, 0.02), (0.02, 0.01), (0.03, 0.03)], 0.5),
    ],
)
def test_it_is_pearsons_correlation(pairs: list[tuple[float, float]], correlation: float) -> None:
    assert agreement_of(*pairs).correlation == pytest.approx(correlation)


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        [(1.0, 2.0), (2.0, 4.0)],
        [(1.0, 2.0), (2.0, 4.0), (None, 3.0), (3.0, None), (math.nan, 1.0), (1.0, math.inf)],
        [(0.1, 2.0), (0.1, 4.0), (0.1, 6.0)],
        [(1.0, 0.0), (2.0, 0.0), (3.0, 0.0)],
    ],
)
def test_too_few_pairs_or_a_constant_side_have_none(
    pairs: list[tuple[float | None, float | None]],
) -> None:
    assert agreement_of(*pairs).correlation is None
