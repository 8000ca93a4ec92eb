"""Run a checked configuration: build its parts, train, test, and write the summary."""

import math
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
from esper.growth.bank import guarded
from esper.growth.host import Host
from esper.growth.network_file import save_network
from esper.growth.prepare import prepare
from esper.kernels.errors import EscalatedError, escalate
from esper.logger.bus import EventBus
from esper.logger.console import ConsoleSink
from esper.logger.jsonl import Jsonl
from esper.logger.serialise import plain
from esper.model.fit import check_fit
from esper.model.weights import load_weights
from esper.options import ControlOptions
from esper.run.checkpoints import RunCheckpoints
from esper.run.config_file import config_values
from esper.run.interrupt import catch_signals
from esper.run.loop import run_epochs
from esper.run.shared_ledger import ledger_facts, run_store
from esper.run.summary import git_sha, summarise, versions
from esper.run.task import Task, scores
from esper.run.usage import RunUsage
from esper.rundir.layout import CHECKPOINTS, CONFIG, SUMMARY, write_json
from esper.rundir.lock import lock_run_dir
from esper.rundir.records import RunState
from esper.training.optimizer import build_optimizer

EXAMPLE_BATCH = 4
LEAST_VALIDATION = 2
_NAMED_GROUPS = ("data", "model", "strategy", "orchestrator", "policy", "reward")


def run(
    config: RunConfig, run_dir: Path, sweep: str | None = None, launcher: str | None = None
) -> dict[str, Any]:
    """Train and grow one network, write its records to `run_dir`, and return the summary.

    If the folder `run_dir` holds checkpoints, the run is resumed from the newest one.  `sweep` is
    the name of the sweep that the run belongs to, and `launcher` what runs its jobs.

    Raises:
        InterruptionError: if a signal stops the run, which is saved before.
        EsperError: if data, model or slots do not fit, or the run cannot be recorded.
    """
    with lock_run_dir(run_dir):
        return _run(config, run_dir, sweep, launcher)


def _run(
    config: RunConfig, run_dir: Path, sweep: str | None, launcher: str | None
) -> dict[str, Any]:
    usage = RunUsage()
    values = config_values(config)
    options = {group: values[group]["name"] for group in _NAMED_GROUPS}
    torch.set_num_threads(config.training.threads)
    data = _load(config)
    model = _build_model(config, data, run_dir)
    optimizer = build_optimizer(model, config.training)
    # Jobs of a sweep may run in parallel, where their displays would overwrite each other.
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
        run_id=str(run_dir.resolve()),
        **{**grower_options(config), "store": run_store(config.store, run_dir, launcher)},
    )
    ledger = ledger_facts(run_dir, grower.ledger)
    facts = {"config": values, "versions": versions()}
    checkpoints = RunCheckpoints(run_dir, grower, facts, usage)
    task = Task(data, config.data.batch_size, config.training, config.epochs, config.rng_seed)
    summary: dict[str, Any] | None = None
    try:
        # A signal from here on is noted and stops the run once it can be saved.
        with catch_signals() as interrupt:
            resumed = checkpoints.resume()
            (run_dir / SUMMARY).unlink(missing_ok=True)
            write_json(run_dir / CONFIG, values)
            bus.start(
                {
                    "name": config.name,
                    "epochs": config.epochs,
                    "run_dir": _shown(run_dir),
                    "config": values,
                    **options,
                    "sweep": sweep,
                    "resumed_epoch": grower.epoch,
                }
            )
            grower.emit(*resumed)
            run_epochs(task, grower, bus, checkpoints, interrupt)
        numbers = _test_and_save(grower, task, checkpoints)
        finished = {
            "status": RunState.FINISHED.value,
            "epochs": config.epochs,
            "rng_seed": config.rng_seed,
            **numbers,
            **ledger,
            "wall_s": usage.elapsed_s,
            "processor_s": usage.processor_s,
            "peak_memory_mb": usage.peak_memory_mb,
            **options,
            "git_sha": git_sha(),
            "versions": facts["versions"],
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
    """If a kernel's failure ends the run, publish it and raise it as one line."""
    try:
        escalate(error)
    except EscalatedError as last:
        grower.emit(last.recovery)
        raise


def _test_and_save(grower: Grower, task: Task, checkpoints: RunCheckpoints) -> dict[str, Any]:
    """Read out the run's network, test and save it, and return the numbers of the run.

    The test split is used nowhere else.
    """
    read_out_epoch = grower.read_out()
    model = grower.host.model.eval()
    with guarded(model):
        losses_N, hits_N = scores(model, task.data.test)
    grower.report_failures()
    test = {
        "test_accuracy": float(hits_N.mean()),
        "test_loss": float(losses_N.mean()),
        "read_out_epoch": grower.epoch if read_out_epoch is None else read_out_epoch,
    }
    save_network(grower.host, checkpoints.run_dir)
    numbers: dict[str, Any] = plain(summarise(grower, checkpoints.lines, test, task.num_samples))
    return numbers


def grower_options(config: RunConfig) -> dict[str, Any]:
    """Return the keyword arguments of `Grower` for a configuration."""
    return {
        **{each.name: getattr(config, each.name) for each in fields(ControlOptions)},
        "slots": config.model.slots,
        "placement": config.model.placement,
        "num_seeds": config.model.num_seeds,
    }


def initial_host(config: RunConfig, data: DataSet) -> Host:
    """Return the configured host, with its optimizer, before any training."""
    model: nn.Module = config.model.build(data.spec)
    optimizer = build_optimizer(model, config.training)
    setup = GrowerOptions(**grower_options(config)).setup(config.rng_seed)
    return prepare(model, optimizer, example_input(data), setup)


def example_input(data: DataSet) -> Tensor:
    """Return a small batch of training inputs."""
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


def _build_model(config: RunConfig, data: DataSet, run_dir: Path) -> nn.Module:
    """Return the model on the device of the data, after checking that it takes them.

    Trained weights are read where the run begins: later ones are in its checkpoints.
    """
    torch.manual_seed(config.rng_seed)
    model: nn.Module = config.model.build(data.spec)
    if config.model.weights is not None and not (run_dir / CHECKPOINTS).exists():
        load_weights(model, config.model.weights)
    model.to(data.train.x.device)
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


def _shown(run_dir: Path) -> str:
    """Return the path of a folder, relative if it lies in the working directory."""
    try:
        return str(run_dir.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(run_dir)
