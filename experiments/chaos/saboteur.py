"""A blueprint, as a user could write it, whose kernels misbehave on request.

`unsteady` is `mlp`, but it misbehaves in chosen forward passes of the network's training.  In
probes, twins and evaluations it is `mlp`, so that the injected faults can be counted.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from esper.blueprint.base import Blueprint, sites
from esper.blueprint.catalogue import register
from esper.blueprint.mlp import mlp_layers
from esper.blueprint.shapes import reachable
from esper.contracts.slot import Placement, SlotKind
from esper.growth.bank import KernelBank
from experiments.chaos.regions import REGIONS, Call, watch

SLOW_S = 0.01
NAME = "unsteady"
LASTING = "broken backward"
"""Lasts until the end of the epoch for one kernel, and is counted once."""


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """A fault to inject in an epoch.

    passage: number, from 1, of the first forward pass of any kernel in which it happens.
    times: number of consecutive forward passes in which it happens.
    """

    behaviour: str
    passage: int
    times: int = 1


@dataclass(frozen=True, slots=True)
class Strike:
    """An injected fault.  is_isolated: whether the kernel's output did not reach the host."""

    epoch: int
    behaviour: str
    is_isolated: bool


@dataclass
class Saboteur:
    """Triggers misbehaviours and counts them.

    plan: misbehaviours by epoch.
    """

    plan: Mapping[int, Misbehaviour] = field(default_factory=dict)
    strikes: list[Strike] = field(default_factory=list)
    _model: nn.Module | None = None
    _epoch: int = 0
    _passages: int | None = None
    _broken: nn.Module | None = None

    def around(self, name: str, call: Call) -> Any:
        """Wrap the training of an epoch; the first model is the network, others are its twins."""
        model = call.args[1]
        self._model = self._model or model
        if model is not self._model:
            return call()
        self._epoch += 1
        self._passages, self._broken = 0, None
        try:
            return call()
        finally:
            self._passages = None

    def behaviour(self, kernel: nn.Module) -> str | None:
        """Return the behaviour of a kernel in this forward pass, None for a normal one."""
        if self._passages is None:
            return None
        self._passages += 1
        if kernel is self._broken:
            return LASTING
        planned = self.plan.get(self._epoch)
        if planned is None or not 0 <= self._passages - planned.passage < planned.times:
            return None
        self._broken = kernel if planned.behaviour == LASTING else None
        self.strikes.append(Strike(self._epoch, planned.behaviour, self._is_isolated(kernel)))
        return planned.behaviour

    def _is_isolated(self, kernel: nn.Module) -> bool:
        assert self._model is not None, "it is being trained"
        banks = (module for module in self._model.modules() if isinstance(module, KernelBank))
        return any(
            other is kernel and seed in bank.isolated
            for bank in banks
            for seed, other in bank.kernels.items()
        )


_boss = Saboteur()


def hire(boss: Saboteur) -> None:
    """Let a saboteur control every `unsteady` kernel of this process."""
    global _boss  # noqa: PLW0603 - kernels are copied and built where no argument reaches
    _boss = boss
    watch(boss.around, {"training": REGIONS["training"]})


class Unsteady(nn.Module):
    """The layers of `mlp`, which fail on request."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        """Return the layers' output, or misbehave."""
        behaviour = _boss.behaviour(self)
        result: Tensor = (
            self.layers(x) if behaviour is None else BEHAVIOURS[behaviour](self.layers, x)
        )
        return result


class _BrokenBackward(torch.autograd.Function):
    """The identity, whose backward pass fails."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        del ctx
        return values.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        del ctx, grads
        raise RuntimeError("a kernel's backward fails on purpose")


def _raise(layers: nn.Module, x: Tensor) -> Tensor:
    raise RuntimeError("a kernel fails on purpose")


def _raise_backward(layers: nn.Module, x: Tensor) -> Tensor:
    result: Tensor = _BrokenBackward.apply(layers(x))  # type: ignore[no-untyped-call]
    return result


def _give_wrong_shape(layers: nn.Module, x: Tensor) -> Tensor:
    result: Tensor = layers(x)
    return result[..., :-1]


def _run_out_of_memory(layers: nn.Module, x: Tensor) -> Tensor:
    raise torch.OutOfMemoryError("out of memory, on purpose")


def _fail_to_allocate(layers: nn.Module, x: Tensor) -> Tensor:
    raise MemoryError("no memory left, on purpose")


def _be_busy(layers: nn.Module, x: Tensor) -> Tensor:
    raise BlockingIOError("busy once, on purpose")


def _be_slow(layers: nn.Module, x: Tensor) -> Tensor:
    time.sleep(SLOW_S)
    result: Tensor = layers(x)
    return result


def _poison(layers: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        for weight in layers.parameters():
            weight.fill_(float("nan"))
    result: Tensor = layers(x)
    return result


BEHAVIOURS: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "raise": _raise,
    "raise backward": _raise_backward,
    LASTING: _raise_backward,
    "wrong shape": _give_wrong_shape,
    "out of memory": _run_out_of_memory,
    "no memory": _fail_to_allocate,
    "busy": _be_busy,
    "slow": _be_slow,
    "NaN": _poison,
}


def _build(kind: SlotKind, in_shape: Any, out_shape: Any) -> nn.Module:
    return Unsteady(mlp_layers(kind, in_shape, out_shape, silent=True))


BLUEPRINT = Blueprint(
    name=NAME,
    fits_in=sites(SlotKind, Placement),
    risk=0.2,
    build=_build,
    shape_rule=reachable,
)


def enlist() -> None:
    """Register `unsteady` in this process; importing this module alone does not."""
    register(BLUEPRINT)
