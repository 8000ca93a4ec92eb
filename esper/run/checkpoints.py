"""Keep a run: a checkpoint an epoch, and the way back to where the last one was saved."""

import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from esper.checkpoint.rotation import CheckpointRotation
from esper.contracts.errors import CheckpointError, EsperError
from esper.contracts.event import CheckpointNote, EventBody, Recovery
from esper.contracts.stage import SeedStage
from esper.contracts.step import StepReport
from esper.grower.grower import Grower
from esper.logger.bus import EventBus
from esper.run.interrupt import Interrupt
from esper.rundir.layout import CHECKPOINTS, COMMAND
from esper.rundir.records import cut_back, finished_lines
from esper.rundir.same_config import check_same
from esper.training.epoch import Progress

_log = logging.getLogger(__name__)


class RunCheckpoints:
    """Saves a run and takes it up again.

    facts: of the run, kept in every checkpoint: `config` and `versions`.
    began_s: when the run began, on the clock of `time.perf_counter`.
    lines: those of `metrics.jsonl` so far.
    """

    def __init__(
        self,
        run_dir: Path,
        grower: Grower,
        bus: EventBus,
        facts: dict[str, Any],
        began_s: float,
    ) -> None:
        self.run_dir, self.grower, self.bus = run_dir, grower, bus
        self.lines: list[dict[str, Any]] = []
        self._keeper = CheckpointRotation(run_dir / CHECKPOINTS)
        self._facts = facts
        self._progress: Progress | None = None
        self._spent_ms = 0.0
        self._best = -math.inf
        self._began_s = began_s

    @property
    def elapsed_s(self) -> float:
        """Seconds that the run has taken so far, those before it was taken up again included."""
        return time.perf_counter() - self._began_s

    def resume(self) -> list[EventBody]:
        """Make the grower stand where the newest sound checkpoint was saved; return what to tell.

        Without any checkpoint the run starts anew.

        Raises:
            CheckpointError: if there are some but none is sound, or they are of another run.
        """
        found = self._keeper.latest()
        if found is None:
            cut_back(self.run_dir, 0)
            return []
        saved, facts = found.saved.tree, found.saved.facts
        check_same(facts["config"], self._facts["config"], facts["epoch"])
        self.grower.load_state_dict(saved["grower"])
        if saved["progress"] is not None:
            self._progress = Progress()
            weights = next(self.grower.host.model.parameters())
            self._progress.load_state_dict(saved["progress"], weights.device)
        self._began_s -= facts["elapsed_s"]
        self._best = facts["best"]
        cut_back(self.run_dir, self.grower.epoch)
        self.lines = finished_lines(self.run_dir, self.grower.epoch)
        events: list[EventBody] = []
        for name, reason in found.refused:
            _log.warning("%s; the one before it is used", reason)
            self._keeper.discard(name)
            events.append(_refused(reason))
        self._keeper.tidy()
        note = CheckpointNote(action="resumed", folder=found.folder.name, save_ms=None)
        return [*events, note]

    def progress(self) -> Progress:
        """Return how far the epoch to come was trained before; hand it out once."""
        progress, self._progress = self._progress or Progress(), None
        return progress

    def spent_ms(self) -> float:
        """Return the milliseconds of the last save."""
        return self._spent_ms

    def epoch(self, line: dict[str, Any], step: StepReport) -> None:
        """Save the run at the end of an epoch whose line was written.

        It is the best one if no other was as good, and if the network is still what was evaluated:
        nothing was culled in the control step, and nothing rolled back.
        """
        is_culled = any(move.to_stage is SeedStage.CULLED for move in step.moves)
        is_changed = is_culled or step.has_rolled_back
        goodness = -math.inf if is_changed else _goodness(line)
        is_best = goodness > self._best
        self._best = max(self._best, goodness)
        self.lines.append(line)
        self._save(None, is_best=is_best)

    def save(self, progress: Progress) -> None:
        """Save the run in the middle of an epoch."""
        self._save(progress, is_best=False)

    def farewell(self, stop: Interrupt) -> str:
        """Say where an interrupted run stands and how it goes on."""
        return (
            f"stopped by {stop.signal_name} after epoch {self.grower.epoch} of "
            f"{self.grower.epochs}; nothing is lost: esper train --resume {self._whole}"
        )

    @property
    def _whole(self) -> Path:
        """What to resume: the sweep of a job, else the run itself."""
        sweep = self.run_dir.parent
        return sweep if (sweep / COMMAND).exists() else self.run_dir

    def _save(self, progress: Progress | None, *, is_best: bool) -> None:
        began = time.perf_counter()
        tree = {
            "grower": self.grower.state_dict(),
            "progress": None if progress is None else progress.state_dict(),
        }
        facts = {
            **self._facts,
            "epoch": self.grower.epoch,
            "best": self._best,
            "step": 0 if progress is None else progress.num_steps,
            "elapsed_s": self.elapsed_s,
        }
        try:
            self._keeper.save(tree, facts, is_best=is_best)
        except OSError as error:
            where = error.filename or self._keeper.folder
            is_kept = bool(self._keeper.candidates())
            left = "the checkpoint before is intact" if is_kept else "nothing was saved before"
            raise EsperError(
                f"cannot save the run: {error.strerror or error}: {where}; {left}: "
                f"esper train --resume {self.run_dir}"
            ) from error
        self._spent_ms = (time.perf_counter() - began) * 1e3
        note = CheckpointNote(action="saved", folder="last", save_ms=self._spent_ms)
        self.grower.emit(note)


def _goodness(line: Mapping[str, Any]) -> float:
    """Return the accuracy, or where that is unknown the loss, turned round."""
    if line["val_accuracy"] is not None:
        return float(line["val_accuracy"])
    loss = line["val_loss"]
    return -math.inf if loss is None or math.isnan(loss) else -float(loss)


def _refused(reason: str) -> Recovery:
    return Recovery(
        where="checkpoint",
        error=CheckpointError.__name__,
        strategy="fallback",
        recovered=True,
        message=f"{reason}; the one before it is used",
    )
