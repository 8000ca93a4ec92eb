"""Confidence, costs and descriptions."""

import math
from typing import Any

import pytest

from esper.reward.evidence import added_flops, added_parameters, confidence, credited, who

THREE = (("immediate", 0.1), ("short", 0.1), ("short", 0.1))


def test_confidence_is_the_gains_share_in_gain_and_error(settle: Any) -> None:
    assert confidence(settle(points=THREE, gain=0.03, gain_error=0.01)) == pytest.approx(0.75)
    assert confidence(settle(points=THREE, gain=-0.03, gain_error=0.01)) == pytest.approx(0.75)
    assert confidence(settle(points=THREE, gain=0.0, gain_error=0.01)) == 0
    assert confidence(settle(points=THREE, gain=0.0, gain_error=0.0)) == 1
    assert confidence(settle(points=THREE, gain_error=None)) == 0.5


def test_confidence_grows_with_measurements_up_to_three(settle: Any) -> None:
    few = {"gain_error": 0.0}
    assert confidence(settle(**few)) == pytest.approx(1 / 3)
    assert confidence(settle(points=THREE[:2], **few)) == pytest.approx(2 / 3)
    assert confidence(settle(points=(*THREE, ("medium", 0.1)), **few)) == 1


def test_an_unmeasured_gain_has_no_confidence_and_says_so(settle: Any) -> None:
    outcome = settle(gain=None, gain_error=None)
    assert confidence(outcome) == 0
    assert credited(outcome) == "gain not measured, it counts as 0"


def test_what_was_added_is_relative_and_logarithmic(settle: Any) -> None:
    outcome = settle(flops_after=150.0, parameters_after=400)
    assert added_flops(outcome) == pytest.approx(math.log(1.5))
    assert added_parameters(outcome) == pytest.approx(math.log(4))
    assert added_flops(settle(flops_before=0.0)) == 0


def test_words_name_the_seed_and_its_credit(settle: Any) -> None:
    assert who(settle()) == "seed 1 of slot 'block' (mlp, fossilized)"
    assert who(settle(fossilized=False)) == "seed 1 of slot 'block' (mlp, culled)"
    assert credited(settle()) == "credited gain +10.0% (± 1.0%)"
    seen = credited(settle(points=(*THREE, ("medium", 0.05), ("long", -0.02))))
    assert seen == "credited gain +10.0% (± 1.0%), later -2.0%"
    assert credited(settle(gain=-0.2, gain_error=None)) == "credited gain -20.0% (error unknown)"
