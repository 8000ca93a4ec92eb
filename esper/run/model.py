"""Build the host of a configuration, at any of its widths, and what a grower of it needs."""

import hashlib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from esper.config import RunConfig
from esper.data.base import DataSet
from esper.grower.options import GrowerOptions
from esper.growth.host import Host
from esper.growth.options import NEVER
from esper.growth.prepare import prepare
from esper.growth.weights import load_weights
from esper.model.base import HostOptions
from esper.model.fit import check_fit
from esper.options import ControlOptions
from esper.probe.rng_state import seed_torch
from esper.rundir.layout import CHECKPOINTS
from esper.training.optimizer import build_optimizer

EXAMPLE_BATCH = 4


def example_input(data: DataSet) -> Tensor:
    """Return a small batch of training inputs."""
    return data.train.x[:EXAMPLE_BATCH]


def grower_options(config: RunConfig) -> dict[str, Any]:
    """Return the keyword arguments of `Grower` for a configuration; it cannot widen its host."""
    return {
        **{each.name: getattr(config, each.name) for each in fields(ControlOptions)},
        "growth": replace(config.growth, widen=NEVER),
        "slots": config.model.slots,
        "placement": config.model.placement,
        "num_seeds": config.model.num_seeds,
    }


def host_options(config: RunConfig, doublings: int) -> HostOptions:
    """Return the options of the host whose width was doubled so often.

    Raises:
        ConfigError: if the host is a user's, and takes no width.
    """
    options: HostOptions = config.model
    for _ in range(doublings):
        options = options.wider()
    return options


def first_model(config: RunConfig, data: DataSet, run_dir: Path) -> nn.Module:
    """Return the model of a run on the device of the data, after checking that it takes them.

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


def wider_model(config: RunConfig, data: DataSet, doublings: int, draw: str) -> nn.Module:
    """Return a model of another width with untrained weights; `draw` tells several apart.

    Seeds torch's global generator.
    """
    text = f"{config.rng_seed}/width/{doublings}/{draw}"
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    seed_torch(int.from_bytes(digest, "big") >> 1)
    model: nn.Module = host_options(config, doublings).build(data.spec)
    return model.to(data.train.x.device)


def host_of(model: nn.Module, config: RunConfig, data: DataSet) -> Host:
    """Return the host of a model, with its optimizer, before any training."""
    optimizer = build_optimizer(model, config.training)
    setup = GrowerOptions(**grower_options(config)).setup(config.rng_seed)
    return prepare(model, optimizer, example_input(data), setup)


def initial_host(config: RunConfig, data: DataSet, doublings: int = 0) -> Host:
    """Return the configured host, of so many doublings of its width, before any training."""
    return host_of(host_options(config, doublings).build(data.spec), config, data)
