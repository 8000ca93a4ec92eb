"""Save a run after each epoch, and resume it from its newest checkpoint."""

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
from esper.probe.tensors import Tensors
from esper.run.config_file import check_same
from esper.run.growing import Growing
from esper.run.interrupt import Interrupt
from esper.run.usage import RunUsage
from esper.rundir.layout import CHECKPOINTS, EVENTS, METRICS
from esper.rundir.records import cut_back, is_sweep
from esper.rundir.seal import RecordSeals, check_seals
from esper.training.epoch import Progress

_log = logging.getLogger(__name__)


class RunCheckpoints:
    """Saves and resumes a run.

    facts: `config` and `versions` of the run, stored in every checkpoint.
    usage: what the run has used; a resume adds its earlier parts.
    lines: lines of `metrics.jsonl` so far.
    save_ms: time that the last save took.
    """

    def __init__(
        self, run_dir: Path, growing: Growing, facts: dict[str, Any], usage: RunUsage
    ) -> None:
        self.run_dir, self.growing, self.usage = run_dir, growing, usage
        self.lines: list[dict[str, Any]] = []
        self.save_ms = 0.0
        self._rotation = CheckpointRotation(run_dir / CHECKPOINTS)
        self._facts = facts
        self._seals = RecordSeals(run_dir)
        self._progress: Progress | None = None
        self._best = -math.inf

    @property
    def grower(self) -> Grower:
        """The present grower."""
        return self.growing.grower

    def resume(self) -> list[EventBody]:
        """Restore the newest usable checkpoint; return events about it, to be published later.

        Without a checkpoint, remove the lines of an earlier start, and begin at the first epoch.

        Raises:
            CheckpointError: if no checkpoint is usable, they are of another configuration, or the
                records are not those that the run wrote.
        """
        newest = self._rotation.latest()
        if newest is None:
            for name in (METRICS, EVENTS):
                (self.run_dir / name).unlink(missing_ok=True)
            return []
        saved, facts = newest.saved.tree, newest.saved.facts
        check_same(facts["config"], self._facts["config"], facts["epoch"])
        check_seals(self.run_dir, facts["records"])
        self.growing.load_state_dict(saved["growing"], saved["grower"])
        if saved["progress"] is not None:
            self._progress = Progress()
            weights = next(self.grower.host.model.parameters())
            self._progress.load_state_dict(saved["progress"], weights.device)
        self.usage.resume(facts)
        self._best = facts["best"]
        self.lines = cut_back(self.run_dir, self.grower.epoch)
        events: list[EventBody] = []
        for name, reason in newest.refused:
            message = f"{reason}; the one before it is used"
            _log.warning(message)
            self._rotation.discard(name)
            events.append(
                Recovery(
                    where="checkpoint",
                    error=CheckpointError.__name__,
                    strategy="fallback",
                    recovered=True,
                    message=message,
                )
            )
        self._rotation.tidy()
        note = CheckpointNote(action="resumed", folder=newest.folder.name, save_ms=None)
        return [*events, note]

    def take_progress(self) -> Progress:
        """Return the progress of the next epoch: empty, unless the checkpoint is of its middle."""
        progress, self._progress = self._progress or Progress(), None
        return progress

    def save_epoch(self, line: dict[str, Any], step: StepReport) -> None:
        """Save the run at the end of an epoch, after its line was written.

        The checkpoint is the best one if its validation score is higher than all before, and if
        the control step has neither kept a seed nor rolled the network back since the evaluation,
        which left out seeds on trial.  Only then does it hold the evaluation's batch statistics.
        """
        is_kept = any(move.to_stage is SeedStage.FOSSILIZED for move in step.moves)
        is_evaluated = not is_kept and not step.has_rolled_back
        score = _score(line) if is_evaluated else -math.inf
        is_best = score > self._best
        self._best = max(self._best, score)
        self.lines.append(line)
        self.save(None, self.grower.statistics if is_evaluated else {}, is_best=is_best)

    def where_it_stopped(self, interrupt: Interrupt) -> str:
        """Return the message of an interrupted run: its last epoch, and how to resume it."""
        sweep = self.run_dir.parent
        folder = sweep if is_sweep(sweep) else self.run_dir
        return (
            f"stopped by {interrupt.signal_name} after epoch {self.grower.epoch} of "
            f"{self.grower.epochs}; nothing is lost: esper train --resume {folder}"
        )

    def save(
        self, progress: Progress | None, statistics: Tensors | None = None, *, is_best: bool = False
    ) -> None:
        """Save the run, with its `progress` if it is in the middle of an epoch.

        `statistics` are the batch statistics, by name, of the network that was evaluated, where
        they are not the averaged ones.

        Raises:
            EsperError: if the checkpoint cannot be written; the earlier ones are kept.
        """
        began = time.perf_counter()
        tree = {
            "grower": self.grower.state_dict(),
            "growing": self.growing.state_dict(),
            "progress": None if progress is None else progress.state_dict(),
            "statistics": statistics or {},
        }
        try:
            facts = {
                **self._facts,
                "epoch": self.grower.epoch,
                "best": self._best,
                "step": 0 if progress is None else progress.num_steps,
                "records": self._seals.take(),
                **self.usage.facts(),
            }
            self._rotation.save(tree, facts, is_best=is_best)
        except OSError as error:
            where = error.filename or self._rotation.folder
            is_kept = self._rotation.candidates()
            before = "the checkpoint before is intact" if is_kept else "nothing was saved before"
            raise EsperError(
                f"cannot save the run: {error.strerror or error}: {where}; {before}: "
                f"esper train --resume {self.run_dir}"
            ) from error
        self.save_ms = (time.perf_counter() - began) * 1e3
        self.grower.emit(CheckpointNote(action="saved", folder="last", save_ms=self.save_ms))


def _score(line: Mapping[str, Any]) -> float:
    """Return the validation accuracy, or the negative loss if it is unknown; higher is better."""
    if line["val_accuracy"] is not None:
        return float(line["val_accuracy"])
    loss = line["val_loss"]
    return -math.inf if loss is None or math.isnan(loss) else -float(loss)
