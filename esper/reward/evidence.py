"""Confidence in an outcome's gain, the cost of the growth, and their descriptions.

    confidence = |gain| / (|gain| + gain_error) * min(1, measurements / 3)      in [0, 1]

The first factor is 1 if the error is 0, and 0.5 if it is unknown or as large as the gain.  Three
measurements are what a verdict needs.  An unmeasured gain has confidence 0.
"""

import math

from esper.contracts.outcome import Outcome

_ENOUGH_MEASUREMENTS = 3


def confidence(outcome: Outcome) -> float:
    """Return the confidence in the gain, in [0, 1]."""
    if outcome.gain is None:
        return 0.0
    coverage = min(1.0, max(1, len(outcome.gains)) / _ENOUGH_MEASUREMENTS)
    return _precision(abs(outcome.gain), outcome.gain_error) * coverage


def _precision(size: float, error: float | None) -> float:
    """Return the gain's share in the sum of gain and error, in [0, 1]."""
    if error is None:
        return 0.5
    return 1.0 if error == 0 else size / (size + error)


def relative_rise(before: float, after: float) -> float:
    """Return (after - before) / before; 0 when `before` was not measured."""
    return (after - before) / before if before > 0 else 0.0


def added_flops(outcome: Outcome) -> float:
    """Return log(1 + added FLOPs of a sample, relative), >= 0; 0 when none were added."""
    return math.log1p(max(0.0, relative_rise(outcome.flops_before, outcome.flops_after)))


def added_parameters(outcome: Outcome) -> float:
    """Return log(1 + added parameters, relative), >= 0; 0 when none were added."""
    rise = relative_rise(outcome.parameters_before, outcome.parameters_after)
    return math.log1p(max(0.0, rise))


def who(outcome: Outcome) -> str:
    """Return a description of the judged activation."""
    end = "fossilized" if outcome.fossilized else "culled"
    return f"seed {outcome.seed} of slot '{outcome.slot}' ({outcome.blueprint}, {end})"


def credited(outcome: Outcome) -> str:
    """Return a description of the gain that the seed is credited with, and of its latest."""
    if outcome.gain is None:
        return "gain not measured, it counts as 0"
    error = "error unknown" if outcome.gain_error is None else f"± {outcome.gain_error:.1%}"
    later = "" if outcome.latest_gain is outcome.gain else f", later {outcome.latest_gain:+.1%}"
    return f"credited gain {outcome.gain:+.1%} ({error}){later}"


def asked(outcome: Outcome) -> str:
    """Return a description of the gain from which on rewards count."""
    return f"of which the first {outcome.asked_gain:.2%} earn nothing"
