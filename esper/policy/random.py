"""Grows at random epochs in random slots: the control for when and where."""

import math
import random
from dataclasses import dataclass
from typing import Any, ClassVar

from esper.contracts.decision import Decision
from esper.contracts.observation import Observation
from esper.contracts.outcome import Outcome, Reward
from esper.policy.base import part, require
from esper.policy.rules.counters import GerminationCounter
from esper.policy.rules.growth import GrowthRules, Trigger, request_growth, together
from esper.policy.rules.verdict import VerdictRules, judge


@dataclass(frozen=True)
class Random:
    """Grows a fixed number of times, at epochs drawn from the growth window.

    An event whose slots are all at rest is made up for as soon as one can grow.  The other keys
    mean what they mean for `heuristic`, and seeds are judged by the same verdict.

    events: growth events in a run; as many as another policy had makes the two comparable.
    until: share of the budget in which they fall, `training.grow_until`.
    """

    events: int = 3
    until: float = 0.6
    embargo_epochs_after_cull: int = 5
    max_live_seeds_per_slot: int = 2
    adaptation: str = "add_neurons"
    seeds_per_adaptation: int = 1
    cull_if_accuracy_drops_by: float = 0.02
    cull_after_epochs_without_improvement: int = 5
    min_improvement_to_fossilize: float = 0.0

    def __post_init__(self) -> None:
        require(self.events >= 0, "events", ">= 0", self.events)
        require(0 < self.until <= 1, "until", "in (0, 1]", self.until)
        part(GrowthRules, self)
        part(VerdictRules, self)

    def build(self, rng_seed: int) -> "RandomPolicy":
        """Return the policy at the start of a run; its chance is its own, not the strategy's."""
        return RandomPolicy(self, random.Random(f"policy/random/{rng_seed}"))


class RandomPolicy:
    """The state of a `Random` in a run."""

    name: ClassVar[str] = "random"

    def __init__(self, option: Random, rng: random.Random) -> None:
        self._option = option
        self._rng = rng
        self._growth = part(GrowthRules, option)
        self._verdict = part(VerdictRules, option)
        self._germinations = GerminationCounter()
        self._planned: list[int] | None = None

    def decide(self, observation: Observation) -> list[Decision]:
        """Return the verdicts that are due, then what chance wants."""
        events = self._germinations.update(observation)
        decisions = judge(observation, self._verdict)
        trigger = self._trigger(observation, events)
        wanted = request_growth(observation, trigger, self._growth, decisions, self._rng.choice)
        return together(decisions, wanted)

    def learn(self, outcome: Outcome, reward: Reward) -> dict[str, float]:
        """Learn nothing."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, ready for JSON."""
        version, internal, gauss = self._rng.getstate()
        return {
            "germinations": self._germinations.state_dict(),
            "planned": self._planned,
            "rng": [version, list(internal), gauss],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""
        self._germinations.load_state_dict(state["germinations"])
        self._planned = state["planned"]
        version, internal, gauss = state["rng"]
        self._rng.setstate((version, tuple(internal), gauss))

    def _trigger(self, observation: Observation, events: int) -> Trigger:
        """Return whether the next drawn epoch has come."""
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
        last = max(1, math.ceil(round(self._option.until * epochs, 9)) - 1)
        return sorted(self._rng.sample(range(1, last + 1), min(self._option.events, last)))
