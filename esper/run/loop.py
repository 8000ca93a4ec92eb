"""The epochs of a run: train, take the control step, log a line, save a checkpoint."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from esper.contracts.budget import Budget
from esper.contracts.errors import InterruptionError
from esper.contracts.metrics import TrainReport
from esper.contracts.size import Milestone
from esper.contracts.stage import LIVE, SeedStage
from esper.contracts.step import StepReport
from esper.grower.grower import Grower
from esper.growth.param_groups import kernel_groups
from esper.logger.bus import EventBus
from esper.run.checkpoints import RunCheckpoints
from esper.run.growing import Growing
from esper.run.interrupt import Interrupt
from esper.run.task import Task

_QUIET = frozenset({SeedStage.DORMANT, SeedStage.EMBARGOED})


@dataclass(frozen=True)
class End:
    """What ends a run: a number of epochs, or, where that is None, a budget or a signal."""

    epochs: int | None
    budget: Budget = field(default_factory=Budget)

    def reason(self, grower: Grower, seconds: float) -> str | None:
        """Return what ends a run that has used so much; None if nothing does."""
        if self.epochs is not None:
            return "epochs" if grower.epoch >= self.epochs else None
        return "budget" if self.budget.is_used(seconds, grower.costs.spent.flops) else None


def run_epochs(
    task: Task,
    growing: Growing,
    bus: EventBus,
    checkpoints: RunCheckpoints,
    interrupt: Interrupt,
    end: End,
) -> str:
    """Train all remaining epochs, their lines are appended to `checkpoints.lines`; return the end.

    It is `epochs`, `budget`, or the name of a signal, where the number of epochs is open.

    Raises:
        InterruptionError: if a signal stops a run of known length; it is saved before.
    """
    logging_ms = 0.0
    while (reason := end.reason(growing.grower, checkpoints.usage.elapsed_s)) is None:
        grower = growing.grower
        epoch = grower.epoch + 1
        began = time.perf_counter()
        progress = checkpoints.take_progress()
        busy_before_ms = progress.busy_ms
        host = grower.host
        trained = task.train_on(host.model, host.optimizer, epoch, progress, interrupt)
        if trained is None:
            checkpoints.save(progress)
            return _interrupted(end, checkpoints, interrupt)
        step = grower.step(
            task.evaluate,
            lambda model, optimizer: task.train(model, optimizer, epoch),  # noqa: B023
            trained=trained,
            loss=task.loss,
            probe=task.probe,
        )
        total_ms = (time.perf_counter() - began) * 1e3
        assert trained.busy_ms is not None, "the task measures it"
        measuring_ms = step.evaluation_ms + step.attribution_ms + step.probe_ms
        busy_ms = trained.busy_ms - busy_before_ms + measuring_ms
        # Logging counts as control.  It happens after its line is made, so the line of an epoch
        # counts the logging of the epoch before.
        line = metrics_line(grower, step, trained, logging_ms + total_ms - busy_ms)
        line["checkpoint_ms"] = checkpoints.save_ms
        growing.after(step)
        if end.epochs is None:
            grower.emit(*milestones([*checkpoints.lines, line], grower.best.epoch))
        # Write the line before the checkpoint, so that a resumed run never lacks it.
        began = time.perf_counter()
        bus.epoch(line)
        logging_ms = (time.perf_counter() - began) * 1e3
        checkpoints.save_epoch(line, step)
        if interrupt.is_requested and epoch != end.epochs:
            return _interrupted(end, checkpoints, interrupt)
    return reason


def _interrupted(end: End, checkpoints: RunCheckpoints, interrupt: Interrupt) -> str:
    if end.epochs is not None:
        raise InterruptionError(checkpoints.where_it_stopped(interrupt))
    return str(interrupt.signal_name)


def milestones(lines: Sequence[Mapping[str, Any]], best_epoch: int) -> list[Milestone]:
    """Return what to tell of the last epoch, with which the cost of a run has doubled again."""
    spent = list(accumulate(line["flops"] for line in lines))
    octaves = [math.floor(math.log2(each / spent[0])) for each in spent[-2:]]
    if len(octaves) < 2 or octaves[0] == octaves[1] or not best_epoch:
        return []
    best = lines[best_epoch - 1]
    return [
        Milestone(
            flops=spent[-1],
            best_epoch=best_epoch,
            val_loss=best["val_loss"],
            val_accuracy=best["val_accuracy"],
            parameters=best["params"],
        )
    ]


def metrics_line(
    grower: Grower, step: StepReport, trained: TrainReport, control_ms: float
) -> dict[str, Any]:
    """Return the line of an epoch for `metrics.jsonl`; an unknown value is None."""
    metrics, host = step.metrics, grower.host
    kernels = kernel_groups(host.optimizer)
    return {
        "epoch": metrics.epoch,
        "train_loss": metrics.train_loss,
        "val_loss": metrics.val_loss,
        "train_accuracy": metrics.train_accuracy,
        "val_accuracy": metrics.val_accuracy,
        "params": host.num_parameters,
        "live_seeds": sum(1 for seed in host.seeds() if seed.stage in LIVE),
        "flops": step.flops,
        "learning_rate": trained.learning_rate,
        "step_ms": None if trained.busy_ms is None else trained.busy_ms / (trained.num_steps or 1),
        "train_ms": trained.busy_ms,
        "evaluation_ms": step.evaluation_ms,
        "control_ms": control_ms,
        "attribution_ms": step.attribution_ms,
        "probe_ms": step.probe_ms,
        "seeds": [
            {
                "slot": seed.slot,
                "seed": seed.index,
                "blueprint": seed.bound,
                "stage": str(seed.stage),
                "alpha": seed.alpha,
                "learning_rate": kernels.get((seed.slot, seed.index), {}).get("lr"),
                "ablation": None if seed.current is None else seed.current.ablation,
                "gain": None if seed.current is None else seed.current.gain,
            }
            for seed in host.seeds()
            if seed.stage not in _QUIET
        ],
    }
