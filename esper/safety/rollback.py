"""Watch over a network and take back what harmed it: the governor's judgement, made to happen."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from esper.attribution.trials import Trials
from esper.contracts.event import EventKind, GovernorAction, LifecycleMove
from esper.contracts.metrics import TrainReport
from esper.contracts.stage import BLENDED, LIVE
from esper.growth import attach
from esper.growth.host import Host, Moment
from esper.growth.host_state import put_weights, weights_of
from esper.growth.lifecycle import cull_and_embargo
from esper.growth.slot import Seed
from esper.probe.tensors import Tensors
from esper.safety.governor import GovernorOptions, Health, HealthKind, LossMonitor
from esper.signals.windows import finite_or_none


@dataclass(frozen=True)
class Snapshot:
    """Copies of what a rollback restores.

    epoch: the epoch after which it was taken, 0 before the first.
    blended: the stages of the seeds whose kernels added to the network's output, by `slot/seed`.
    tensors, moments: the weights of host and fossilized kernels, as in `growth.host_state`.
    """

    epoch: int
    blended: dict[str, str]
    tensors: Tensors
    moments: dict[str, list[dict[str, Any]]]

    @classmethod
    def take(cls, host: Host, epoch: int) -> "Snapshot":
        """Return copies of the weights of a host, those of live kernels left out."""
        weights = weights_of(host)
        for seed in host.seeds():
            if seed.stage in LIVE:
                _leave_out(seed, weights)
        return cls(epoch, _blended(host), **copy.deepcopy(weights))

    def is_grown(self, host: Host) -> bool:
        """Return whether a kernel may do harm: one is open, or was added or removed since."""
        now = _blended(host)
        return now != self.blended or any(stage in LIVE for stage in now.values())

    def without_live(self) -> "Snapshot":
        """Return the snapshot as it is after a rollback, which culls the live kernels."""
        stayed = {key: stage for key, stage in self.blended.items() if stage not in LIVE}
        return replace(self, blended=stayed)

    def state_dict(self) -> dict[str, Any]:
        """Return all of it as plain values and tensors."""
        return dict(vars(self))


def roll_back(host: Host, snapshot: Snapshot, epoch: int, reason: str) -> list[LifecycleMove]:
    """Cull every live seed and restore what the snapshot holds; return the moves.

    A kernel that was fossilized after the snapshot keeps its weights as they are.
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
    bank = ".".join(part for part in (seed.slot, attach.BANK) if part)
    kernel, alpha = f"{bank}.kernels.{seed.index}.", f"{bank}.alpha_{seed.index}"
    for name in [n for n in weights["tensors"] if n == alpha or n.startswith(kernel)]:
        del weights["tensors"][name]


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
