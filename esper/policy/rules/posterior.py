"""Judge a seed by what was predicted of it and by what its looks measured, together.

    measured  = -ln(1 - gain / shown)                          log loss that the kernel saves
    posterior = normal, with mean and precision of a prediction N(predicted, error^2) that was
                corrected by a measurement of standard error (gain error / shown, `NOISE`)
    net gain  = posterior - price * log2(1 + added FLOPs / present FLOPs)

    keep   the net gain is above `min_improvement_to_fossilize` (0) with the probability
           `confidence_to_fossilize`, and so is the gain that the look measured
    cull   it is at most 0 with that probability, or the look is the last
    else   wait for the next look

A prediction alone keeps nothing, however sure it is, and a measurement alone must overcome the
prediction.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.slot import SeedState
from esper.contracts.stage import SeedStage
from esper.policy.rules.verdict import VerdictRules, flops_price, harm

NOISE = 0.05
"""Standard deviation of what a trial shows about its end, beside that over samples."""
MOST_SHOWN = 0.9
"""Largest relative gain that is taken for a lasting one."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A predicted gain in log loss and its standard error, > 0.

    correction: part of the gain that earlier trials of the run have added to what a model says.
    """

    gain: float
    error: float
    correction: float = 0.0


def judge_prediction(
    seed: SeedState, predicted: Prediction, rules: VerdictRules
) -> Decision | None:
    """Return the verdict that is due on a live seed, None if none is."""
    harmed = harm(seed, rules)
    if harmed is not None or seed.stage is not SeedStage.PROBATIONARY or seed.look is None:
        return harmed
    gain, error = seed.gain, seed.gain_error
    if gain is None or error is None or not math.isfinite(gain + error):
        kind = DecisionKind.CULL if seed.look.is_last else DecisionKind.WAIT
        return _decision(kind, seed, f"gain was not measured at age {seed.look.age}", 0.5)
    shown = seed.look.shown
    measured = log_gain(gain, shown)
    mean, deviation = _posterior(measured, error / shown, predicted)
    net = mean - flops_price(rules.price, 1.0, seed.added_flops)
    least = rules.min_improvement_to_fossilize
    sure = NormalDist().cdf((net - least) / deviation)
    words = (
        f"net gain {net:+.3g} +- {deviation:.2g} at age {seed.look.age}, of {predicted.gain:+.3g} "
        f"predicted and a lasting {measured:+.3g} measured"
    )
    wanted = rules.confidence_to_fossilize
    if sure >= wanted and gain > least:
        reason = f"{words}: above {least:g} with confidence {sure:.3g} >= {wanted:g}"
        return _decision(DecisionKind.FOSSILIZE, seed, reason, sure)
    if sure <= 1 - wanted or seed.look.is_last:
        last = ", the last look" if seed.look.is_last else ""
        short = f"confidence {sure:.3g} < {wanted:g}" if sure < wanted else "no measured gain"
        reason = f"{words}: above {least:g} with {short}{last}"
        return _decision(DecisionKind.CULL, seed, reason, 1 - sure)
    return _decision(DecisionKind.WAIT, seed, f"{words}: look again later", sure)


def log_gain(gain: float, shown: float) -> float:
    """Return the log loss that a kernel saves for good, by the relative gain that was shown."""
    return -math.log(1 - min(MOST_SHOWN, gain / shown))


def _posterior(measured: float, error: float, predicted: Prediction) -> tuple[float, float]:
    """Return mean and standard deviation of the gain; the measured one has a standard error."""
    noise = math.hypot(error, NOISE)
    prior, weight = predicted.error**-2, noise**-2
    mean = (prior * predicted.gain + weight * measured) / (prior + weight)
    return mean, (prior + weight) ** -0.5


def _decision(kind: DecisionKind, seed: SeedState, reason: str, confidence: float) -> Decision:
    risk = seed.risk if kind is DecisionKind.FOSSILIZE else 0.0
    return Decision(
        kind=kind, slot=seed.slot, seed=seed.seed, reason=reason, confidence=confidence, risk=risk
    )
