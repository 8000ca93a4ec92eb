"""Gather what the policy sees at the end of an epoch."""

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from esper.attribution.first_order import Loss
from esper.attribution.health import Probe
from esper.contracts.checks import require
from esper.contracts.metrics import EpochMetrics
from esper.contracts.observation import Observation
from esper.contracts.slot import SlotState
from esper.grower.checkups import Checkups
from esper.grower.costs import Costs
from esper.grower.prospects import Prospects
from esper.growth.requests import growable_states
from esper.safety.options import Safety
from esper.safety.rollback import Governor
from esper.signals.options import Signals
from esper.signals.tracker import SignalTracker


class Observer:
    """Tracks the losses, the slots with what they promise, and the FLOPs that are left.

    checkups: health and births of the slots; None if nothing reads them.
    doublings: of the host's width for which the policy asked.
    is_closed: whether no trial may be opened, because the host is to change its size.
    ranking_ms, probe_ms: time that ranking and probing the slots took this epoch, 0 for none.
    """

    def __init__(
        self,
        costs: Costs,
        governor: Governor,
        prospects: Prospects,
        signals: Signals,
        safety: Safety,
        checkups: Checkups | None = None,
    ) -> None:
        self.host, self.costs, self.governor = costs.host, costs, governor
        self.tracker, self.safety = SignalTracker(signals), safety
        self.prospects, self.checkups = prospects, checkups
        self.ranking_ms = self.probe_ms = 0.0
        self.is_closed, self.doublings = False, 0

    def check(self, probe: object) -> None:
        """Raise ValueError if `probe` is no function, or is missing."""
        valid = probe is None or callable(probe)
        require(valid, "probe", "a function", type(probe).__name__)
        if probe is None and self.checkups is not None:
            raise ValueError(
                "the policy or the strategy reads the health of slots: pass step(..., probe=...), "
                "a function that returns a model's losses per sample on training samples, with a "
                "graph"
            )

    def may_grow(self, epoch: int) -> bool:
        """Return whether a seed that germinates after an epoch can get a verdict in time."""
        last = self.costs.epochs - self.costs.attribution.ages[0] - 1
        is_closed = self.is_closed or self.governor.has_ended_growth
        return 1 <= epoch <= last and not is_closed

    def observe(
        self,
        metrics: EpochMetrics,
        loss: Loss | None,
        probe: Probe | None = None,
        *,
        is_suspect: bool,
    ) -> Observation:
        """Return the observation of an epoch."""
        affordable_flops = self.costs.affordable_flops(metrics.epoch)
        slots = growable_states(self.host, metrics.epoch)
        began, self.probe_ms = time.perf_counter(), 0.0
        may_grow = self.may_grow(metrics.epoch)
        if may_grow:
            slots = self._measured(slots, metrics, affordable_flops, loss, probe)
            slots = self.prospects.replacing(slots, metrics.epoch, loss)
        self.ranking_ms = (time.perf_counter() - began) * 1e3 - self.probe_ms
        observation = self.tracker.update(
            metrics,
            self._checked(slots),
            self.costs.epochs,
            may_grow=may_grow,
            is_suspect=is_suspect,
            affordable_flops=affordable_flops,
        )
        in_time = self.costs.may_blend_again(metrics.epoch)
        return replace(
            observation,
            may_blend_again=in_time,
            events_left=self.safety.events_left(self.governor.trials.num_events),
            max_uncertainty=self.safety.max_uncertainty,
            max_risk=self.safety.max_risk,
            data_flow=self.host.data_flow,
            doublings=self.doublings,
        )

    def _measured(
        self,
        slots: tuple[SlotState, ...],
        metrics: EpochMetrics,
        affordable_flops: float,
        loss: Loss | None,
        probe: Probe | None,
    ) -> tuple[SlotState, ...]:
        """Return the slots with their scores; those of a probe are added by `_checked`."""
        if self.checkups is None or not self.checkups.gives_scores:
            slots = self.prospects.scored(slots, metrics.epoch, affordable_flops, loss)
        if self.checkups is None:
            return slots
        if probe is not None and math.isfinite(metrics.val_loss):
            self.probe_ms = self.checkups.look(slots, metrics.epoch, affordable_flops, probe)
        return slots

    def _checked(self, slots: tuple[SlotState, ...]) -> tuple[SlotState, ...]:
        """Return the slots with what the last probe found, if the policy reads it."""
        return slots if self.checkups is None else self.checkups.added_to(slots)

    def now(self, observation: Observation) -> Observation:
        """Return an observation of this epoch with the slots as the plans so far have left them."""
        states = growable_states(self.host, observation.epoch)
        slots = tuple(
            replace(state, score=seen.score, prospects=seen.prospects)
            for state, seen in zip(states, observation.slots, strict=True)
        )
        return replace(observation, slots=self._checked(slots))

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes."""
        checkups = None if self.checkups is None else self.checkups.state_dict()
        return {
            "tracker": self.tracker.state_dict(),
            "prospects": self.prospects.state_dict(),
            "checkups": checkups,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned."""
        self.tracker.load_state_dict(state["tracker"])
        self.prospects.load_state_dict(state["prospects"])
        if self.checkups is not None:
            self.checkups.load_state_dict(state["checkups"])
