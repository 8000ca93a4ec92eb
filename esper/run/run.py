"""Run a checked configuration: build its parts, train, test, and write the summary."""

from pathlib import Path
from typing import Any

import torch

from esper.config import RunConfig
from esper.contracts.budget import AUTO, Budget, epochs_at
from esper.contracts.errors import ConfigError, DataError
from esper.data.base import DataSet
from esper.grower.grower import Grower
from esper.growth.bank import guarded
from esper.growth.network_file import save_network
from esper.kernels.errors import EscalatedError, escalate
from esper.logger.bus import EventBus
from esper.logger.console import ConsoleSink
from esper.logger.jsonl import Jsonl
from esper.logger.serialise import plain
from esper.run.checkpoints import RunCheckpoints
from esper.run.config_file import config_values
from esper.run.growing import Growing
from esper.run.interrupt import catch_signals
from esper.run.loop import End, run_epochs
from esper.run.shared_ledger import ledger_facts
from esper.run.summary import git_sha, summarise, versions
from esper.run.task import Task, scores
from esper.run.usage import RunUsage
from esper.rundir.layout import CONFIG, SUMMARY, write_json
from esper.rundir.lock import lock_run_dir
from esper.rundir.records import RunState

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
    # Jobs of a sweep may run in parallel, where their displays would overwrite each other.
    screen = [] if sweep else [ConsoleSink()]
    bus = EventBus(Jsonl(run_dir), *screen, *config.logger.build(run_dir))
    growing = Growing(config, data, run_dir, bus, launcher)
    ledger = ledger_facts(run_dir, growing.grower.ledger)
    facts = {"config": values, "versions": versions()}
    checkpoints = RunCheckpoints(run_dir, growing, facts, usage)
    epochs, is_open = epochs_at(config.epochs, 0), config.epochs == AUTO
    task = Task(data, config.data.batch_size, config.training, epochs, config.rng_seed)
    end = End(None if is_open else epochs, Budget.parse(config.budget))
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
                    "epochs": None if is_open else epochs,
                    "run_dir": _shown(run_dir),
                    "config": values,
                    **options,
                    "sweep": sweep,
                    "resumed_epoch": growing.grower.epoch,
                }
            )
            growing.grower.emit(*resumed)
            stopped_by = run_epochs(task, growing, bus, checkpoints, interrupt, end)
        epochs = growing.grower.epoch
        numbers = _test_and_save(growing, task, checkpoints)
        finished = {
            "status": RunState.FINISHED.value,
            "epochs": epochs,
            "stopped_by": stopped_by,
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
        _publish_escalation(growing.grower, error)
        raise
    finally:
        growing.grower.close()
        bus.close(summary)
    return summary


def _publish_escalation(grower: Grower, error: Exception) -> None:
    """If a kernel's failure ends the run, publish it and raise it as one line."""
    try:
        escalate(error)
    except EscalatedError as last:
        grower.emit(last.recovery)
        raise


def _test_and_save(growing: Growing, task: Task, checkpoints: RunCheckpoints) -> dict[str, Any]:
    """Read out the run's network, test and save it, and return the numbers of the run.

    The test split is used nowhere else.
    """
    read_out_epoch = growing.read_out()
    grower = growing.grower
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
    size = {"params_initial": growing.params_initial, "width": 2**growing.doublings}
    return {**numbers, **size}


def _load(config: RunConfig) -> DataSet:
    """Return the data on its device, with enough validation samples for a standard error."""
    data: DataSet = config.data.load()
    if len(data.val) < LEAST_VALIDATION:
        raise DataError(
            f"the data leaves {len(data.val)} sample to decide by, at least {LEAST_VALIDATION} are "
            f"needed for a standard error (data.val_fraction={config.data.val_fraction})"
        )
    return data.to(_device(config.device))


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
