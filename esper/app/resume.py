"""What started a run or a sweep, kept in its folder so that `--resume` can start it again.

Hydra writes its own files anew at each start, one after the other; this one is always whole.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from omegaconf import DictConfig, OmegaConf

from esper.app.schema import conf_dir
from esper.app.sweep import summary_of
from esper.contracts.errors import ConfigError
from esper.options import OPTIONS
from esper.rundir.layout import CHECKPOINTS, COMMAND, write_json
from esper.rundir.lock import lock_run_dir
from esper.rundir.same_config import FREE, check_same

_RESUMED = "ESPER_RESUMED"
"""Environment variable with the folder that is taken up again.

A launcher's processes inherit it; they learn of nothing else than Hydra's configuration.
"""
_MOST_NAMED = 5

_OF_A_PLACE = ("hydra.run.dir", "hydra.sweep.dir", "hydra.mode")
_OF_LAUNCHERS = ("hydra/launcher", "hydra")
_OF_SWEEPS = ("hydra.sweep", "hydra/sweeper", "hydra/launcher", "hydra.launcher")


@contextmanager
def taking_up(folder: Path) -> Iterator[None]:
    """Let `is_taken_up` be true of a run, or of a sweep and its jobs."""
    before = os.environ.get(_RESUMED)
    os.environ[_RESUMED] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[_RESUMED]
        else:
            os.environ[_RESUMED] = before


def is_taken_up(run_dir: Path) -> bool:
    """Return whether a run, or the sweep that it is a job of, goes on where it was saved."""
    folder = os.environ.get(_RESUMED)
    # The folder of a job may be a link to elsewhere, or lie further down in that of the sweep.
    places = (run_dir, *run_dir.absolute().parents)
    return folder is not None and any(place.resolve() == Path(folder) for place in places)


def note_run(config: DictConfig) -> None:
    """Keep what started a run, or a job of a sweep as a run of its own, in its folder."""
    run_dir = Path(config.hydra.runtime.output_dir)
    write_json(run_dir / ".hydra" / COMMAND, _command(config, _OF_SWEEPS))


def note_sweep(config: DictConfig) -> None:
    """Keep what started a sweep, in its folder.

    Raises:
        ConfigError: if the folder holds runs of a sweep with other options: they would be lost.
    """
    folder = Path(config.hydra.sweep.dir)
    command = _command(config, ())
    before = _read(folder / COMMAND)
    if before is not None and not is_taken_up(folder) and any(folder.glob(f"**/{CHECKPOINTS}")):
        kept, wanted = (_of_jobs(each["overrides"]) for each in (before, command))
        if kept != wanted:
            other = ", ".join(sorted({*kept} ^ {*wanted})) or "the same in another order"
            raise ConfigError(
                f"hydra.sweep.dir={folder} holds a sweep with other options ({other}); name "
                f"another one, or go on with it: esper train --resume {folder}"
            )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / COMMAND, command)


@dataclass(frozen=True, slots=True)
class Command:
    """What goes on with a run or a sweep.

    folder: its own, absolute.
    cwd: where it was started, if that is still there: paths among the options may start from it.
    """

    folder: Path
    cwd: Path
    flags: tuple[str, ...]
    overrides: tuple[str, ...]
    is_sweep: bool

    def arguments(self, further: Sequence[str]) -> list[str]:
        """Return the command line, `further` options in the place of those of the same keys.

        Raises:
            ConfigError: if one of them would make other jobs of a sweep.
        """
        flags = [word for word in further if word.startswith("-")]
        if flags:
            raise ConfigError(f"--resume takes options only, got {flags[0]}")
        for override in further if self.is_sweep else ():
            if _key(override).split(".")[0] not in (*FREE, "epochs"):
                raise ConfigError(
                    f"{self.folder} is a sweep and goes on with its own options, got {override} "
                    f"(allowed: {', '.join(('epochs', *FREE))})"
                )
        # In their places, the last of each key: jobs are numbered by the order of the options.
        kept = {_key(each): each for each in self.overrides if self._stays(each, further)}
        kept |= {_key(override): override for override in further}
        place = "hydra.sweep.dir" if self.is_sweep else "hydra.run.dir"
        mode = ["-m"] if self.is_sweep else []
        return [*mode, *self.flags, *kept.values(), f"{place}={_quoted(self.folder)}"]

    def _stays(self, override: str, further: Sequence[str]) -> bool:
        """Return whether an option still has its group: another option of that has other keys."""
        chosen = {_key(each) for each in further} & OPTIONS.keys()
        return _key(override).split(".")[0] not in chosen or "." not in _key(override)


def command_of(folder: Path) -> Command:
    """Return what goes on with the run or the sweep in `folder`.

    Raises:
        ConfigError: if it holds neither.
    """
    folder = folder.resolve()
    is_sweep = (folder / COMMAND).exists()
    noted = _read(folder / COMMAND if is_sweep else folder / ".hydra" / COMMAND)
    if noted is None:
        raise ConfigError(
            f"{folder} cannot be resumed: it is no folder of a run or a sweep of Esper's"
            f"{_runs_in(folder)}"
        )
    cwd = Path(noted["cwd"])
    return Command(
        folder=folder,
        cwd=cwd if cwd.is_dir() else Path.cwd(),
        flags=tuple(noted["flags"]),
        overrides=tuple(noted["overrides"]),
        is_sweep=is_sweep,
    )


def check(run_dir: Path, raw: Mapping[str, Any]) -> None:
    """Look whether the run in a folder can go on under a configuration; nothing is changed.

    Raises:
        EsperError: if it cannot: another process trains it, its checkpoints are broken, or of
            another configuration.
        SystemExit: with 0 if it is finished.
    """
    from esper.checkpoint.rotation import CheckpointRotation  # torch

    with lock_run_dir(run_dir):
        summary = summary_of(run_dir) or {}
        over = summary["epochs"] if summary.get("status") == "finished" else 0
        found = CheckpointRotation(run_dir / CHECKPOINTS).latest()
        if found is not None:
            facts = found.saved.facts
            # A finished run that is given no more epochs is not trained: fewer are no error.
            wanted = {**raw, "epochs": max(raw["epochs"], over)}
            check_same(facts["config"], wanted, facts["epoch"])
        if raw["epochs"] <= over:
            longer = f"it goes on with a longer budget: epochs={2 * over}"
            typer.echo(f"{run_dir} is finished after {over} epochs; {longer}")
            raise SystemExit(0)


def _command(config: DictConfig, left_out: Sequence[str]) -> dict[str, Any]:
    # As they were typed: a reference such as ${rng_seed} is another value in each job.
    given = OmegaConf.to_container(config.hydra.overrides, resolve=False)
    assert isinstance(given, dict)
    overrides = [str(each) for each in (*given["task"], *given["hydra"])]
    skipped = (*_OF_A_PLACE, *left_out)
    return {
        "cwd": config.hydra.runtime.cwd,
        "flags": _flags(config),
        "overrides": [each for each in overrides if not _key(each).startswith(skipped)],
    }


def _of_jobs(overrides: Sequence[str]) -> list[str]:
    """Return the options on which it depends what the jobs of a sweep are."""
    free = (*(key for key in FREE if key != "experiment"), *_OF_LAUNCHERS)
    return [each for each in overrides if _key(each).split(".")[0] not in free]


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
    depths = ("*", "*/*")
    runs = {each.parent.parent for d in depths for each in folder.glob(f"{d}/.hydra/{COMMAND}")}
    sweeps = {each.parent for d in depths for each in folder.glob(f"{d}/{COMMAND}")}
    found = sorted(str(p.relative_to(folder)) for p in runs | sweeps if p.name != ".hydra")
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return f"; in it are {', '.join(found[-_MOST_NAMED:])}{more}" if found else ""


def _quoted(folder: Path) -> str:
    """Return a path as Hydra reads it back: quotes and what leads to them escaped."""
    text = re.sub(
        r"(\\*)('|$)", lambda found: found[1] * 2 + found[2].replace("'", "\\'"), str(folder)
    )
    return f"'{text}'"


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise ConfigError(f"{path} is broken: {error}") from error
    if not isinstance(noted, dict) or {"cwd", "flags", "overrides"} - noted.keys():
        raise ConfigError(f"{path} is broken: it must hold cwd, flags and overrides")
    return noted
