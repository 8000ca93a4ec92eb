"""Train the twins of open growth events, and repeat the network's operations on them.

A twin repeats every operation but those on the seeds of its own event.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

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
    """Train a twin for the network's last epoch, from the same global random state.

    Raises:
        ValueError: if `train` steps the network's optimizer or schedule.
    """
    before = (network.global_step, param_groups.schedule_state(network.optimizer))
    twin.given_schedule = network.last_schedule
    if not twin.model.training:
        twin.model.train()
    with restored(epoch_began):
        train(twin.model, twin.optimizer)
    twin.end_epoch()
    if before != (network.global_step, param_groups.schedule_state(network.optimizer)):
        raise ValueError(
            "train must train the model with the optimizer that it is given and nothing else: it "
            "stepped the network's own optimizer or schedule (step schedulers outside of it)"
        )


def follow(trial: Trial, operations: Sequence[HostOp]) -> None:
    """Repeat the network's operations, except on the event's own seeds, on the event's twin.

    Call it before the network trains again: the twin gets copies of the network's kernels.
    """
    twin = trial.twin
    if twin is None:
        return
    for operation in operations:
        if trial.seeds.get((operation.slot, operation.seed)) == operation.number:
            continue
        arguments = copy.deepcopy(operation.arguments)
        getattr(twin, operation.method)(operation.slot, operation.seed, *arguments)
    twin.op_log.clear()
    twin.closed.clear()
