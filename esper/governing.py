"""Watch over a network and take back what harmed it: the governor's judgement, made to happen."""

from collections.abc import Iterator
from typing import Any

from esper.contracts.event import EventKind, GovernorAction
from esper.contracts.metrics import TrainReport
from esper.contracts.stage import LIVE
from esper.growth.host import Moment
from esper.growth.pending import Pending
from esper.growth.rollback import Snapshot, roll_back
from esper.signals.windows import known
from esper.training.governor import Governor, Verdict, VerdictKind, Watch


class Governing:
    """A governor with its snapshot of the last good network.

    is_suspect: whether the last look found the network doubtful; it is not to change then.
    has_rolled_back: whether the last look ended in a rollback.
    has_ended_growth: whether so many rollbacks were needed that the run goes on without growth.
    """

    def __init__(self, pending: Pending, options: Governor, chance_loss: float | None) -> None:
        self.pending, self.options = pending, options
        self.watch = Watch(options, chance_loss)
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
        self.is_suspect = verdict.kind is not VerdictKind.CLEAN
        if verdict.kind is VerdictKind.SUSPECT:
            yield EventKind.GOVERNOR, self._action("suspect", verdict, moment)
        if verdict.kind is VerdictKind.ROLL_BACK:
            yield from self._roll_back(self._snapshot, verdict, moment)

    def _roll_back(
        self, snapshot: Snapshot, verdict: Verdict, moment: Moment
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
        verdict: Verdict,
        moment: Moment,
        restored: int | None = None,
        culled: int = 0,
    ) -> GovernorAction:
        return GovernorAction(
            action=action,
            reason=verdict.reason,
            val_loss=known(moment.val_loss),
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
