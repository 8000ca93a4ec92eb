"""`esper train`: Hydra composes the configuration, this hands it to a run."""

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
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from esper import sweep
from esper.config import register, to_raw, to_run_config
from esper.contracts.errors import ConfigError
from esper.explain import explain
from esper.flags import flags_first
from esper.paths import conf_dir
from esper.telemetry.text import percent


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


def train_task(cfg: DictConfig) -> float | None:
    """Run one job and return its best validation accuracy, the number that sweepers maximise."""
    job = HydraConfig.get()
    run_dir = Path(job.runtime.output_dir)
    in_sweep = job.mode == RunMode.MULTIRUN
    if in_sweep:
        overrides = OmegaConf.to_container(job.overrides.task)
        assert isinstance(overrides, list)
        known = sweep.finished(run_dir, overrides)
        if known is not None:
            typer.echo(f"job {job.job.num}: finished before, left as it is")
            return known.get("best_val_accuracy")
        sweep.forget(run_dir)
    config = to_run_config(cfg)
    from esper.run import run  # torch

    group = Path(job.sweep.dir).name if job.mode == RunMode.MULTIRUN else None
    summary = run(config, run_dir, to_raw(cfg, config), sweep=group)
    if group is not None:
        typer.echo(_job_line(job.job.num, job.overrides.task, summary))
    best: float | None = summary["best_val_accuracy"]
    return best


def _job_line(number: int, overrides: Sequence[str], summary: Mapping[str, Any]) -> str:
    return (
        f"job {number}: {' '.join(overrides)}: test accuracy {percent(summary['test_accuracy'])}, "
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
