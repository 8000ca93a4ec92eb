"""Grows at random epochs in random slots: the control for when and where."""

import math
import random
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from esper.contracts.checks import require
from esper.contracts.decision import Decision
from esper.contracts.observation import Observation
from esper.policy.base import Policy
from esper.policy.rules.counters import GerminationCounter
from esper.policy.rules.growth import GrowthRules, Trigger, request_growth, together
from esper.policy.rules.verdict import VerdictRules, judge


@dataclass(frozen=True, kw_only=True)
class Random(VerdictRules, GrowthRules):
    """Grows a fixed number of times, at epochs drawn from the growth window.

    A growth event that no slot can serve happens as soon as a slot can grow.

    events: growth events in a run; as many as another policy had makes the two comparable.
    until: share of the budget in which they fall, `training.grow_until`.
    """

    events: int = 3
    until: float = 0.6

    def __post_init__(self) -> None:
        require(self.events >= 0, "policy.events", ">= 0", self.events)
        require(0 < self.until <= 1, "policy.until", "in (0, 1]", self.until)
        super().__post_init__()

    def build(self, rng_seed: int) -> "RandomPolicy":
        """Return the policy at the start of a run; its generator is not the strategy's."""
        return RandomPolicy(self, random.Random(f"policy/random/{rng_seed}"))


class RandomPolicy(Policy):
    """The state of a `Random` in a run."""

    name: ClassVar[str] = "random"

    def __init__(self, options: Random, rng: random.Random) -> None:
        self.options = options
        self._rng = rng
        self._germinations = GerminationCounter()
        self._planned: list[int] | None = None

    def decide(self, observation: Observation) -> list[Decision]:
        """Return the verdicts that are due, then a request to grow, or why there is none."""
        events = self._germinations.update(observation)
        decisions = judge(observation, self.options)
        trigger = self._trigger(observation, events)
        request = request_growth(observation, trigger, self.options, decisions, self._rng.choice)
        return together(decisions, request)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, ready for JSON."""
        version, internal, gauss = self._rng.getstate()
        return {
            "germinations": asdict(self._germinations),
            "planned": self._planned,
            "rng": [version, list(internal), gauss],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""
        self._germinations = GerminationCounter(**state["germinations"])
        self._planned = state["planned"]
        version, internal, gauss = state["rng"]
        self._rng.setstate((version, tuple(internal), gauss))

    def _trigger(self, observation: Observation, events: int) -> Trigger:
        """Return whether the next drawn epoch is reached."""
        if self._planned is None:
            self._planned = self._draw(observation.epochs)
        if events >= len(self._planned):
            return Trigger(fires=False, reason=f"all {events} drawn growth events are over")
        epoch, due = observation.epoch, self._planned[events]
        sign = ">=" if epoch >= due else "<"
        reason = f"epoch {epoch} {sign} {due}, drawn for growth event {events + 1}"
        return Trigger(fires=epoch >= due, reason=reason)

    def _draw(self, epochs: int) -> list[int]:
        """Return different epochs within the window, ascending, as many as it has room for."""
        last = max(1, math.ceil(round(self.options.until * epochs, 9)) - 1)
        return sorted(self._rng.sample(range(1, last + 1), min(self.options.events, last)))
