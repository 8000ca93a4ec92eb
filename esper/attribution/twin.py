"""Keep the twins of open growth events in step with the network.

A twin never gets the seeds of its own event; all else that happens to the network happens to it.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from esper.attribution.compare import Trial
from esper.growth import param_groups
from esper.growth.host import Host
from esper.growth.op_log import HostOp
from esper.probe.rng_state import RngState, restored

Train = Callable[[nn.Module, Optimizer], Any]
"""Trains a model for one epoch with an optimizer, on the batches of that epoch."""


def train_twin(twin: Host, network: Host, train: Train, epoch_began: RngState) -> None:
    """Train a twin for the epoch that the network has just trained, on the same batches.

    Raises:
        ValueError: if `train` trains the network, or moves its schedule, in the twin's place.
    """
    stands = (network.global_step, param_groups.schedule_state(network.optimizer))
    twin.given_schedule = network.last_schedule
    if not twin.model.training:
        twin.model.train()
    with restored(epoch_began):
        train(twin.model, twin.optimizer)
    twin.end_epoch()
    if stands != (network.global_step, param_groups.schedule_state(network.optimizer)):
        raise ValueError(
            "train must train the model with the optimizer that it is given and nothing else: it "
            "stepped the network's own optimizer or schedule (step schedulers outside of it)"
        )


def follow(change: Trial, deeds: Sequence[HostOp]) -> None:
    """Make the twin of an event do what the network did, its own seeds' moves left out.

    Call it before the network trains on, so that kernels are still as they were born.
    """
    twin = change.twin
    if twin is None:
        return
    for deed in deeds:
        if change.seeds.get((deed.slot, deed.seed)) == deed.number:
            continue
        arguments = copy.deepcopy(deed.arguments)
        getattr(twin, deed.method)(deed.slot, deed.seed, *arguments)
    twin.op_log.clear()
    twin.closed.clear()


def adopt(host: Host, twin: Host) -> None:
    """Go on from the twin: take over its weights and its optimizer's state.

    Both must hold the same kernels.
    """
    with torch.no_grad():
        for mine, theirs in zip(_tensors(host.model), _tensors(twin.model), strict=True):
            mine.copy_(theirs)
    sources = {_key(i, group): group for i, group in enumerate(_ordered(twin.optimizer))}
    host.optimizer.state.clear()
    for position, group in enumerate(_ordered(host.optimizer)):
        source = sources[_key(position, group)]
        for mine, theirs in zip(group["params"], source["params"], strict=True):
            if theirs in twin.optimizer.state:
                host.optimizer.state[mine] = twin.optimizer.state[theirs]


def _tensors(model: nn.Module) -> list[torch.Tensor]:
    """Return parameters and buffers, those that no state dict holds included, by name."""
    named = [*model.named_parameters(), *model.named_buffers()]
    return [tensor for _, tensor in sorted(named, key=lambda pair: pair[0])]


def _ordered(optimizer: Optimizer) -> list[dict[str, Any]]:
    """Return the host's groups in order, then the kernels'."""
    return sorted(optimizer.param_groups, key=lambda group: param_groups.TAG in group)


def _key(position: int, group: dict[str, Any]) -> Any:
    return group.get(param_groups.TAG, position)
