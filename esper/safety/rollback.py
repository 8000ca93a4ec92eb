"""Roll a network back to its last good snapshot when the governor finds it harmed."""

import math
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from esper.attribution.trials import Trials
from esper.contracts.event import EventBody, GovernorAction, LifecycleMove
from esper.contracts.metrics import EpochMetrics, TrainReport
from esper.contracts.stage import BLENDED, LIVE
from esper.growth import attach, param_groups
from esper.growth.host import Host
from esper.growth.host_state import laid_out
from esper.growth.lifecycle import cull_and_embargo
from esper.probe.tensors import Tensors, copied, put_tensors, tensors_of
from esper.safety.governor import GovernorOptions, Health, HealthKind, LossMonitor

_Moments = dict[str, list[dict[str, Any]]]
"""The optimizer's state of each parameter of a group, by the group's key."""


@dataclass(frozen=True)
class Snapshot:
    """Copies of what a rollback restores.

    epoch: the epoch after which it was taken, 0 before the first.
    blended: the seeds whose kernels had their part in the network, `slot/seed` with the stage.
    tensors: weights and buffers of host and fossilized kernels by name.
    moments: the optimizer's state of their parameters.
    """

    epoch: int
    blended: dict[str, str]
    tensors: Tensors
    moments: _Moments

    @classmethod
    def take(cls, host: Host, epoch: int) -> "Snapshot":
        """Return copies of a host as it stands."""
        live = _live_names(host)
        tensors = copied({k: v for k, v in tensors_of(host.model).items() if k not in live})
        moments = {
            key: [_copied(host.optimizer.state.get(p, {})) for p in group["params"]]
            for key, group in _kept_groups(host).items()
        }
        return cls(epoch, _blended(host), tensors, moments)

    def is_grown(self, host: Host) -> bool:
        """Return whether a kernel that is open, or came or went since then, may have done harm."""
        now = _blended(host)
        return now != self.blended or any(stage in LIVE for stage in now.values())

    def without_live(self) -> "Snapshot":
        """Return what stands after a rollback: the same network without the kernels culled."""
        stayed = {key: stage for key, stage in self.blended.items() if stage not in LIVE}
        return replace(self, blended=stayed)

    def state_dict(self) -> dict[str, Any]:
        """Return all of it as plain values and tensors."""
        return {
            "epoch": self.epoch,
            "blended": self.blended,
            "tensors": self.tensors,
            "moments": self.moments,
        }


def roll_back(host: Host, snapshot: Snapshot, epoch: int, reason: str) -> list[LifecycleMove]:
    """Cull every live seed and restore what the snapshot holds; return the moves.

    A kernel that was fossilized after the snapshot keeps its weights as they are.
    """
    moves: list[LifecycleMove] = []
    felt = {(seed.slot, seed.index) for seed in host.seeds() if seed.stage in BLENDED}
    for seed in host.seeds():
        if seed.stage in LIVE:
            moves += cull_and_embargo(host, seed, epoch, reason)
    host.closed = [
        replace(closed, rolled_back=(closed.slot, closed.seed) in felt) for closed in host.closed
    ]
    put_tensors(host.model, snapshot.tensors)
    for key, group in _kept_groups(host).items():
        for parameter, moments in zip(group["params"], snapshot.moments.get(key, ()), strict=False):
            if moments:
                host.optimizer.state[parameter] = {
                    name: laid_out(moment, parameter) for name, moment in moments.items()
                }
            else:
                host.optimizer.state.pop(parameter, None)
    return moves


def _blended(host: Host) -> dict[str, str]:
    return {
        f"{seed.slot}/{seed.index}": seed.stage.value
        for seed in host.seeds()
        if seed.stage in BLENDED
    }


def _kept_groups(host: Host) -> dict[str, dict[str, Any]]:
    """Return the groups of the host and of its fossilized kernels by a key of each."""
    kept: dict[str, dict[str, Any]] = {}
    for position, group in enumerate(param_groups.host_groups(host.optimizer)):
        kept[str(position)] = group
    for (slot, index), group in param_groups.kernel_groups(host.optimizer).items():
        if host.seed(slot, index).stage not in LIVE:
            kept[f"{slot}/{index}"] = group
    return kept


def _live_names(host: Host) -> set[str]:
    """Return the names of the tensors of live kernels, their alphas included."""
    found: set[str] = set()
    for seed in host.seeds():
        if seed.stage in LIVE:
            bank = attach.bank_of(host.slots[seed.slot].module)
            assert bank is not None, "a live seed has a kernel"
            path = ".".join(part for part in (seed.slot, attach.BANK) if part)
            kernel = tensors_of(bank.kernels[str(seed.index)])
            found |= {f"{path}.kernels.{seed.index}.{name}" for name in kernel}
            found.add(f"{path}.alpha_{seed.index}")
    return found


def _copied(moments: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value.clone() if isinstance(value, Tensor) else value for key, value in moments.items()
    }


@dataclass(frozen=True, slots=True)
class Inspection:
    """What the governor made of one evaluation.

    is_suspect: whether the network may have come to harm; nothing but a cull changes it then.
    has_rolled_back: whether the network was rolled back.
    events: to emit, in order.
    """

    is_suspect: bool = False
    has_rolled_back: bool = False
    events: tuple[EventBody, ...] = ()


class Governor:
    """Judges the network after each evaluation, and rolls it back to the last good snapshot.

    has_ended_growth: whether the run goes on without growth after too many rollbacks.
    """

    def __init__(self, trials: Trials, options: GovernorOptions, chance_loss: float | None) -> None:
        self.trials, self.options = trials, options
        self.monitor = LossMonitor(options, chance_loss)
        self.has_ended_growth = False
        self._snapshot = Snapshot.take(trials.host, 0) if options.enabled else None

    @property
    def rollbacks(self) -> int:
        """Number of rollbacks so far."""
        return self.monitor.rollbacks

    def inspect(self, metrics: EpochMetrics, trained: TrainReport) -> Inspection:
        """Judge the network; roll it back if its health demands it."""
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
        ends_growth = self.monitor.rolled_back() and not self.has_ended_growth
        action = self._action("rollback", health, metrics, restored=snapshot.epoch, culled=culled)
        events: list[EventBody] = [action, *moves]
        if ends_growth:
            self.has_ended_growth = True
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
        """Take a snapshot of the network; call it after an inspection without suspicion."""
        if self._snapshot is not None:
            self._snapshot = Snapshot.take(self.trials.host, epoch)

    def state_dict(self, epoch: int) -> dict[str, Any]:
        """Return everything that changes; a snapshot of the network as it stands is left out."""
        kept = self._snapshot
        stands = kept is None or (kept.epoch == epoch and not self.trials.host.steps_in_epoch)
        return {
            "monitor": self.monitor.state_dict(),
            "has_ended_growth": self.has_ended_growth,
            "snapshot": None if stands or kept is None else kept.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any], epoch: int) -> None:
        """Take over a state; the host stands at `epoch` already."""
        self.monitor.load_state_dict(state["monitor"])
        self.has_ended_growth = state["has_ended_growth"]
        if self.options.enabled:
            saved = state["snapshot"]
            self._snapshot = Snapshot(**saved) if saved else Snapshot.take(self.trials.host, epoch)
