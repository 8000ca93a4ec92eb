"""Save a run after each epoch, and resume it from the last checkpoint."""

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
from esper.rundir.layout import CHECKPOINTS, EVENTS, METRICS
from esper.rundir.records import cut_back, finished_lines, is_sweep
from esper.rundir.same_config import check_same
from esper.training.epoch import Progress

_log = logging.getLogger(__name__)


class RunCheckpoints:
    """Saves a run and resumes it.

    facts: of the run, stored in every checkpoint: `config` and `versions`.
    began_s: when the run began, on the clock of `time.perf_counter`.
    lines: those of `metrics.jsonl` so far.
    save_ms: time of the last save.
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
        self.save_ms = 0.0
        self._rotation = CheckpointRotation(run_dir / CHECKPOINTS)
        self._facts = facts
        self._progress: Progress | None = None
        self._best = -math.inf
        self._began_s = began_s

    @property
    def elapsed_s(self) -> float:
        """Seconds that the run has trained, those before it was resumed included."""
        return time.perf_counter() - self._began_s

    def resume(self) -> list[EventBody]:
        """Restore the newest sound checkpoint; return the events of that, to publish them later.

        Without any checkpoint the run starts from its first epoch, and the lines that a former
        start left are removed.

        Raises:
            CheckpointError: if there are some but none is sound, or they are of another run.
        """
        newest = self._rotation.latest()
        if newest is None:
            for name in (METRICS, EVENTS):
                (self.run_dir / name).unlink(missing_ok=True)
            return []
        saved, facts = newest.saved.tree, newest.saved.facts
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
        for name, reason in newest.refused:
            message = f"{reason}; the one before it is used"
            _log.warning(message)
            self._rotation.discard(name)
            events.append(_refused(message))
        self._rotation.tidy()
        note = CheckpointNote(action="resumed", folder=newest.folder.name, save_ms=None)
        return [*events, note]

    def take_progress(self) -> Progress:
        """Return the steps of the epoch to come that the checkpoint holds; none the second time."""
        progress, self._progress = self._progress or Progress(), None
        return progress

    def save_epoch(self, line: dict[str, Any], step: StepReport) -> None:
        """Save the run at the end of an epoch whose line was written.

        It is the best one if no other was as good, and if the network is still the one that was
        evaluated: the control step culled nothing, and rolled nothing back.
        """
        is_culled = any(move.to_stage is SeedStage.CULLED for move in step.moves)
        is_changed = is_culled or step.has_rolled_back
        goodness = -math.inf if is_changed else _goodness(line)
        is_best = goodness > self._best
        self._best = max(self._best, goodness)
        self.lines.append(line)
        self.save(None, is_best=is_best)

    def where_it_stopped(self, interrupt: Interrupt) -> str:
        """Return the line about an interrupted run: after which epoch, and how to resume it."""
        sweep = self.run_dir.parent
        folder = sweep if is_sweep(sweep) else self.run_dir
        return (
            f"stopped by {interrupt.signal_name} after epoch {self.grower.epoch} of "
            f"{self.grower.epochs}; nothing is lost: esper train --resume {folder}"
        )

    def save(self, progress: Progress | None, *, is_best: bool = False) -> None:
        """Save the run, with the `progress` of the epoch if in the middle of one.

        Raises:
            EsperError: if the checkpoint cannot be written; the one before is kept.
        """
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
            self._rotation.save(tree, facts, is_best=is_best)
        except OSError as error:
            where = error.filename or self._rotation.folder
            is_kept = bool(self._rotation.candidates())
            left = "the checkpoint before is intact" if is_kept else "nothing was saved before"
            raise EsperError(
                f"cannot save the run: {error.strerror or error}: {where}; {left}: "
                f"esper train --resume {self.run_dir}"
            ) from error
        self.save_ms = (time.perf_counter() - began) * 1e3
        note = CheckpointNote(action="saved", folder="last", save_ms=self.save_ms)
        self.grower.emit(note)


def _goodness(line: Mapping[str, Any]) -> float:
    """Return the accuracy, or where that is unknown the negative loss: higher is better."""
    if line["val_accuracy"] is not None:
        return float(line["val_accuracy"])
    loss = line["val_loss"]
    return -math.inf if loss is None or math.isnan(loss) else -float(loss)


def _refused(message: str) -> Recovery:
    return Recovery(
        where="checkpoint",
        error=CheckpointError.__name__,
        strategy="fallback",
        recovered=True,
        message=message,
    )
