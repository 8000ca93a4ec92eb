"""From a checked configuration to a finished run: all wiring is here."""

import math
import time
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from esper.config import RunConfig
from esper.contracts.errors import ConfigError, DataError
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
from esper.options import ControlOptions
from esper.run.checkpoints import RunCheckpoints
from esper.run.config_file import config_values
from esper.run.interrupt import catch_signals
from esper.run.loop import run_epochs
from esper.run.summary import git_sha, summarise, versions
from esper.run.task import Task, scores
from esper.rundir.layout import CONFIG, SNAPSHOT, SUMMARY, write_json
from esper.rundir.lock import lock_run_dir
from esper.rundir.records import RunState
from esper.training.optimizer import build_optimizer

EXAMPLE_BATCH = 4
LEAST_VALIDATION = 2


def run(config: RunConfig, run_dir: Path, sweep: str | None = None) -> dict[str, Any]:
    """Train and grow one network, write its records to `run_dir`, and return the summary.

    Where `run_dir` holds checkpoints, the run is resumed from the newest one.

    Args:
        config: checked options.
        run_dir: an existing folder.
        sweep: name of the sweep that the run belongs to.

    Raises:
        InterruptionError: if a signal asked to stop; the run was saved.
        EsperError: if data, model or slots do not fit, or the run cannot be recorded.
    """
    with lock_run_dir(run_dir):
        return _run(config, run_dir, sweep)


def _run(config: RunConfig, run_dir: Path, sweep: str | None) -> dict[str, Any]:
    began_s = time.perf_counter()
    values = config_values(config)
    torch.set_num_threads(config.training.threads)
    data = _load(config)
    model = _build_model(config, data)
    optimizer = build_optimizer(model, config.training)
    # The displays of jobs side by side would overwrite each other: a sweep has a line a job.
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
    facts = {"config": values, "versions": versions()}
    checkpoints = RunCheckpoints(run_dir, grower, bus, facts, began_s)
    task = Task(data, config.data.batch_size, config.training, config.epochs, config.rng_seed)
    summary: dict[str, Any] | None = None
    try:
        resumed = checkpoints.resume()
        (run_dir / SUMMARY).unlink(missing_ok=True)
        write_json(run_dir / CONFIG, values)
        if grower.settler.snapshot and not grower.epoch:
            write_json(run_dir / SNAPSHOT, plain(grower.settler.snapshot))
        bus.start(
            {
                "name": config.name,
                "epochs": config.epochs,
                "run_dir": _shown(run_dir),
                "config": values,
                **_option_names(values),
                "sweep": sweep,
                "resumed_epoch": grower.epoch,
            }
        )
        grower.emit(*resumed)
        with catch_signals() as interrupt:
            run_epochs(task, grower, bus, checkpoints, interrupt)
        numbers = _test_and_save(grower, data, checkpoints)
        finished = {
            "status": RunState.FINISHED.value,
            "epochs": config.epochs,
            "rng_seed": config.rng_seed,
            **numbers,
            "wall_s": checkpoints.elapsed_s,
            **_option_names(values),
            "git_sha": git_sha(),
            "versions": versions(),
            "run_dir": _shown(run_dir),
        }
        write_json(run_dir / SUMMARY, finished)
        summary = finished
    except (EscalatedError, RuntimeError, OSError) as error:
        _publish_escalation(grower, error)
        raise
    finally:
        grower.close()
        bus.close(summary)
    return summary


def _publish_escalation(grower: Grower, error: Exception) -> None:
    """Publish an error that ends the run, and raise it as one line, if kernels can escalate it."""
    try:
        escalate(error)
    except EscalatedError as last:
        grower.emit(last.recovery)
        raise


def _test_and_save(grower: Grower, data: DataSet, checkpoints: RunCheckpoints) -> dict[str, Any]:
    """Test and save the final network; return the run's numbers.

    The test split is used here only.
    """
    grower.host.model.eval()
    losses_N, hits_N = scores(grower.host.model, data.test)
    grower.report_failures()
    test = {"test_accuracy": float(hits_N.mean()), "test_loss": float(losses_N.mean())}
    save_network(grower.host, checkpoints.run_dir)
    numbers: dict[str, Any] = plain(summarise(grower, checkpoints.lines, test))
    return numbers


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
    """Return the data on its device, with enough validation samples for a standard error."""
    data: DataSet = config.data.load()
    if len(data.val) < LEAST_VALIDATION:
        raise DataError(
            f"the data leaves {len(data.val)} sample to decide by, at least {LEAST_VALIDATION} are "
            f"needed for a standard error (data.val_fraction={config.data.val_fraction})"
        )
    return data.to(_device(config.device))


def _build_model(config: RunConfig, data: DataSet) -> nn.Module:
    """Return the host on its device; raises `ConfigError` unless it takes the data."""
    torch.manual_seed(config.rng_seed)
    model: nn.Module = config.model.build(data.spec).to(_device(config.device))
    answers = (*data.train.y[:EXAMPLE_BATCH].shape, data.spec.num_classes)
    check_fit(model, example_input(data), answers)
    return model


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device={name} is not available here (allowed: auto, cpu)") from error


def _option_names(values: Mapping[str, Any]) -> dict[str, str]:
    groups = ("data", "model", "strategy", "orchestrator", "policy", "reward")
    return {group: values[group]["name"] for group in groups}


def _shown(run_dir: Path) -> str:
    """Return the path of a folder, relative where it lies in the working directory."""
    try:
        return str(run_dir.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(run_dir)
