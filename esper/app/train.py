"""`esper train`: Hydra composes the configuration, this hands it to a run."""

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
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
from esper.app.resume import command_to_resume
from esper.app.schema import conf_dir, register, to_run_config
from esper.contracts.errors import ConfigError
from esper.logger.format import percent
from esper.rundir.records import is_sweep


def train(arguments: Sequence[str]) -> None:
    """Run what the command line asks for: a run, a sweep, or one of Hydra's questions.

    Raises:
        ConfigError: if Hydra refuses the arguments or the configuration that they compose.
        SystemExit: with 1 when a run or a job of a sweep failed; its line was written already.
    """
    ordered = flags_first(arguments)
    register()
    app = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="train")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its errors instead of printing them
    argv, sys.argv = sys.argv, ["esper train", *ordered]
    try:
        app(train_task)()
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(explain(error)) from error  # a ValueError of Hydra's: jobs end otherwise
    finally:
        sys.argv = argv


def resume(folder: Path, further: Sequence[str]) -> None:
    """Continue the run, or the jobs of the sweep, in `folder`.

    Args:
        folder: of a run or a sweep.
        further: options that may differ from before: a longer `epochs`, another logger.

    Raises:
        ConfigError: if there is nothing to resume, or as `train` does.
        SystemExit: as `train` does.
    """
    arguments, cwd = command_to_resume(folder, further)
    with contextlib.chdir(cwd):
        train(arguments)


def train_task(cfg: DictConfig) -> float | None:
    """Run one job and return its best validation accuracy, the number that sweepers maximise."""
    job = HydraConfig.get()
    run_dir = Path(job.runtime.output_dir)
    config = to_run_config(cfg)
    summary = sweep.finished_summary(run_dir, config) if job.mode == RunMode.MULTIRUN else None
    if summary is not None:
        typer.echo(f"job {run_dir.name}: finished before, left as it is")
    else:
        from esper.run.run import run  # torch

        # A job of a sweep that is resumed alone still belongs to the sweep.
        is_job = job.mode == RunMode.MULTIRUN or is_sweep(run_dir.parent)
        summary = run(config, run_dir, sweep=run_dir.parent.name if is_job else None)
        if is_job:
            typer.echo(_job_line(run_dir.name, job.overrides.task, summary))
    best: float | None = summary["best_val_accuracy"]
    return best


def _job_line(name: str, overrides: Sequence[str], summary: Mapping[str, Any]) -> str:
    return (
        f"job {name}: {' '.join(overrides)}: test accuracy {percent(summary['test_accuracy'])}, "
        f"{summary['seeds_fossilized']} of {summary['seeds_germinated']} kernels kept, "
        f"{summary['wall_s']:.1f} s"
    )
