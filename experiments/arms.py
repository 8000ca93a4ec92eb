"""The arms of a comparison on digits: the grown network and its controls, from equal host weights.

All arms have the same splits, the same data order in each epoch, and the same schedule over their
budget.  `final` has the final architecture of the grown network from the start; `wide` is the host
with wider blocks and about as many parameters.  Both are trained for as many epochs as the grown
network, and for as many FLOPs as it, including culled trials and twins.
"""

import contextlib
import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from esper.config import RunConfig
from esper.data.digits import Digits
from esper.growth.attach import kernels_of
from esper.growth.host import Host
from esper.growth.param_groups import add_group
from esper.kernels.pipeline import build_kernel
from esper.logger.none import NoLogger
from esper.policy.never import Never
from esper.run.run import initial_host, run
from esper.run.task import Task, scores

SPLIT_SEED = 1
"""Differs from 0, the seed of the splits on which host and learning rate were chosen."""


@dataclass(frozen=True)
class Result:
    """The result of an arm for one rng seed.  flops: total of training and attribution."""

    arm: str
    rng_seed: int
    test_accuracy: float
    test_loss: float
    params: int
    epochs: int
    flops: float


def config_of(rng_seed: int, **changes: Any) -> RunConfig:
    """Return the default configuration with a seed, on splits that no choice was based on."""
    fresh = Digits(split_seed=SPLIT_SEED)
    return replace(RunConfig(rng_seed=rng_seed, logger=NoLogger(), data=fresh), **changes)


def run_quietly(config: RunConfig) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run a configuration in a temporary folder; return its summary and its events."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        summary = run(config, Path(folder))
        with (Path(folder) / "events.jsonl").open() as lines:
            events = [json.loads(line) for line in lines]
    return summary, events


def compare(rng_seed: int, **changes: Any) -> list[dict[str, Any]]:
    """Run every arm of one rng seed and return their results as plain values."""
    config = config_of(rng_seed, **changes)
    grown, _ = run_quietly(config)
    alone, _ = run_quietly(replace(config, policy=Never()))
    arms = [_of_summary("grown", grown), _of_summary("host", alone)]
    kernels = grown["grown"]
    per_epoch = {
        "final": (lambda host: _grow_at_once(host, kernels, rng_seed), config),
        "wide": (lambda host: None, replace(config, model=_widened(config, grown))),
    }
    for name, (finish, arm_config) in per_epoch.items():
        equal_epochs = _static(name, arm_config, config.epochs, finish)
        arms.append(equal_epochs)
        epochs = max(1, round(grown["train_flops"] / (equal_epochs.flops / config.epochs)))
        arms.append(_static(f"{name}, equal FLOPs", arm_config, epochs, finish))
    return [asdict(arm) for arm in arms]


def _of_summary(arm: str, summary: dict[str, Any]) -> Result:
    return Result(
        arm,
        summary["rng_seed"],
        summary["test_accuracy"],
        summary["test_loss"],
        summary["params_final"],
        summary["epochs"],
        summary["train_flops"],
    )


def _static(arm: str, config: RunConfig, epochs: int, finish: Callable[[Host], None]) -> Result:
    """Train a network of constant architecture, with the trainer of the grown ones."""
    torch.set_num_threads(config.training.threads)
    data = config.data.load()
    torch.manual_seed(config.rng_seed)
    host = initial_host(config, data)
    finish(host)
    task = Task(data, config.data.batch_size, config.training, epochs, config.rng_seed)
    for epoch in range(1, epochs + 1):
        task.train(host.model, host.optimizer, epoch)
    losses_N, hits_N = scores(host.model.eval(), data.test)
    return Result(
        arm,
        config.rng_seed,
        float(hits_N.mean()),
        float(losses_N.mean()),
        host.num_parameters,
        epochs,
        3 * host.flops * len(data.train) * epochs,
    )


def _grow_at_once(host: Host, kernels: list[dict[str, Any]], rng_seed: int) -> None:
    """Give a host the kernels of a grown network before its first step, fully blended."""
    for spot in kernels:
        slot, seed = spot["slot"], spot["seed"]
        kernel = build_kernel(host.request(slot, seed, spot["blueprint"], rng_seed))
        host.put_kernel(slot, seed, kernel.module, kernel.blueprint)
        bank = kernels_of(host.slots[slot].module)
        bank.isolated.discard(str(seed))
        bank.set_alpha(seed, 1.0)
        add_group(host.optimizer, slot, seed, kernel.module)
        host.base_flops += kernel.flops


def _widened(config: RunConfig, grown: dict[str, Any]) -> Any:
    """Return the default CNN with blocks widened to about the grown number of parameters."""
    spec = config.data.load().spec
    best, factor = config.model, 1.0
    while True:
        factor += 0.05
        hidden = tuple(max(h, round(h * factor)) for h in config.model.hidden)
        wider = replace(config.model, hidden=hidden)
        size = sum(p.numel() for p in wider.build(spec).parameters())
        if abs(size - grown["params_final"]) > abs(_size(best, spec) - grown["params_final"]):
            return best
        best = wider


def _size(option: Any, spec: Any) -> int:
    return sum(p.numel() for p in option.build(spec).parameters())
