"""`esper train`: let Hydra compose the configuration, and run it."""

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
import typer
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from esper.app import sweep
from esper.app.arguments import flags_first
from esper.app.explain import explain
from esper.app.resume import command_to_resume, one_folder
from esper.app.schema import conf_dir, register, to_run_config
from esper.contracts.errors import ConfigError
from esper.logger.console_lines import ledger_line
from esper.logger.format import percent
from esper.rundir.records import is_sweep


def train(arguments: Sequence[str]) -> None:
    """Start a run or a sweep, or let Hydra print what its flags ask for.

    Raises:
        ConfigError: if Hydra refuses the arguments or the configuration that they compose.
        SystemExit: with code 1 if a run or a job failed; its error was printed before.
    """
    compose("train", train_task, flags_first(arguments))


def compose(config_name: str, task: Callable[[DictConfig], Any], ordered: Sequence[str]) -> None:
    """Call a task with the configuration of this name; arguments and errors are those of `train`.

    `ordered` are the arguments, Hydra's flags first.
    """
    register()
    app = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=config_name)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its errors instead of printing them
    argv, sys.argv = sys.argv, [f"esper {config_name.replace('_', '-')}", *ordered]
    try:
        app(task)()
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(explain(error)) from error  # of Hydra; the callback handles those of jobs
    finally:
        sys.argv = argv


def resume(folder: Path, words: Sequence[str]) -> None:
    """Continue the run or the sweep in `folder`.

    Options among the `words` may differ from before, such as more `epochs` or another logger.

    Raises:
        ConfigError: if the folder holds nothing to resume, or as `train` does.
        SystemExit: as `train` does.
    """
    arguments, cwd = command_to_resume(*one_folder(folder, words))
    with contextlib.chdir(cwd):
        train(arguments)


def train_task(cfg: DictConfig) -> float | None:
    """Run one job and return its best validation accuracy, which sweepers maximise."""
    job = HydraConfig.get()
    run_dir = Path(job.runtime.output_dir)
    config = to_run_config(cfg)
    summary = sweep.finished_summary(run_dir, config) if job.mode == RunMode.MULTIRUN else None
    if summary is not None:
        typer.echo(f"job {run_dir.name}: finished before, left as it is")
    else:
        from esper.run.run import run  # torch

        # A job that is resumed by itself still belongs to its sweep.
        is_job = job.mode == RunMode.MULTIRUN or is_sweep(run_dir.parent)
        launcher = job.runtime.choices["hydra/launcher"] if job.mode == RunMode.MULTIRUN else None
        summary = run(config, run_dir, run_dir.parent.name if is_job else None, launcher)
        if is_job:
            if ledger := ledger_line(summary):
                typer.echo(f"job {run_dir.name}: {ledger}")
            typer.echo(
                f"job {run_dir.name}: {' '.join(job.overrides.task)}: "
                f"test accuracy {percent(summary['test_accuracy'])}, {summary['seeds_fossilized']} "
                f"of {summary['seeds_germinated']} kernels kept, {summary['wall_s']:.1f} s"
            )
    best: float | None = summary["best_val_accuracy"]
    return best
