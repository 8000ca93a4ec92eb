"""A finished run, read back: its records, its configuration and its network."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
import yaml
from omegaconf import OmegaConf
from torch import nn

from esper.checkpoint.format import read
from esper.checkpoint.rotation import BEST, LAST, PREVIOUS
from esper.config import RunConfig
from esper.contracts.errors import CheckpointError, DataError
from esper.growth.host_state import load_host_state
from esper.growth.network_file import load_network
from esper.growth.prepare import prepare
from esper.options import OPTIONS
from esper.run.run import choices_of, example_input
from esper.rundir import records
from esper.rundir.layout import CHECKPOINTS, NETWORK
from esper.training.optimizer import build_optimizer


class LoadedRun:
    """What `esper.load_run` gives.

    config: the checked configuration.  metrics, events: lines as dictionaries, oldest first.
    summary: None while the run is unfinished.
    """

    def __init__(self, path: Path | str) -> None:
        found = records.load_run(path)
        self.path = found.path
        self.metrics, self.events, self.summary = found.metrics, found.events, found.summary
        self.config = load_config(found.path)

    def network(self, checkpoint: str | None = None) -> nn.Module:
        """Return the network as it stood after the last epoch, in eval mode.

        Args:
            checkpoint: `best`, `last` or `previous`: as it stood when that one was saved.

        Raises:
            CheckpointError: if it was not saved, is broken or does not fit its configuration.
            ValueError: if there is no such name.
        """
        if checkpoint not in (None, LAST, PREVIOUS, BEST):
            names = ", ".join((LAST, PREVIOUS, BEST))
            raise ValueError(f"checkpoint must be None or one of {names}, got {checkpoint!r}")
        data = self.config.data.load()
        with torch.random.fork_rng(devices=[]):
            model: nn.Module = self.config.model.build(data.spec)
        if checkpoint is None and self.summary is None:
            raise CheckpointError(
                f"{self.path} is not finished; network('last') is as it was last saved"
            )
        setup = choices_of(self.config).setup
        host = prepare(
            model, build_optimizer(model, self.config.training), example_input(data), setup
        )
        if checkpoint is None:
            return load_network(self.path / NETWORK, host).eval()
        saved = read(self.path / CHECKPOINTS / checkpoint).tree
        load_host_state(host, saved["grower"]["pending"]["host"])
        return model.eval()

    def __repr__(self) -> str:
        status = "unfinished" if self.summary is None else "finished"
        return f"LoadedRun({self.path}, epochs {len(self.metrics)}, {status})"


def load_run(path: Path | str) -> LoadedRun:
    """Return the run in the directory `path`.

    Raises:
        DataError: if a file is missing or broken; the text names it.
    """
    return LoadedRun(path)


def load_config(run_dir: Path) -> RunConfig:
    """Return the configuration that Hydra left in a run directory.

    Raises:
        DataError: if it is missing or no configuration of this version.
    """
    values = _resolved(_read(run_dir / ".hydra" / "config.yaml"))
    chosen = _read(run_dir / ".hydra" / "hydra.yaml")["hydra"]["runtime"]["choices"]
    types = {f.name: f.type for f in fields(RunConfig)}
    try:
        return RunConfig(**{key: _option(key, v, chosen, types) for key, v in values.items()})
    except (KeyError, TypeError, ValueError, StopIteration) as error:
        raise DataError(f"{run_dir} is no run of this version of Esper: {error}") from error


def _resolved(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values with references such as `${training.grow_until}` followed."""
    resolved = OmegaConf.to_container(OmegaConf.create(values), resolve=True)
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items()}


def _option(key: str, value: Any, chosen: dict[str, str], types: dict[str, Any]) -> Any:
    """Return a group's option or a node's dataclass; plain values are handed back."""
    if not isinstance(value, dict):
        return value
    kind = _kind(OPTIONS[key], chosen[key], value) if key in OPTIONS else types[key]
    return kind(**value)


def _kind(options: Mapping[str, type[Any]], name: str, value: dict[str, Any]) -> type[Any]:
    """Return the option of a name; a user's own preset has the option's keys, not its name."""
    if name in options:
        return options[name]
    keys = set(value)
    return next(kind for kind in options.values() if keys == {f.name for f in fields(kind)})


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    if not isinstance(values, dict):
        raise DataError(f"{path} holds no configuration")
    return values
