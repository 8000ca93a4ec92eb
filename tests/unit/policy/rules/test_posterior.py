"""Verdicts by a prediction and a measurement together, by hand."""

import math
from statistics import NormalDist
from typing import Any

import pytest

from esper.contracts.decision import DecisionKind
from esper.contracts.slot import SeedState
from esper.contracts.stage import SeedStage
from esper.policy.rules.posterior import MOST_SHOWN, NOISE, Prediction, judge_prediction
from esper.policy.rules.verdict import VerdictRules
from tests.unit.policy.builders import make_look, make_seed

KEEP, CULL, WAIT = DecisionKind.FOSSILIZE, DecisionKind.CULL, DecisionKind.WAIT
FREE = VerdictRules(price=0.0)


def ripe(gain: float | None, error: float | None = 0.0, **changes: Any) -> SeedState:
    """Return a seed at a look of a trial that shows the whole of a gain."""
    look = make_look(**{key: changes.pop(key) for key in ("is_last", "shown") if key in changes})
    return make_seed(SeedStage.PROBATIONARY, gain=gain, gain_error=error, look=look, **changes)


def saved(gain: float) -> float:
    """Return the relative gain that is a log loss."""
    return 1 - math.exp(-gain)


def confidence(seed: SeedState, predicted: Prediction, rules: VerdictRules = FREE) -> float:
    decision = judge_prediction(seed, predicted, rules)
    assert decision is not None
    return decision.confidence


def test_two_equally_sure_sources_meet_in_the_middle() -> None:
    # 0.03 and 0.01 with errors of 0.05 each: 0.02, with an error of 0.05 / sqrt(2).
    seed, predicted = ripe(saved(0.03)), Prediction(gain=0.01, error=NOISE)
    sure = NormalDist().cdf(0.02 / (0.05 / math.sqrt(2)))
    assert confidence(seed, predicted) == pytest.approx(sure)
    decision = judge_prediction(seed, predicted, FREE)
    assert decision is not None
    assert decision.reason == (
        "net gain +0.02 +- 0.035 at age 6, of +0.01 predicted and a lasting +0.03 measured: look "
        "again later"
    )


def test_the_better_known_source_weighs_more() -> None:
    # Precisions 1/0.05^2 and 1/0.1^2, that is 4 to 1.
    seed, predicted = ripe(saved(0.1)), Prediction(gain=-0.1, error=0.1)
    mean, error = (4 * 0.1 - 0.1) / 5, (400 + 100) ** -0.5
    assert confidence(seed, predicted) == pytest.approx(NormalDist().cdf(mean / error))


def test_the_error_of_a_look_and_what_it_shows_of_a_gain_count() -> None:
    # A quarter is shown, so that 0.02 +- 0.01 stands for 0.08 +- 0.04.
    seed = ripe(0.02, 0.01, shown=0.25)
    noise = math.hypot(0.04, NOISE)
    measured = -math.log(1 - 0.08)
    predicted = Prediction(gain=0.0, error=noise)
    expected = NormalDist().cdf(measured / 2 / (noise / math.sqrt(2)))
    assert confidence(seed, predicted) == pytest.approx(expected)
    # More than everything cannot be saved for good.
    lucky = ripe(0.5, 0.0, shown=0.25)
    most = ripe(0.25 * MOST_SHOWN, 0.0, shown=0.25)
    assert confidence(lucky, predicted) == confidence(most, predicted)


def test_flops_are_paid_for() -> None:
    # Twice the FLOPs at a price of 0.02 take the whole of the gain.
    seed = ripe(saved(0.02), added_flops=1.0)
    predicted = Prediction(gain=0.02, error=0.1)
    assert confidence(seed, predicted, VerdictRules(price=0.02)) == pytest.approx(0.5)
    assert confidence(seed, predicted) > 0.6


@pytest.mark.parametrize(
    ("sure", "is_last", "kind"),
    [
        (0.801, False, KEEP),
        (0.801, True, KEEP),
        (0.799, False, WAIT),
        (0.799, True, CULL),
        (0.5, False, WAIT),
        (0.201, False, WAIT),
        (0.199, False, CULL),
        (0.201, True, CULL),
    ],
)
def test_a_seed_is_kept_culled_or_looked_at_again_by_the_confidence(
    sure: float, is_last: bool, kind: DecisionKind
) -> None:
    net = NormalDist().inv_cdf(sure) * NOISE / math.sqrt(2)
    seed = ripe(saved(net), is_last=is_last, risk=0.3)
    decision = judge_prediction(seed, Prediction(gain=net, error=NOISE), FREE)
    assert decision is not None
    assert (decision.kind, decision.slot, decision.seed) == (kind, "block", 0)
    assert decision.confidence == pytest.approx(1 - sure if kind is CULL else sure)
    assert decision.risk == (0.3 if kind is KEEP else 0.0)
    assert decision.reason.endswith(", the last look") == (kind is CULL and is_last)


def test_no_prediction_keeps_what_measured_no_gain() -> None:
    hope = Prediction(gain=1.0, error=0.01)
    for gain in (0.0, saved(-0.1)):
        assert _kind(ripe(gain), hope) is WAIT
        last = judge_prediction(ripe(gain, is_last=True), hope, FREE)
        assert last is not None
        assert last.kind is CULL
        assert last.reason.endswith("above 0 with no measured gain, the last look")
    assert _kind(ripe(0.001), hope) is KEEP


def test_neither_source_alone_keeps_a_seed_that_the_other_doubts() -> None:
    hope, proof = Prediction(gain=0.1, error=0.05), ripe(saved(0.1))
    assert _kind(ripe(saved(-0.1)), hope) is WAIT
    assert _kind(proof, Prediction(gain=-0.1, error=0.05)) is WAIT
    assert _kind(proof, hope) is KEEP


def _kind(seed: SeedState, predicted: Prediction) -> DecisionKind:
    decision = judge_prediction(seed, predicted, FREE)
    assert decision is not None
    return decision.kind


@pytest.mark.parametrize(
    ("gain", "error"), [(None, 0.1), (0.1, None), (math.nan, 0.1), (math.inf, 0.1), (0.1, math.nan)]
)
def test_a_prediction_alone_keeps_nothing(gain: float | None, error: float | None) -> None:
    sure = Prediction(gain=9.0, error=0.01)
    for is_last, kind in ((False, WAIT), (True, CULL)):
        decision = judge_prediction(ripe(gain, error, is_last=is_last), sure, FREE)
        assert decision is not None
        assert (decision.kind, decision.confidence) == (kind, 0.5)
        assert decision.reason == "gain was not measured at age 6"


def test_harm_is_culled_whatever_was_predicted_and_no_look_is_no_verdict() -> None:
    sure = Prediction(gain=9.0, error=0.01)
    sick = ripe(0.5, unhealthy_epochs=2)
    decision = judge_prediction(sick, sure, FREE)
    assert decision is not None
    assert decision.kind is CULL
    assert judge_prediction(make_seed(SeedStage.SHADOWING), sure, FREE) is None
    assert judge_prediction(make_seed(SeedStage.PROBATIONARY, look=None), sure, FREE) is None
