"""The command that started a run or a sweep, kept in its folder so that `--resume` can repeat it.

Hydra rewrites its own files at each start, one after the other; this one is written in one step.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from omegaconf import DictConfig, OmegaConf

from esper.app.schema import conf_dir
from esper.config import RunConfig
from esper.contracts.errors import ConfigError
from esper.options import OPTIONS
from esper.run.config_file import config_values
from esper.rundir.layout import CHECKPOINTS, COMMAND, HYDRA, write_json
from esper.rundir.lock import lock_run_dir
from esper.rundir.records import RunState, is_sweep, load_object, load_summary, state_of
from esper.rundir.same_config import FREE, check_same

_RESUMES = "hydra.callbacks.job_callback.resumes"
_MOST_NAMED = 5

_OF_THE_START = ("hydra.run.dir", "hydra.sweep.dir", "hydra.mode", _RESUMES)
_OF_SWEEPS = ("hydra.sweep", "hydra/sweeper", "hydra/launcher", "hydra.launcher")
_OF_LAUNCHERS = ("hydra/launcher", "hydra")


def command_to_resume(folder: Path, further: Sequence[str]) -> tuple[list[str], Path]:
    """Return the command line that resumes the run or the sweep in `folder`, and where to start it.

    That is where it was started before, if that folder still exists: paths among its options may
    be relative to it.

    Args:
        folder: of a run or a sweep.
        further: options that replace those before.

    Raises:
        ConfigError: if the folder holds neither, or `further` options would make other jobs of a
            sweep.
    """
    folder = folder.resolve()
    of_sweep = is_sweep(folder)
    command = load_object(folder / COMMAND if of_sweep else folder / HYDRA / COMMAND)
    if command is None or not {"cwd", "flags", "overrides"} <= command.keys():
        raise ConfigError(
            f"{folder} cannot be resumed: it is no folder of a run or a sweep of Esper's"
            f"{_runs_in(folder)}"
        )
    _check_further(folder, further, of_sweep=of_sweep)
    options = _replaced(command["overrides"], further)
    place = "hydra.sweep.dir" if of_sweep else "hydra.run.dir"
    started = [f"{place}={_quoted(folder)}", f"++{_RESUMES}=true"]
    mode = ["-m"] if of_sweep else []
    cwd = Path(command["cwd"])
    return [*mode, *command["flags"], *options, *started], cwd if cwd.is_dir() else Path.cwd()


def _check_further(folder: Path, further: Sequence[str], *, of_sweep: bool) -> None:
    for option in further:
        if option.startswith("-"):
            raise ConfigError(f"--resume takes options only, got {option}")
        if of_sweep and _group(option) not in (*FREE, "epochs"):
            raise ConfigError(
                f"{folder} is a sweep and goes on with its own options, got {option} "
                f"(allowed: {', '.join(('epochs', *FREE))})"
            )


def _replaced(overrides: Sequence[str], further: Sequence[str]) -> list[str]:
    """Return `overrides` with `further` ones in the places of those of the same keys."""
    chosen = {_key(option) for option in further} & OPTIONS.keys()
    # Another option of a group has other keys than the one before.
    kept = [each for each in overrides if _group(each) not in chosen or _key(each) in chosen]
    # The last of each key in its first place: jobs are numbered by the order of the options.
    return list({_key(each): each for each in [*kept, *further]}.values())


def write_run_command(config: DictConfig) -> None:
    """Write the command of a run, or of a job of a sweep as a run of its own, to its folder."""
    run_dir = Path(config.hydra.runtime.output_dir)
    write_json(run_dir / HYDRA / COMMAND, _command(config, _OF_SWEEPS))


def write_sweep_command(config: DictConfig, *, resumes: bool) -> None:
    """Write the command of a sweep to its folder.

    Raises:
        ConfigError: if the folder holds runs of a sweep with other options: they would be lost.
    """
    folder = Path(config.hydra.sweep.dir)
    command = _command(config, ())
    before = load_object(folder / COMMAND)
    if before is not None and not resumes and any(folder.glob(f"**/{CHECKPOINTS}")):
        kept, wanted = (_of_jobs(each["overrides"]) for each in (before, command))
        if kept != wanted:
            other = ", ".join(sorted({*kept} ^ {*wanted})) or "the same in another order"
            raise ConfigError(
                f"hydra.sweep.dir={folder} holds a sweep with other options ({other}); name "
                f"another one, or go on with it: esper train --resume {folder}"
            )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / COMMAND, command)


def check(run_dir: Path, config: RunConfig) -> None:
    """Refuse to resume a run that cannot continue under a configuration; changes nothing.

    Raises:
        EsperError: if another process trains it, or its checkpoints are broken or of another
            configuration.
        SystemExit: with 0 if it is finished.
    """
    from esper.checkpoint.rotation import CheckpointRotation  # torch

    is_finished = state_of(run_dir) is RunState.FINISHED
    over = (load_summary(run_dir) or {}).get("epochs", 0) if is_finished else 0
    with lock_run_dir(run_dir):
        newest = CheckpointRotation(run_dir / CHECKPOINTS).latest()
    if newest is not None:
        facts = newest.saved.facts
        # A finished run that gets no more epochs is not trained: fewer are no error.
        wanted = {**config_values(config), "epochs": max(config.epochs, over)}
        check_same(facts["config"], wanted, facts["epoch"])
    if config.epochs <= over:
        longer = f"it goes on with a longer budget: epochs={2 * over}"
        typer.echo(f"{run_dir} is finished after {over} epochs; {longer}")
        raise SystemExit(0)


def _command(config: DictConfig, left_out: Sequence[str]) -> dict[str, Any]:
    # As they were typed: a reference such as ${rng_seed} is another value in each job.
    given: Any = OmegaConf.to_container(config.hydra.overrides, resolve=False)
    skipped = (*_OF_THE_START, *left_out)
    return {
        "cwd": config.hydra.runtime.cwd,
        "flags": _flags(config),
        "overrides": [
            each for each in given["task"] + given["hydra"] if not _key(each).startswith(skipped)
        ],
    }


def _of_jobs(overrides: Sequence[str]) -> list[str]:
    """Return the options that determine the jobs of a sweep."""
    free = (*(key for key in FREE if key != "experiment"), *_OF_LAUNCHERS)
    return [each for each in overrides if _group(each) not in free]


def _flags(config: DictConfig) -> list[str]:
    """Return the flags that named other configuration files than Esper's own."""
    flags = []
    for source in config.hydra.runtime.config_sources:
        if source.provider == "command-line":
            flags += ["--config-dir", source.path]
        if source.provider == "main" and Path(source.path) != conf_dir():
            flags += ["--config-path", source.path]
    if config.hydra.job.config_name != "train":
        flags += ["--config-name", config.hydra.job.config_name]
    return flags


def _runs_in(folder: Path) -> str:
    """Return the names of the latest runs and sweeps in a folder, in words."""
    depths = ("*", "*/*", "*/*/*")
    parents = [path.parent for depth in depths for path in folder.glob(f"{depth}/{COMMAND}")]
    places = {parent.parent if parent.name == HYDRA else parent for parent in parents}
    names = sorted(str(place.relative_to(folder)) for place in places)
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"; in it are {', '.join(names[-_MOST_NAMED:])}{more}" if names else ""


def _quoted(folder: Path) -> str:
    """Return a path as Hydra reads it back: quotes, and backslashes before them, escaped."""
    text = re.sub(
        r"(\\*)('|$)", lambda found: found[1] * 2 + found[2].replace("'", "\\'"), str(folder)
    )
    return f"'{text}'"


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def _group(override: str) -> str:
    return _key(override).partition(".")[0]
