"""The epochs: train, evaluate, let the grower step, tell people."""

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
    task: Task, grower: Grower, bus: EventBus, keeping: RunCheckpoints, stop: Interrupt
) -> list[dict[str, Any]]:
    """Train for what is left of the budget and return the lines of `metrics.jsonl`.

    Raises:
        InterruptionError: when it was asked to stop; where it stood was saved.
    """
    told_ms = 0.0
    for epoch in range(grower.epoch + 1, task.epochs + 1):
        began = time.perf_counter()
        progress = keeping.progress()
        busy_before_ms = progress.busy_ms
        trained = task.train_on(grower.host.model, grower.host.optimizer, epoch, progress, stop)
        if trained is None:
            keeping.save(progress)
            raise InterruptionError(keeping.farewell(stop))
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
        # Telling of an epoch is part of its control, but only known once its line is written.
        line = metrics_line(grower, step, trained, told_ms + total_ms - busy_ms)
        # The line is written first: what a checkpoint holds must be told of before it counts.
        line["checkpoint_ms"] = keeping.spent_ms()
        began = time.perf_counter()
        bus.epoch(line)
        told_ms = (time.perf_counter() - began) * 1e3
        keeping.epoch(line, step)
        if stop.is_asked and epoch < task.epochs:
            raise InterruptionError(keeping.farewell(stop))
    return keeping.lines


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
