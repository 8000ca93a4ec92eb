"""The epochs of a run: train, take the control step, log a line, save a checkpoint."""

import time
from typing import Any

from esper.contracts.errors import InterruptionError
from esper.contracts.metrics import TrainReport
from esper.contracts.stage import LIVE, SeedStage
from esper.contracts.step import StepReport
from esper.grower.grower import Grower
from esper.growth.param_groups import kernel_groups
from esper.logger.bus import EventBus
from esper.run.checkpoints import RunCheckpoints
from esper.run.interrupt import Interrupt
from esper.run.task import Task

_QUIET = frozenset({SeedStage.DORMANT, SeedStage.EMBARGOED})


def run_epochs(
    task: Task, grower: Grower, bus: EventBus, checkpoints: RunCheckpoints, interrupt: Interrupt
) -> None:
    """Train all remaining epochs; their lines are appended to `checkpoints.lines`.

    Raises:
        InterruptionError: if `interrupt` is requested; the run is saved before.
    """
    logging_ms = 0.0
    for epoch in range(grower.epoch + 1, task.epochs + 1):
        began = time.perf_counter()
        progress = checkpoints.take_progress()
        busy_before_ms = progress.busy_ms
        host = grower.host
        trained = task.train_on(host.model, host.optimizer, epoch, progress, interrupt)
        if trained is None:
            checkpoints.save(progress)
            raise InterruptionError(checkpoints.where_it_stopped(interrupt))
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
        # Write the line before the checkpoint, so that a resumed run never lacks it.
        began = time.perf_counter()
        bus.epoch(line)
        logging_ms = (time.perf_counter() - began) * 1e3
        checkpoints.save_epoch(line, step)
        if interrupt.is_requested and epoch < task.epochs:
            raise InterruptionError(checkpoints.where_it_stopped(interrupt))


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
