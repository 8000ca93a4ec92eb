"""The six components of the multi-metric reward, each before weighting.

Symbols: g gain, rise(x) = (x after - x before) / x before, 0 when x before is unknown.

    component   value                                                             range
    accuracy    temporally weighted g / gain_unit (see `temporal`); 0 unmeasured  to 1 / gain_unit
    speed       -rise(FLOPs) of the whole step, but -0.5 when more than 10 %      [-0.5, 1]
                slower; with clock "wall" +0.2 for a kernel under 0.5 ms,         (wall: to 1.2)
                +0.1 under 1 ms
    memory      (before - after) / max(before, after), in parameters              [-1, 1]
    stability   -2 * error rate + 2 * (recovery rate - 0.95)                      [-4.4, 0.1]
                - min(loss variance / 10, 0.5)
    cost        mean of log(1 + rise) of FLOPs and of parameters, falls not       [0, inf)
                counted
    risk        mean of min(1, gain_error / gain_unit), 1 when unknown;           [0, 1]
                share of errors not recovered; min(1, loss variance)

A kernel has no errors before it exists, so its error rate, errors per epoch of its life and at
most 1, is the change of the rate.  Without errors nothing was left unrecovered: the recovery rate
is 1, or else a mended error would beat none.  Cost and risk are magnitudes: they are subtracted,
once, in `SIGNS`.  No component but accuracy depends on the gain.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from esper.contracts.outcome import Outcome
from esper.reward.evidence import added_flops, added_parameters, relative_rise
from esper.reward.temporal import Windows, age, weighted_gain


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What the components are measured with.

    gain_unit: relative gain that counts as 1.
    wall_clock: True when measured latencies count.
    """

    windows: Windows
    gain_unit: float
    wall_clock: bool


def accuracy(outcome: Outcome, measure: Measure) -> float:
    """Return the temporally weighted gain in units; 0 when it was never measured."""
    gain = weighted_gain(outcome, measure.windows)
    return 0.0 if gain is None else gain / measure.gain_unit


def speed(outcome: Outcome, measure: Measure) -> float:
    """Return the gain in speed of the whole step, and of a quick kernel by the wall clock."""
    slower = relative_rise(outcome.flops_before, outcome.flops_after)
    gain = -0.5 if slower > 0.1 else 0.0 - slower
    return gain + (_latency_bonus(outcome.latency_ms) if measure.wall_clock else 0.0)


def _latency_bonus(latency_ms: float | None) -> float:
    """Return the bonus of a quick kernel; an unmeasured one gets none."""
    if latency_ms is None or latency_ms >= 1.0:
        return 0.0
    return 0.2 if latency_ms < 0.5 else 0.1


def memory(outcome: Outcome, measure: Measure) -> float:
    """Return the share of parameters saved; below 0 when there are more."""
    del measure
    before, after = outcome.parameters_before, outcome.parameters_after
    return (before - after) / max(before, after) if before > 0 else 0.0


def stability(outcome: Outcome, measure: Measure) -> float:
    """Return how quietly training went on, 0.1 at best."""
    del measure
    error_rate = min(1.0, outcome.errors / age(outcome))
    turbulence = min(outcome.loss_variance / 10, 0.5)
    return -2 * error_rate + 2 * (_recovery_rate(outcome) - 0.95) - turbulence


def _recovery_rate(outcome: Outcome) -> float:
    """Return the share of errors that were recovered, 1 without errors."""
    return min(1.0, outcome.recoveries / outcome.errors) if outcome.errors else 1.0


def cost(outcome: Outcome, measure: Measure) -> float:
    """Return what was added, in FLOPs and parameters."""
    del measure
    return (added_flops(outcome) + added_parameters(outcome)) / 2


def risk(outcome: Outcome, measure: Measure) -> float:
    """Return how unsure and how troubled the outcome is."""
    error = measure.gain_unit if outcome.gain_error is None else outcome.gain_error
    doubt = min(1.0, error / measure.gain_unit)
    return (doubt + (1 - _recovery_rate(outcome)) + min(1.0, outcome.loss_variance)) / 3


COMPONENTS: Mapping[str, Callable[[Outcome, Measure], float]] = {
    "accuracy": accuracy,
    "speed": speed,
    "memory": memory,
    "stability": stability,
    "cost": cost,
    "risk": risk,
}

SIGNS: Mapping[str, int] = {name: -1 if name in ("cost", "risk") else 1 for name in COMPONENTS}
"""-1 for a component that lowers the reward."""


def check_weights(weights: Mapping[str, float]) -> None:
    """Raise `ValueError` unless there is exactly one weight for each component."""
    missing = ", ".join(name for name in COMPONENTS if name not in weights)
    unknown = ", ".join(name for name in weights if name not in COMPONENTS)
    if missing or unknown:
        raise ValueError(
            "reward: weights and components differ: "
            f"without a weight: {missing or 'none'}; without a component: {unknown or 'none'}"
        )


def weighted_sum(components: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Return the sum of the weighted components, what lowers the reward subtracted."""
    return sum(SIGNS[name] * weights[name] * value for name, value in components.items())
