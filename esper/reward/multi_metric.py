"""Weighs the gain of a seed against speed, memory, stability, cost and risk.

    total = tanh(scale * sum of weight * component), cost and risk subtracted      in [-1, 1]

See `components` for the formulas.  With the defaults a kernel that adds half of the FLOPs and of
the parameters breaks even at a lasting gain of about 2.5 % more than verdicts ask, which is the
least gain and the price of its FLOPs; 20 % more then give about 0.7.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from esper.contracts.checks import require
from esper.contracts.outcome import WINDOWS, Outcome, Reward
from esper.reward.components import SIGNS, accuracy, cost, memory, risk, speed, stability
from esper.reward.evidence import asked, confidence, credited, who

_CLOCKS = ("flops", "wall")


@dataclass(frozen=True)
class MultiMetric:
    """Judges an outcome by six weighted components; strictly monotone in the gain.

    accuracy_weight: > 0; the other components' weights: >= 0.
    immediate_weight, short_weight, medium_weight, long_weight: weights > 0 of the gain at the
        first look, at later looks, 2 and 5 epochs after keeping, and 10 epochs after it.
    gain_unit: relative lasting gain > 0 that counts as 1 in the accuracy component.
    scale: > 0, factor of the weighted sum.
    clock: "flops" counts FLOPs only; "wall" adds a bonus for a quick kernel by its measured
        latency, so that runs are no longer exactly repeatable.
    """

    name: ClassVar[str] = "multi_metric"

    accuracy_weight: float = 1.0
    speed_weight: float = 0.6
    memory_weight: float = 0.4
    stability_weight: float = 0.8
    cost_weight: float = 0.3
    risk_weight: float = 0.5
    immediate_weight: float = 0.3
    short_weight: float = 0.4
    medium_weight: float = 0.25
    long_weight: float = 0.05
    gain_unit: float = 0.05
    scale: float = 0.25
    clock: str = "flops"

    def __post_init__(self) -> None:
        for name in SIGNS:
            self._check_positive(f"{name}_weight", or_zero=name != "accuracy")
        for name in WINDOWS:
            self._check_positive(f"{name}_weight")
        self._check_positive("gain_unit")
        self._check_positive("scale")
        require(self.clock in _CLOCKS, "reward.clock", f"one of {', '.join(_CLOCKS)}", self.clock)

    def judge(self, outcome: Outcome) -> Reward:
        """Return the reward of a settled outcome."""
        windows = {name: getattr(self, f"{name}_weight") for name in WINDOWS}
        components = {
            "accuracy": accuracy(outcome, windows, self.gain_unit),
            "speed": speed(outcome, wall_clock=self.clock == "wall"),
            "memory": memory(outcome),
            "stability": stability(outcome),
            "cost": cost(outcome),
            "risk": risk(outcome, self.gain_unit),
        }
        weights = {name: sign * getattr(self, f"{name}_weight") for name, sign in SIGNS.items()}
        shares = [weights[name] * value for name, value in components.items()]
        total = math.tanh(self.scale * sum(shares))
        words = [f"{name} {value:.3g} x {weights[name]:+g}" for name, value in components.items()]
        return Reward(
            total=total,
            components=components,
            confidence=confidence(outcome),
            explanation=(
                f"{who(outcome)}: reward {total:+.3f}; {credited(outcome)}, {asked(outcome)}; "
                f"{', '.join(words)}"
            ),
        )

    def _check_positive(self, key: str, *, or_zero: bool = False) -> None:
        """Raise ValueError unless the value is finite and > 0, or >= 0 with `or_zero`."""
        value = getattr(self, key)
        valid = math.isfinite(value) and (value > 0 or (or_zero and value == 0))
        require(valid, f"reward.{key}", "finite and >= 0" if or_zero else "finite and > 0", value)
