"""`esper train`: Hydra composes the configuration, this hands it to a run."""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from esper.app.resume import command_of, is_taken_up, taking_up
from esper.app.schema import conf_dir, register, to_raw, to_run_config
from esper.contracts.errors import ConfigError
from esper.logger.format import percent
from esper.rundir.layout import COMMAND
from esper.rundir.lock import lock_run_dir


def train(arguments: Sequence[str]) -> None:
    """Run what the command line asks for: a run, a sweep, or one of Hydra's questions.

    Raises:
        ConfigError: if Hydra refuses the arguments or the configuration that they compose.
        SystemExit: with 1 when a run or a job of a sweep failed; its line was written already.
    """
    ordered = flags_first(arguments)
    register()
    app = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="train")
    try:
        with _as_command_line(ordered):
            app(train_task)()
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(explain(error)) from error  # a ValueError of Hydra's: jobs end otherwise


def resume(folder: Path, further: Sequence[str]) -> None:
    """Go on with the run, or with the jobs of the sweep, in `folder`.

    Args:
        folder: of a run or a sweep.
        further: options that may differ from before: a longer `epochs`, another logger.

    Raises:
        ConfigError: if there is nothing to resume, or as `train` does.
        SystemExit: as `train` does.
    """
    command = command_of(folder)
    arguments = command.arguments(further)
    with taking_up(command.folder), contextlib.chdir(command.cwd):
        train(arguments)


def train_task(cfg: DictConfig) -> float | None:
    """Run one job and return its best validation accuracy, the number that sweepers maximise."""
    job = HydraConfig.get()
    run_dir = Path(job.runtime.output_dir)
    in_sweep = job.mode == RunMode.MULTIRUN
    config = to_run_config(cfg)
    raw = to_raw(cfg, config)
    resumes = is_taken_up(run_dir)
    if in_sweep:
        known = sweep.finished(run_dir, list(job.overrides.task))
        if known is None and resumes:
            known = sweep.longer(run_dir, config.epochs)
        if known is not None:
            typer.echo(f"job {run_dir.name}: finished before, left as it is")
            return known.get("best_val_accuracy")
    is_resumed = resumes
    if in_sweep:
        is_resumed = sweep.is_interrupted(run_dir, raw)
        if not is_resumed:
            with lock_run_dir(run_dir):
                sweep.forget(run_dir)
    from esper.run.run import run  # torch

    # A job of a sweep that is taken up by itself still belongs to it.
    group = run_dir.parent if in_sweep or (run_dir.parent / COMMAND).exists() else None
    name = None if group is None else group.name
    summary = run(config, run_dir, raw, sweep=name, resume=is_resumed)
    if group is not None:
        typer.echo(_job_line(run_dir.name, job.overrides.task, summary))
    best: float | None = summary["best_val_accuracy"]
    return best


def _job_line(name: str, overrides: Sequence[str], summary: Mapping[str, Any]) -> str:
    return (
        f"job {name}: {' '.join(overrides)}: test accuracy {percent(summary['test_accuracy'])}, "
        f"{summary['seeds_fossilized']} of {summary['seeds_germinated']} kernels kept, "
        f"{summary['wall_s']:.1f} s"
    )


@contextmanager
def _as_command_line(arguments: Sequence[str]) -> Iterator[None]:
    """Let Hydra read `arguments` as its command line, and raise instead of printing."""
    argv, full_error = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = ["esper train", *arguments]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        sys.argv = argv
        if full_error is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = full_error
