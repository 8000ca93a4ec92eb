"""Predicted gains are corrected by what a run's settled trials measured."""

import pytest

from esper.policy.rules.corrections import RUN, SLOT, Corrections
from esper.policy.rules.posterior import NOISE


def test_nothing_is_corrected_before_a_trial() -> None:
    assert Corrections(0.1).of("a", "mlp") == 0.0


def test_a_trial_says_most_of_its_own_kernel_less_of_its_slot_and_least_of_the_others() -> None:
    assert (NOISE, RUN, SLOT) == (0.05, 0.03, 0.03), "the numbers below"
    corrections = Corrections(0.1)
    corrections.add("a", "mlp", -0.2)
    # Variances: 9 of the run, 9 of the slot, 100 of the kernel, 25 of the noise (times 1e-4).
    run = -0.2 * 9 / 143
    slot = run + (-0.2 - run) * 9 / 134
    own = slot + (-0.2 - slot) * 100 / 125
    assert corrections.of("b", "mlp") == pytest.approx(run)
    assert corrections.of("a", "affine") == pytest.approx(slot)
    assert corrections.of("a", "mlp") == pytest.approx(own)


def test_trials_of_other_kernels_add_up() -> None:
    corrections = Corrections(0.1)
    corrections.add("a", "mlp", -0.2)
    before = corrections.of("a", "lora")
    corrections.add("a", "affine", -0.2)
    assert corrections.of("a", "lora") < before < 0


def test_many_trials_are_believed() -> None:
    corrections = Corrections(0.1)
    for _ in range(10_000):
        corrections.add("a", "mlp", 0.2)
    assert corrections.of("a", "mlp") == pytest.approx(0.2, abs=1e-3)
    assert corrections.of("b", "mlp") == pytest.approx(0.2, abs=1e-3)
