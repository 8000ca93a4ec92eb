"""Gather what the policy sees at the end of an epoch."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from esper.attribution.first_order import Loss
from esper.contracts.metrics import EpochMetrics
from esper.contracts.observation import Observation
from esper.grower.costs import Costs
from esper.grower.prospects import Prospects
from esper.growth.requests import growable_states
from esper.safety.rollback import Governor
from esper.signals.options import Signals
from esper.signals.tracker import SignalTracker


class Observer:
    """Tracks the losses, the slots with what they promise, and the FLOPs that are left."""

    def __init__(
        self, costs: Costs, governor: Governor, prospects: Prospects, signals: Signals
    ) -> None:
        self.host, self.costs, self.governor = costs.host, costs, governor
        self.tracker = SignalTracker(signals)
        self.prospects = prospects

    def may_grow(self, epoch: int) -> bool:
        """Return whether a seed that germinates after an epoch can get a verdict in time."""
        last = self.costs.epochs - self.costs.attribution.ages[0] - 1
        return 1 <= epoch <= last and not self.governor.has_ended_growth

    def observe(
        self,
        metrics: EpochMetrics,
        loss: Loss | None,
        *,
        is_suspect: bool,
        events_left: int | None,
    ) -> tuple[Observation, float]:
        """Return the observation of an epoch, and the time that ranking the slots took, in ms."""
        affordable_flops = self.costs.affordable_flops(metrics.epoch)
        slots = growable_states(self.host, metrics.epoch)
        began = time.perf_counter()
        may_grow = self.may_grow(metrics.epoch)
        if may_grow:
            slots = self.prospects.scored(slots, metrics.epoch, affordable_flops, loss)
            slots = self.prospects.replacing(slots, metrics.epoch, loss)
        probe_ms = (time.perf_counter() - began) * 1e3
        observation = self.tracker.update(
            metrics,
            slots,
            self.costs.epochs,
            may_grow=may_grow,
            is_suspect=is_suspect,
            affordable_flops=affordable_flops,
        )
        in_time = self.costs.may_blend_again(metrics.epoch)
        observation = replace(
            observation,
            may_blend_again=in_time,
            events_left=events_left,
            data_flow=self.host.data_flow,
        )
        return observation, probe_ms

    def now(self, observation: Observation) -> Observation:
        """Return an observation of this epoch with the slots as the plans so far have left them."""
        states = growable_states(self.host, observation.epoch)
        slots = (
            replace(state, score=seen.score, prospects=seen.prospects)
            for state, seen in zip(states, observation.slots, strict=True)
        )
        return replace(observation, slots=tuple(slots))

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes."""
        return {"tracker": self.tracker.state_dict(), "prospects": self.prospects.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned."""
        self.tracker.load_state_dict(state["tracker"])
        self.prospects.load_state_dict(state["prospects"])
