"""Save the command that started a run or a sweep, and rebuild it for `--resume`.

Hydra's own files cannot serve: it rewrites them at each start, and not atomically.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from omegaconf import DictConfig, OmegaConf

from esper.app.schema import conf_dir
from esper.config import RunConfig
from esper.contracts.budget import AUTO, Budget
from esper.contracts.errors import ConfigError
from esper.options import OPTIONS
from esper.run.config_file import BUDGETS, FREE, check_same, config_values, is_free
from esper.rundir.layout import CHECKPOINTS, COMMAND, HYDRA, TRAIN_POLICY, write_json
from esper.rundir.lock import lock_run_dir
from esper.rundir.records import (
    RunState,
    is_report,
    is_sweep,
    load_object,
    load_summary,
    state_of,
)

_RESUMES = "hydra.callbacks.job_callback.resumes"
_MOST_NAMED = 5
"""Name of the configuration of `esper train-policy`."""

_NEVER_SAVED = ("hydra.run.dir", "hydra.sweep.dir", "hydra.mode", _RESUMES)
_SWEEPS_ONLY = ("hydra.sweep", "hydra/sweeper", "hydra/launcher", "hydra.launcher")


def one_folder(folder: Path, words: Sequence[str]) -> tuple[Path, list[str]]:
    """Return the folder to resume and the options; a pattern may also have named its report.

    Args:
        folder: the first name after `--resume`.
        words: those behind it: options, and what else a pattern such as runs/nightly/* found.

    Raises:
        ConfigError: if several folders are left.
    """
    further = [Path(word) for word in words if Path(word).is_dir()]
    folders = [each for each in (folder, *further) if not is_report(each)] or [folder]
    if len(folders) > 1:
        raise ConfigError(
            f"--resume takes one folder, got {len(folders)}: {folders[0]} to {folders[-1]}"
        )
    return folders[0], [word for word in words if Path(word) not in further]


def command_to_resume(
    folder: Path, further: Sequence[str], config_name: str = "train"
) -> tuple[list[str], Path]:
    """Return the arguments that resume the run or sweep in `folder`, and the working directory.

    It is the original working directory if that still exists, for options with relative paths.
    `further` options replace the saved ones of the same keys.

    Raises:
        ConfigError: if the folder holds neither, or a run of another command than that of
            `config_name`, or if `further` would change the jobs of a sweep.
    """
    folder = folder.resolve()
    of_sweep = is_sweep(folder)
    command = load_object(folder / COMMAND if of_sweep else folder / HYDRA / COMMAND)
    if command is None or not {"cwd", "flags", "overrides"} <= command.keys():
        raise ConfigError(
            f"{folder} cannot be resumed: it is no folder of a run or a sweep of Esper's"
            f"{_runs_in(folder)}"
        )
    if (TRAIN_POLICY in command["flags"]) != (config_name == TRAIN_POLICY):
        other = "train" if config_name == TRAIN_POLICY else "train-policy"
        raise ConfigError(f"{folder} is continued by another command: esper {other} --resume")
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
        if of_sweep and not is_free(_key(option)):
            raise ConfigError(
                f"{folder} is a sweep and continues with its own options, got {option} "
                f"(allowed: {', '.join((*BUDGETS, *FREE))}, but not store.prior)"
            )


def _replaced(overrides: Sequence[str], further: Sequence[str]) -> list[str]:
    """Return `overrides` with each option in `further` in place of that with the same key."""
    chosen = {_key(option) for option in further} & OPTIONS.keys()
    # A newly chosen option of a group has other keys, so keys of the old one are dropped.
    kept = [each for each in overrides if _group(each) not in chosen or _key(each) in chosen]
    # Jobs are numbered by the order of the options, so a repeated key keeps its first place.
    return list({_key(each): each for each in [*kept, *further]}.values())


def write_run_command(config: DictConfig) -> None:
    """Save the command of a run, or of one job of a sweep, in its folder."""
    run_dir = Path(config.hydra.runtime.output_dir)
    write_json(run_dir / HYDRA / COMMAND, _command(config, skipped=_SWEEPS_ONLY))


def write_sweep_command(config: DictConfig, *, resumes: bool) -> None:
    """Save the command of a sweep in its folder.

    Raises:
        ConfigError: if the folder holds runs of a sweep with other options, which would be lost.
    """
    folder = Path(config.hydra.sweep.dir)
    command = _command(config)
    before = load_object(folder / COMMAND)
    if before is not None and not resumes and any(folder.glob(f"**/{CHECKPOINTS}")):
        old, new = (_job_options(each["overrides"]) for each in (before, command))
        if old != new:
            other = ", ".join(sorted({*old} ^ {*new})) or "the same in another order"
            raise ConfigError(
                f"hydra.sweep.dir={folder} holds a sweep with other options ({other}); name "
                f"another one, or continue it: esper train --resume {folder}"
            )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / COMMAND, command)


