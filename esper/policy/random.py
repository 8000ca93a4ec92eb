"""Grows at random epochs in random slots: a control for the choice of epoch and slot."""

import random
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from esper.contracts.checks import require
from esper.contracts.decision import Decision
from esper.contracts.observation import Observation
from esper.policy.base import Policy
from esper.policy.rules.counters import GerminationCounter
from esper.policy.rules.growth import GrowthRules, Trigger, combine, last_epoch, request_growth
from esper.policy.rules.verdict import VerdictRules, judge


@dataclass(frozen=True, kw_only=True)
class Random(VerdictRules, GrowthRules):
    """Grows a fixed number of times, at epochs drawn from the growth window.

    If no slot can grow at such an epoch, the growth event is postponed until one can.

    events: growth events in a run; for a comparison, the number that the other policy had.
    """

    events: int = 3

    def __post_init__(self) -> None:
        require(self.events >= 0, "policy.events", ">= 0", self.events)
        super().__post_init__()

    def build(self, rng_seed: int) -> "RandomPolicy":
        """Return a new policy; its generator is independent of the strategy's."""
        return RandomPolicy(self, random.Random(f"policy/random/{rng_seed}"))


class RandomPolicy(Policy):
    """The policy of `Random`."""

    name: ClassVar[str] = "random"
    reads_scores: ClassVar[bool] = False

    def __init__(self, options: Random, rng: random.Random) -> None:
        self.options = options
        self._rng = rng
        self._germinations = GerminationCounter()
        self._planned: list[int] | None = None

    def decide(self, observation: Observation) -> list[Decision]:
        """Return the verdicts that are due, then a request to grow or the reason to wait."""
        events = self._germinations.update(observation)
        decisions = judge(observation, self.options)
        trigger = self._trigger(observation, events)
        request = request_growth(observation, trigger, self.options, decisions, self._rng.choice)
        return combine(decisions, request)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the policy, ready for JSON."""
        version, internal, gauss = self._rng.getstate()
        return {
            "germinations": asdict(self._germinations),
            "planned": self._planned,
            "rng": [version, list(internal), gauss],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what `state_dict` returned."""
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
        """Return distinct epochs of the window, ascending; fewer than `events` if it is short."""
        last = last_epoch(self.options, epochs)
        return sorted(self._rng.sample(range(1, last + 1), min(self.options.events, last)))
