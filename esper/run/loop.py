"""The epochs: train, let the grower evaluate and step, log the epoch, save the run."""

import time
from typing import Any

from esper.contracts.errors import InterruptionError
from esper.contracts.metrics import TrainReport
from esper.contracts.stage import SeedStage
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
    """Train for what is left of the budget; the lines of the epochs are in `checkpoints.lines`.

    Raises:
        InterruptionError: when the interrupt was requested; the run was saved.
    """
    logging_ms = 0.0
    for epoch in range(grower.epoch + 1, task.epochs + 1):
        began = time.perf_counter()
        progress = checkpoints.take_progress()
        busy_before_ms = progress.busy_ms
        trained = task.train_on(
            grower.host.model, grower.host.optimizer, epoch, progress, interrupt
        )
        if trained is None:
            checkpoints.save(progress)
            raise InterruptionError(checkpoints.where_it_stopped(interrupt))
        # Steps taken by the twins listen to hosts of their own: this counts the network's alone.
        step = grower.step(
            task.evaluate,
            lambda model, optimizer: task.train(model, optimizer, epoch),  # noqa: B023
            trained=trained,
            loss=task.loss,
        )
        total_ms = (time.perf_counter() - began) * 1e3
        assert trained.busy_ms is not None, "the task measures it"
        busy_ms = trained.busy_ms - busy_before_ms + step.evaluation_ms + step.attribution_ms
        # Logging an epoch belongs to its control, but takes place after its line is made: the
        # line counts the logging of the epoch before.
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
    """Return one line of `metrics.jsonl`; None is unknown."""
    metrics, host = step.metrics, grower.host
    kernels = kernel_groups(host.optimizer)
    num_steps = trained.num_steps or 1
    return {
        "epoch": metrics.epoch,
        "train_loss": metrics.train_loss,
        "val_loss": metrics.val_loss,
        "train_accuracy": metrics.train_accuracy,
        "val_accuracy": metrics.val_accuracy,
        "params": host.num_parameters,
        "live_seeds": sum(1 for seed in host.seeds() if seed.state(metrics.epoch).is_live),
        "flops": step.flops,
        "learning_rate": trained.learning_rate,
        "step_ms": None if trained.busy_ms is None else trained.busy_ms / num_steps,
        "train_ms": trained.busy_ms,
        "evaluation_ms": step.evaluation_ms,
        "control_ms": control_ms,
        "attribution_ms": step.attribution_ms,
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
