"""From a checked configuration to a finished run: all wiring is here."""

import math
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from esper.config import RunConfig
from esper.contracts.errors import ConfigError, DataError
from esper.contracts.event import Event, EventKind
from esper.data.base import DataSet
from esper.grower.grower import Grower
from esper.grower.options import GrowerOptions
from esper.growth.network_file import save_network
from esper.kernels.errors import EscalatedError, escalate
from esper.logger.bus import EventBus
from esper.logger.console import ConsoleSink
from esper.logger.jsonl import Jsonl
from esper.logger.serialise import plain
from esper.model.fit import check_fit
from esper.options import ControlOptions, option_name
from esper.run.checkpoints import RunCheckpoints
from esper.run.interrupt import catch_signals
from esper.run.loop import run_epochs
from esper.run.summary import git_sha, summarise, versions
from esper.run.task import Task, scores
from esper.rundir.layout import SNAPSHOT, SUMMARY, write_json
from esper.rundir.lock import lock_run_dir
from esper.training.optimizer import build_optimizer

EXAMPLE_BATCH = 4
LEAST_VALIDATION = 2


def run(
    config: RunConfig,
    run_dir: Path,
    raw: dict[str, Any],
    sweep: str | None = None,
    *,
    resume: bool = False,
) -> dict[str, Any]:
    """Train and grow one network; leave everything about it in `run_dir`; return the summary.

    Args:
        config: checked options.
        run_dir: an existing folder.
        raw: the configuration as plain values, for those who are told of the run.
        sweep: name of the sweep that the run belongs to.
        resume: whether to go on from the checkpoints in `run_dir`, where there are any.

    Raises:
        InterruptionError: if a signal asked to stop; where the run stood was saved.
        EsperError: if data, model or slots do not fit, or the run cannot be recorded.
    """
    with lock_run_dir(run_dir):
        return _run(config, run_dir, raw, sweep, resume=resume)


def _run(
    config: RunConfig, run_dir: Path, raw: dict[str, Any], sweep: str | None, *, resume: bool
) -> dict[str, Any]:
    began_s = time.perf_counter()
    torch.set_num_threads(config.training.threads)
    data = _load(config)
    torch.manual_seed(config.rng_seed)
    model = config.model.build(data.spec).to(_device(config.device))
    check_fit(model, example_input(data), _answer_shape(data))
    optimizer = build_optimizer(model, config.training)
    # The displays of jobs side by side would fall over one another: a sweep has a line a job.
    screen = [] if sweep else [ConsoleSink()]
    bus = EventBus(Jsonl(run_dir), *screen, *config.logger.build(run_dir))
    grower = Grower(
        model,
        optimizer,
        example_input=example_input(data),
        epochs=config.epochs,
        rng_seed=config.rng_seed,
        bus=bus,
        chance_loss=math.log(data.spec.num_classes),
        **grower_options(config, run_id=str(run_dir.resolve())),
    )
    keeping = RunCheckpoints(run_dir, grower, bus, {"config": raw, "versions": versions()}, began_s)
    summary: dict[str, Any] | None = None
    try:
        resumed = keeping.resume() if resume else []
        (run_dir / SUMMARY).unlink(missing_ok=True)
        if grower.settlement.snapshot and not grower.epoch:
            write_json(run_dir / SNAPSHOT, plain(grower.settlement.snapshot))
        facts = {**_facts(config, run_dir, raw), "sweep": sweep, "resumed_epoch": grower.epoch}
        bus.start(facts)
        for kind, body in resumed:
            bus.publish(Event(kind=kind, epoch=grower.epoch, body=body))
        task = Task(data, config.data.batch_size, config.training, config.epochs, config.rng_seed)
        with catch_signals() as stop:
            lines = run_epochs(task, grower, bus, keeping, stop)
        finished = _conclude(config, run_dir, (data, grower, lines), keeping.elapsed_s)
        write_json(run_dir / SUMMARY, finished)
        summary = finished
    except (EscalatedError, RuntimeError, OSError) as error:
        _tell_escalation(grower, error)
        raise
    finally:
        grower.close()
        bus.close(summary)
    return summary


def _tell_escalation(grower: Grower, error: Exception) -> None:
    """Tell of an error that no run can go on after, and raise it as one line."""
    try:
        escalate(error)
    except EscalatedError as last:
        body = last.recovery
        grower.bus.publish(Event(kind=EventKind.RECOVERY, epoch=grower.epoch, body=body))
        raise


def _conclude(
    config: RunConfig,
    run_dir: Path,
    trained: tuple[DataSet, Grower, list[dict[str, Any]]],
    elapsed_s: float,
) -> dict[str, Any]:
    """Test the final network, save it, and return the summary."""
    data, grower, lines = trained
    losses_N, hits_N = _test(grower, data)
    grower.notice()
    test = {"test_accuracy": float(hits_N.mean()), "test_loss": float(losses_N.mean())}
    save_network(grower.host, run_dir)
    return {
        "status": "finished",
        "epochs": config.epochs,
        "rng_seed": config.rng_seed,
        **plain(summarise(grower, lines, test)),
        "wall_s": elapsed_s,
        **_names(config),
        "git_sha": git_sha(),
        "versions": versions(),
        "run_dir": _shown(run_dir),
    }


def grower_options(config: RunConfig, run_id: str | None = None) -> dict[str, Any]:
    """Return the options of `Grower` that a configuration asks for."""
    return {
        **{each.name: getattr(config, each.name) for each in fields(ControlOptions)},
        "slots": config.model.slots,
        "placement": config.model.placement,
        "num_seeds": config.model.num_seeds,
        "grow_until": config.training.grow_until,
        "run_id": run_id,
    }


def choices_of(config: RunConfig) -> GrowerOptions:
    """Return the options of a grower as one value."""
    return GrowerOptions(**grower_options(config))


def example_input(data: DataSet) -> Tensor:
    """Return a small batch that fits the data's models."""
    return data.train.x[:EXAMPLE_BATCH]


def _load(config: RunConfig) -> DataSet:
    """Return the data on its device, with enough to decide by."""
    data: DataSet = config.data.load()
    if len(data.val) < LEAST_VALIDATION:
        raise DataError(
            f"the data leaves {len(data.val)} sample to decide by, at least {LEAST_VALIDATION} are "
            f"needed for a standard error (data.val_fraction={config.data.val_fraction})"
        )
    return data.to(_device(config.device))


def _answer_shape(data: DataSet) -> tuple[int, ...]:
    """Return the shape of the scores that a model must give for `example_input`."""
    return (*data.train.y[:EXAMPLE_BATCH].shape, data.spec.num_classes)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device={name} is not available here (allowed: auto, cpu)") from error


def _test(grower: Grower, data: DataSet) -> tuple[Tensor, Tensor]:
    """Score the final network on the test split: the only time that it is touched."""
    grower.host.model.eval()
    return scores(grower.host.model, data.test)


def _facts(config: RunConfig, run_dir: Path, raw: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": config.name,
        "epochs": config.epochs,
        "run_dir": _shown(run_dir),
        "config": raw,
        **_names(config),
    }


def _names(config: RunConfig) -> dict[str, str]:
    groups = ("data", "model", "strategy", "orchestrator", "policy", "reward")
    return {group: option_name(group, getattr(config, group)) for group in groups}


def _shown(run_dir: Path) -> str:
    """Return a path as short as it can be from where the user stands."""
    try:
        return str(run_dir.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(run_dir)
