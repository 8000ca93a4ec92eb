import math
from itertools import pairwise

import pytest

from esper.growth.coin import Coin

NUM_STEPS = 4000
TOLERANCE = 4 * math.sqrt(0.25 / NUM_STEPS)
"""Four standard deviations of a share of fair draws: 0.032."""


def draws(coin: Coin, slot: str = "a", seed: int = 0, activation: int = 1) -> list[bool]:
    return [coin.mutes(slot, seed, activation, step) for step in range(NUM_STEPS)]


def test_a_draw_is_a_function_of_its_arguments() -> None:
    assert draws(Coin(3, 0.5)) == draws(Coin(3, 0.5))
    # Frozen values, so that a resumed run of another process draws the same.
    first = [int(Coin(0, 0.5).mutes("block1", 2, 1, step)) for step in range(16)]
    assert first == [0, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0]


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_the_share_of_muted_steps_is_near_its_probability(share: float) -> None:
    assert sum(draws(Coin(0, share))) / NUM_STEPS == pytest.approx(share, abs=TOLERANCE)


def test_without_a_probability_no_step_is_muted() -> None:
    assert not any(draws(Coin(0, 0.0)))
    assert not any(draws(Coin()))


@pytest.mark.parametrize(
    "other",
    [
        draws(Coin(1, 0.5)),
        draws(Coin(0, 0.5), slot="b"),
        draws(Coin(0, 0.5), seed=1),
        draws(Coin(0, 0.5), activation=2),
    ],
    ids=["run", "slot", "seed", "activation"],
)
def test_draws_of_different_kernels_are_independent(other: list[bool]) -> None:
    pairs = list(zip(draws(Coin(0, 0.5)), other, strict=True))
    # Independent fair draws agree in half of the steps.
    assert sum(one == two for one, two in pairs) / NUM_STEPS == pytest.approx(0.5, abs=TOLERANCE)


def test_draws_of_successive_steps_are_independent() -> None:
    one = draws(Coin(0, 0.5))
    equal = sum(first == second for first, second in pairwise(one))
    assert equal / (NUM_STEPS - 1) == pytest.approx(0.5, abs=TOLERANCE)