def check(run_dir: Path, config: RunConfig) -> None:
    """Check that a run can be resumed under a configuration; changes nothing.

    Raises:
        EsperError: if another process trains it, its checkpoints are broken or of another
            configuration, or it is finished after more epochs.
        SystemExit: with code 0 if it is finished.
    """
    from esper.checkpoint.rotation import CheckpointRotation  # torch

    summary = load_summary(run_dir) if state_of(run_dir) is RunState.FINISHED else None
    over = (summary or {}).get("epochs", 0)
    is_open = config.epochs == AUTO
    with lock_run_dir(run_dir):
        newest = CheckpointRotation(run_dir / CHECKPOINTS).latest()
    if newest is not None:
        facts = newest.saved.facts
        # Fewer epochs are refused below, with what to do about it.
        epochs = AUTO if is_open else max(config.epochs, over)
        values = {**config_values(config), "epochs": epochs}
        check_same(facts["config"], values, facts["epoch"])
        if is_open and summary is not None:
            used = facts["elapsed_s"], summary["train_flops"]
            if Budget.parse(config.budget).is_used(*used):
                words = f"{run_dir} is finished: budget={config.budget} is used"
                typer.echo(f"{words}; to continue it, give it a larger one, or budget=none")
                raise SystemExit(0)
    if not is_open and config.epochs <= over:
        longer = f"to continue it, give it a longer budget: epochs={2 * over}"
        words = f"{run_dir} is finished after {over} epochs; {longer}"
        if config.epochs < over:
            raise ConfigError(f"{words}, got epochs={config.epochs}")
        typer.echo(words)
        raise SystemExit(0)


def _command(config: DictConfig, skipped: tuple[str, ...] = ()) -> dict[str, Any]:
    # Unresolved: a reference such as ${rng_seed} has another value in each job.
    given: Any = OmegaConf.to_container(config.hydra.overrides, resolve=False)
    overrides = given["task"] + given["hydra"]
    skipped += _NEVER_SAVED
    return {
        "cwd": config.hydra.runtime.cwd,
        "flags": _flags(config),
        "overrides": [each for each in overrides if not _key(each).startswith(skipped)],
    }


def _job_options(overrides: Sequence[str]) -> list[str]:
    """Return the options that determine the jobs of a sweep."""
    free = {*FREE, "hydra", "hydra/launcher"} - {"experiment"}
    return [each for each in overrides if _group(each) not in free]


def _flags(config: DictConfig) -> list[str]:
    """Return the flags that add configuration files to Esper's own."""
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
    """Return a phrase that names the latest runs and sweeps in a folder."""
    depths = ("*", "*/*", "*/*/*")
    parents = [path.parent for depth in depths for path in folder.glob(f"{depth}/{COMMAND}")]
    folders = {parent.parent if parent.name == HYDRA else parent for parent in parents}
    names = sorted(str(each.relative_to(folder)) for each in folders)
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"; in it are {', '.join(names[-_MOST_NAMED:])}{more}" if names else ""


def _quoted(folder: Path) -> str:
    """Return a path quoted for Hydra: quotes, and backslashes before them, are escaped."""
    pattern = r"(\\*)('|$)"
    text = re.sub(pattern, lambda match: match[1] * 2 + match[2].replace("'", "\\'"), str(folder))
    return f"'{text}'"


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def _group(override: str) -> str:
    return _key(override).partition(".")[0]
