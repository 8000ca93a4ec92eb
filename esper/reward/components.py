"""The six components of the multi-metric reward, each before weighting.

Symbols: g lasting gain less what verdicts ask, rise(x) = (x after - x before) / x before, 0 when
x before is unknown.

    component   value                                                             range
    accuracy    temporally weighted g / gain_unit (see `temporal`)                any
    speed       -rise(FLOPs) of the whole step, but -0.5 when more than 10 %      [-0.5, 1]
                slower; with clock "wall" +0.2 for a kernel under 0.5 ms,         (wall: to 1.2)
                +0.1 under 1 ms
    memory      (before - after) / max(before, after), in parameters              [-1, 1]
    stability   -2 * error rate + 2 * (recovery rate - 0.95)                      [-4.4, 0.1]
                - min(loss variance / 10, 0.5)
    cost        mean of log(1 + rise) of FLOPs and of parameters; a fall counts   [0, inf)
                as 0
    risk        mean of min(1, error of g / gain_unit), 1 when unknown;           [0, 1]
                share of errors not recovered; min(1, loss variance)

The error rate is errors per epoch since germination, at most 1.  The recovery rate is 1 without
errors, so that a recovered error never scores higher than none.  Cost and risk are magnitudes,
subtracted by their sign in `SIGNS`.  Only accuracy depends on the gain, and an unmeasured one
counts as 0.  A lasting gain is the one measured / the share that the method shows.
"""

from collections.abc import Mapping

from esper.contracts.outcome import Outcome
from esper.reward.evidence import added_flops, added_parameters, relative_rise
from esper.reward.temporal import age, weighted_gain

SIGNS = {"accuracy": 1, "speed": 1, "memory": 1, "stability": 1, "cost": -1, "risk": -1}
"""Sign of each component in the weighted sum, in order."""


def accuracy(outcome: Outcome, weights: Mapping[str, float], gain_unit: float) -> float:
    """Return the lasting gain, less what verdicts ask of it, in units.

    `weights` are those of `WINDOWS`, as for `weighted_gain`.
    """
    gain = (weighted_gain(outcome, weights) or 0.0) - outcome.asked_gain
    return gain / (outcome.shown * gain_unit)


def speed(outcome: Outcome, *, wall_clock: bool = False) -> float:
    """Return the gain in speed of the whole step, and of a quick kernel by the wall clock."""
    slower = relative_rise(outcome.flops_before, outcome.flops_after)
    gain = -0.5 if slower > 0.1 else 0.0 - slower
    return gain + (_latency_bonus(outcome.latency_ms) if wall_clock else 0.0)


def _latency_bonus(latency_ms: float | None) -> float:
    """Return the bonus of a quick kernel; 0 if its latency was not measured."""
    if latency_ms is None or latency_ms >= 1.0:
        return 0.0
    return 0.2 if latency_ms < 0.5 else 0.1


def memory(outcome: Outcome) -> float:
    """Return the share of parameters saved; negative when parameters were added."""
    before, after = outcome.parameters_before, outcome.parameters_after
    return (before - after) / max(before, after) if before > 0 else 0.0


def stability(outcome: Outcome) -> float:
    """Return how stable training was, 0.1 at best."""
    error_rate = min(1.0, outcome.errors / age(outcome))
    turbulence = min(outcome.loss_variance / 10, 0.5)
    return -2 * error_rate + 2 * (_recovery_rate(outcome) - 0.95) - turbulence


def _recovery_rate(outcome: Outcome) -> float:
    """Return the share of errors that were recovered, 1 without errors."""
    return min(1.0, outcome.recoveries / outcome.errors) if outcome.errors else 1.0


def cost(outcome: Outcome) -> float:
    """Return the mean of the added FLOPs and the added parameters."""
    return (added_flops(outcome) + added_parameters(outcome)) / 2


def risk(outcome: Outcome, gain_unit: float) -> float:
    """Return the mean of the gain's doubt, the errors not recovered and the loss variance."""
    error = outcome.gain_error
    doubt = 1.0 if error is None else min(1.0, error / (outcome.shown * gain_unit))
    return (doubt + (1 - _recovery_rate(outcome)) + min(1.0, outcome.loss_variance)) / 3
