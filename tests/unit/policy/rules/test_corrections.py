"""Predicted gains are corrected by what a run's settled trials measured."""

import pytest

from esper.policy.rules.corrections import RUN, Corrections
from esper.policy.rules.posterior import NOISE


def test_nothing_is_corrected_before_a_trial() -> None:
    assert Corrections(0.1).of("a") == 0.0


def test_a_slot_is_corrected_more_than_the_others() -> None:
    assert (NOISE, RUN) == (0.05, 0.03), "the numbers below"
    corrections = Corrections(0.1)
    corrections.add("a", -0.17)
    # 1 / (1 + (0.05 / 0.03)^2) of it is the run's, 1 / (1 + (0.05 / 0.1)^2) of the rest the slot's.
    assert corrections.of("b") == pytest.approx(-0.17 * 9 / 34)
    assert corrections.of("a") == pytest.approx(-0.17 * 9 / 34 - 0.8 * 0.17 * 25 / 34)


def test_many_trials_are_believed() -> None:
    corrections = Corrections(0.1)
    for _ in range(10_000):
        corrections.add("a", 0.2)
    assert corrections.of("a") == pytest.approx(0.2, abs=1e-3)
    assert corrections.of("b") == pytest.approx(0.2, abs=1e-3)
