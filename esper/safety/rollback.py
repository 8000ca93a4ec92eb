"""Roll a network back to its last good snapshot when its losses call for it."""

import math
from dataclasses import dataclass, replace
from typing import Any

from esper.attribution.trials import Trials
from esper.contracts.event import EventBody, GovernorAction, LifecycleMove
from esper.contracts.metrics import EpochMetrics, TrainReport
from esper.contracts.stage import BLENDED, LIVE
from esper.growth import attach
from esper.growth.host import Host
from esper.growth.host_state import put_weights, weights_of
from esper.growth.lifecycle import cull_and_embargo
from esper.growth.slot import Seed
from esper.probe.tensors import Tensors, copied
from esper.safety.governor import Health, HealthKind, LossMonitor
from esper.safety.options import GovernorOptions


@dataclass(frozen=True)
class Snapshot:
    """Copies of the weights that a rollback restores.

    epoch: the epoch after which it was taken, 0 before the first.
    blended: the stages of seeds with blended kernels, by `slot/seed`.
    tensors, moments: the weights of host and fossilized kernels, as in `growth.host_state`.
    """

    epoch: int
    blended: dict[str, str]
    tensors: Tensors
    moments: dict[str, list[dict[str, Any]]]

    @classmethod
    def take(cls, host: Host, epoch: int) -> "Snapshot":
        """Return copies of a host's weights, except those of live kernels."""
        weights = weights_of(host)
        for seed in host.seeds():
            if seed.stage in LIVE:
                _leave_out(seed, weights)
        return cls(epoch, _blended(host), **copied(weights))

    @classmethod
    def of_stages(cls, host: Host, epoch: int) -> "Snapshot":
        """Return a snapshot without weights, which only tells whether the network has grown."""
        return cls(epoch, _blended(host), {}, {})

    def is_grown(self, host: Host) -> bool:
        """Return whether a kernel is blended and live, or was added or removed since."""
        now = _blended(host)
        return now != self.blended or any(stage in LIVE for stage in now.values())

    def without_live(self) -> "Snapshot":
        """Return the snapshot without live seeds, which a rollback culls."""
        stayed = {key: stage for key, stage in self.blended.items() if stage not in LIVE}
        return replace(self, blended=stayed)

    def state_dict(self) -> dict[str, Any]:
        """Return the fields, as plain values and tensors."""
        return dict(vars(self))


def roll_back(host: Host, snapshot: Snapshot, epoch: int, reason: str) -> list[LifecycleMove]:
    """Cull every live seed and restore the snapshot's weights; return the moves.

    A kernel that was fossilized after the snapshot keeps its weights.
    """
    moves: list[LifecycleMove] = []
    blended = _blended(host)
    for seed in host.seeds():
        if seed.stage in LIVE:
            moves += cull_and_embargo(host, seed, epoch, reason)
    host.closed = [
        replace(closed, rolled_back=f"{closed.slot}/{closed.seed}" in blended)
        for closed in host.closed
    ]
    put_weights(host, {"tensors": snapshot.tensors, "moments": snapshot.moments})
    host.average.reset()
    return moves


def _blended(host: Host) -> dict[str, str]:
    return {
        f"{seed.slot}/{seed.index}": seed.stage.value
        for seed in host.seeds()
        if seed.stage in BLENDED
    }


def _leave_out(seed: Seed, weights: dict[str, Any]) -> None:
    """Remove the weights of a kernel, its alpha included."""
    weights["moments"].pop(f"{seed.slot}/{seed.index}", None)
    tensors = weights["tensors"]
    for name in [n for n in tensors if attach.is_of_seed(n, seed.slot, seed.index)]:
        del tensors[name]


@dataclass(frozen=True, slots=True)
class Inspection:
    """Result of one inspection.

    is_suspect: whether the network may be harmed; it then allows no change but culls.
    has_rolled_back: whether the network was rolled back.
    events: to emit, in order.
    """

    is_suspect: bool = False
    has_rolled_back: bool = False
    events: tuple[EventBody, ...] = ()


class Governor:
    """Judges the network after each evaluation, and rolls it back to the last good snapshot."""

    def __init__(self, trials: Trials, options: GovernorOptions, chance_loss: float | None) -> None:
        self.trials, self.options = trials, options
        self.monitor = LossMonitor(options, chance_loss)
        self._snapshot = Snapshot.take(trials.host, 0) if options.enabled else None

    @property
    def rollbacks(self) -> int:
        """Number of rollbacks so far."""
        return self.monitor.rollbacks

    @property
    def has_ended_growth(self) -> bool:
        """True once there were so many rollbacks that the run continues without growth."""
        return self.monitor.has_ended_growth

    def inspect(self, metrics: EpochMetrics, trained: TrainReport) -> Inspection:
        """Judge the network; roll it back if the verdict says so."""
        if self._snapshot is None:
            return Inspection()
        health = self.monitor.check(
            metrics.epoch,
            metrics.val_loss,
            trained.loss,
            trained.is_finite,
            self._snapshot.is_grown(self.trials.host),
        )
        if health.kind is HealthKind.ROLL_BACK:
            return self._roll_back(self._snapshot, health, metrics)
        if health.kind is HealthKind.SUSPECT:
            return Inspection(is_suspect=True, events=(self._action("suspect", health, metrics),))
        return Inspection()

    def _roll_back(self, snapshot: Snapshot, health: Health, metrics: EpochMetrics) -> Inspection:
        host = self.trials.host
        culled = sum(seed.stage in LIVE for seed in host.seeds())
        moves = roll_back(host, snapshot, metrics.epoch, f"rolled back: {health.reason}")
        self.trials.give_up()
        self._snapshot = snapshot.without_live()
        self.monitor.rollbacks += 1
        action = self._action("rollback", health, metrics, restored=snapshot.epoch, culled=culled)
        events: list[EventBody] = [action, *moves]
        if self.rollbacks == self.options.max_rollbacks:
            events.append(self._action("end_growth", health, metrics))
        return Inspection(is_suspect=True, has_rolled_back=True, events=tuple(events))

    def _action(
        self,
        action: str,
        health: Health,
        metrics: EpochMetrics,
        restored: int | None = None,
        culled: int = 0,
    ) -> GovernorAction:
        return GovernorAction(
            action=action,
            reason=health.reason,
            val_loss=metrics.val_loss if math.isfinite(metrics.val_loss) else None,
            limit=health.limit,
            restored_epoch=restored,
            rollbacks=self.rollbacks,
            culled=culled,
        )

    def keep(self, epoch: int) -> None:
        """Take a snapshot of the network, which must not be suspect."""
        if self._snapshot is not None:
            self._snapshot = Snapshot.take(self.trials.host, epoch)

    def state_dict(self, epoch: int) -> dict[str, Any]:
        """Return everything that changes; leave out a snapshot that equals the network."""
        saved = self._snapshot
        if saved is not None and saved.epoch == epoch and not self.trials.host.steps_in_epoch:
            saved = None
        return {
            "monitor": self.monitor.state_dict(),
            "snapshot": None if saved is None else saved.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any], epoch: int) -> None:
        """Restore a state from `state_dict`; the host must be at `epoch` already."""
        self.monitor.load_state_dict(state["monitor"])
        if self.options.enabled:
            saved = state["snapshot"]
            self._snapshot = Snapshot(**saved) if saved else Snapshot.take(self.trials.host, epoch)
