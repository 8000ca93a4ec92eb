"""Hosts that are probed, and their probes."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD

from esper.attribution.health import Probe, block_health
from esper.contracts.health import BlockHealth
from esper.growth.host import Host
from esper.growth.prepare import HostSetup, prepare
from esper.kernels.kernel import Kernel
from esper.kernels.pipeline import build_kernel
from tests.unit.growth.builders import (
    CLASSES,
    make_input,
)

NUM = 96
X = torch.randn(NUM, 4, generator=torch.Generator().manual_seed(3))
STRUCTURE = (
    "activation_variance", "weight_norm", "effective_rank", "dead_units", "correlation",
)  # fmt: skip


def square(model: nn.Module) -> Tensor:
    return model(X).square().sum(dim=1)


def probe_of(name: str, num: int = 12) -> Probe:
    """Return the losses per sample of a host of `HOSTS`."""
    x = make_input(name, batch=num)
    labels = torch.arange(num) % CLASSES

    def losses(model: nn.Module) -> Tensor:
        logits = model(x)
        if logits.dim() == 2:
            return cross_entropy(logits, labels, reduction="none")
        return cross_entropy(logits.mT, x, reduction="none").mean(dim=1)

    return losses


def blocks(number: int = 3, width: int = 4, hidden: int = 6) -> Host:
    """Return a host whose slots are blocks of two layers in a row."""
    torch.manual_seed(0)
    model = nn.Sequential(
        *[
            nn.Sequential(nn.Linear(width, hidden), nn.Tanh(), nn.Linear(hidden, width))
            for _ in range(number)
        ]
    )
    setup = HostSetup(slots=tuple(str(i) for i in range(number)))
    return prepare(model, SGD(model.parameters(), lr=0.1), X[:, :width], setup)


def healths(host: Host, probe: Probe = square) -> dict[str, BlockHealth]:
    return block_health(host, {}, probe, 1).health


def health_of(model: nn.Module, probe: Probe = square, slot: str = "0") -> BlockHealth:
    """Return the health of one slot of a model that takes 4 features."""
    setup = HostSetup(slots=(slot,))
    return healths(prepare(model, SGD(model.parameters(), lr=0.1), X, setup), probe)[slot]


def kernels_of(host: Host, *names: str) -> dict[tuple[str, int], Kernel]:
    """Return the kernels of the named blueprints in every slot that they fit."""
    return {
        (slot, seed): build_kernel(host.request(slot, seed, name, 0))
        for slot in host.slots
        for seed, name in enumerate(names)
        if name in host.slots[slot].spec.catalogue
    }
