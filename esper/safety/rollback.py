"""Watch over a network and take back what harmed it: the governor's judgement, made to happen."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from esper.attribution.trials import Trials
from esper.contracts.event import EventKind, GovernorAction, LifecycleMove
from esper.contracts.metrics import TrainReport
from esper.contracts.stage import BLENDED, LIVE
from esper.growth import attach, param_groups
from esper.growth.host import Host, Moment
from esper.growth.host_state import laid_out
from esper.growth.lifecycle import cull_and_embargo
from esper.probe.tensors import Tensors, copied, put_tensors, tensors_of
from esper.safety.governor import Health, HealthKind, LossMonitor
from esper.safety.options import GovernorOptions
from esper.signals.windows import finite_or_none

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


class Governor:
    """A governor with its snapshot of the last good network.

    is_suspect: whether the last look found the network doubtful; it is not to change then.
    has_rolled_back: whether the last look ended in a rollback.
    has_ended_growth: whether so many rollbacks were needed that the run goes on without growth.
    """

    def __init__(
        self, pending: Trials, options: GovernorOptions, chance_loss: float | None
    ) -> None:
        self.pending, self.options = pending, options
        self.watch = LossMonitor(options, chance_loss)
        self.is_suspect = self.has_rolled_back = self.has_ended_growth = False
        self._snapshot = Snapshot.take(pending.host, 0) if options.enabled else None

    @property
    def rollbacks(self) -> int:
        """How many rollbacks there were."""
        return self.watch.rollbacks

    def look(self, moment: Moment, trained: TrainReport) -> Iterator[tuple[EventKind, Any]]:
        """Judge the network and roll it back where it must be; yield what to tell."""
        self.is_suspect = self.has_rolled_back = False
        if self._snapshot is None:
            return
        verdict = self.watch.check(
            moment.epoch,
            moment.val_loss,
            trained.loss,
            trained.is_finite,
            self._snapshot.is_grown(self.pending.host),
        )
        self.is_suspect = verdict.kind is not HealthKind.CLEAN
        if verdict.kind is HealthKind.SUSPECT:
            yield EventKind.GOVERNOR, self._action("suspect", verdict, moment)
        if verdict.kind is HealthKind.ROLL_BACK:
            yield from self._roll_back(self._snapshot, verdict, moment)

    def _roll_back(
        self, snapshot: Snapshot, verdict: Health, moment: Moment
    ) -> Iterator[tuple[EventKind, Any]]:
        host = self.pending.host
        culled = sum(seed.stage in LIVE for seed in host.seeds())
        moves = roll_back(host, snapshot, moment.epoch, f"rolled back: {verdict.reason}")
        self.pending.give_up()
        self._snapshot = snapshot.without_live()
        self.has_rolled_back = True
        has_ended = self.watch.rolled_back()
        yield (
            EventKind.GOVERNOR,
            self._action("rollback", verdict, moment, restored=snapshot.epoch, culled=culled),
        )
        for move in moves:
            yield EventKind.LIFECYCLE, move
        if has_ended and not self.has_ended_growth:
            self.has_ended_growth = True
            yield EventKind.GOVERNOR, self._action("end_growth", verdict, moment)

    def _action(
        self,
        action: str,
        verdict: Health,
        moment: Moment,
        restored: int | None = None,
        culled: int = 0,
    ) -> GovernorAction:
        return GovernorAction(
            action=action,
            reason=verdict.reason,
            val_loss=finite_or_none(moment.val_loss),
            limit=verdict.limit,
            restored_epoch=restored,
            rollbacks=self.rollbacks,
            culled=culled,
        )

    def keep(self, epoch: int) -> None:
        """Keep the network as the last good one, unless the look at this epoch was not clean."""
        if self._snapshot is not None and not self.is_suspect:
            self._snapshot = Snapshot.take(self.pending.host, epoch)

    def state_dict(self, epoch: int) -> dict[str, Any]:
        """Return everything that changes; a snapshot of the network as it stands is left out."""
        kept = self._snapshot
        stands = kept is None or (kept.epoch == epoch and not self.pending.host.steps_in_epoch)
        return {
            "watch": self.watch.state_dict(),
            "has_ended_growth": self.has_ended_growth,
            "snapshot": None if stands or kept is None else kept.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any], epoch: int) -> None:
        """Take over a state; the host stands at `epoch` already."""
        self.watch.load_state_dict(state["watch"])
        self.has_ended_growth = state["has_ended_growth"]
        if self.options.enabled:
            saved = state["snapshot"]
            self._snapshot = Snapshot(**saved) if saved else Snapshot.take(self.pending.host, epoch)
