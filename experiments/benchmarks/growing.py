"""The four hosts with their data, and functions that germinate and blend seeds in them."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from esper.contracts.metrics import EpochMetrics
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.stage import SeedStage
from esper.data.batches import batches
from esper.data.digits import Digits
from esper.data.text import Text
from esper.growth.apply import apply
from esper.growth.host import Host
from esper.growth.prepare import HostSetup, prepare
from esper.kernels.pipeline import build_kernel
from esper.model.cnn import CNN
from esper.model.mlp import MLP
from esper.model.resnet import ResNet
from esper.model.transformer import Transformer
from esper.training.optimizer import build_optimizer
from esper.training.options import Training

HOSTS: dict[str, tuple[Any, Any]] = {
    "mlp": (MLP(), Digits()),
    "cnn": (CNN(), Digits()),
    "resnet": (ResNet(), Digits()),
    "transformer": (Transformer(), Text()),
}
"""The options of each model and of its data, with defaults."""


@dataclass(frozen=True)
class Bench:
    """A bare network, the first batches that it is trained on, and how many an epoch has."""

    bare: nn.Module
    batches: list[tuple[Tensor, Tensor]]
    steps_per_epoch: int

    @property
    def example(self) -> Tensor:
        """A small batch."""
        return self.batches[0][0][:4]


def bench_of(name: str, num_batches: int = 16) -> Bench:
    """Return one of `HOSTS`, built, with its first batches."""
    model, source = HOSTS[name]
    data = source.load()
    torch.manual_seed(0)
    order = torch.Generator().manual_seed(0)
    drawn = list(batches(data.train, source.batch_size, order, num_batches))
    num_batches = math.ceil(len(data.train) / source.batch_size)
    return Bench(model.build(data.spec).train(), drawn, num_batches)


def optimizer_of(model: nn.Module) -> Optimizer:
    """Return the default optimizer."""
    return build_optimizer(model, Training())


def host_of(model: nn.Module, example: Tensor) -> Host:
    """Return `model` as a host with its slots, every seed dormant."""
    return prepare(model, optimizer_of(model), example, HostSetup())


def germination(host: Host, slot: str, seed: int) -> Plan:
    """Return a plan that germinates a seed with the blueprint that it is bound to."""
    change = SeedChange(
        action=Action.GERMINATE, seed=seed, blueprint=host.seed(slot, seed).bound, alpha_target=1.0
    )
    return Plan(slot=slot, kind="diversify", changes=(change,), reasoning="benchmark")


METRICS = EpochMetrics(epoch=1, global_step=0, val_loss=1.0)
"""Metrics of the epoch after which a benchmark applies its plans."""


def grow(host: Host, num_seeds: int) -> None:
    """Bring `num_seeds` seeds, slot by slot in turn, to SHADOWING: blended at alpha 1."""
    slots = list(host.slots)
    for event in range(num_seeds):
        slot, index = slots[event % len(slots)], event // len(slots)
        blueprint = host.seed(slot, index).bound
        kernels = {(index, blueprint): build_kernel(host.request(slot, index, blueprint, 0))}
        apply(host, germination(host, slot, index), kernels, METRICS, event)
        host.blend(slot, index, 1.0, None, "benchmark")
        seed = host.seed(slot, index)
        assert seed.activation.ramp is not None, "blending has just begun"
        seed.activation.ramp.step = seed.activation.ramp.num_steps
        host.steps.set_alpha(seed, 1.0)
        host.advance(slot, index, SeedStage.SHADOWING, None, "benchmark")
