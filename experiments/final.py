"""The final network of a grown run as a plain network, to be trained from the start.

A run builds it by `model=custom`: the factory `network` reads which kernels to add from this
module, where `final_model` puts them.  Its kernels are layers like all others: they have their
final alpha from the first step, and the optimizer treats them as it treats the host's layers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from esper.config import RunConfig
from esper.contracts.data import DataSpec
from esper.contracts.slot import Placement
from esper.growth.host import Host
from esper.kernels.pipeline import build_kernel
from esper.model.custom import Custom
from esper.run.model import initial_host


@dataclass(frozen=True)
class Wanted:
    """A host's configuration, and slot, seed, blueprint and alpha of each kernel to give it."""

    config: RunConfig
    kernels: tuple[Mapping[str, Any], ...]


_CURRENT: dict[str, Wanted] = {}
"""What the factory builds, under one key; a factory takes no arguments of its caller."""
_KEY = "wanted"


class Grown(nn.Module):
    """A block with kernels, each with its alpha; the kernels' outputs are added to the block's."""

    def __init__(
        self, block: nn.Module, kernels: Sequence[tuple[nn.Module, float]], placement: Placement
    ) -> None:
        super().__init__()
        self.block = block
        self.kernels = nn.ModuleList(kernel for kernel, _ in kernels)
        self.alphas = tuple(alpha for _, alpha in kernels)
        self.is_series = placement is Placement.SERIES

    def forward(self, x: Tensor) -> Tensor:
        """Return `h + sum_i alpha_i * k_i(h or x)` for the block's output h."""
        output: Tensor = self.block(x)
        source = output if self.is_series else x
        for kernel, alpha in zip(self.kernels, self.alphas, strict=True):
            output = output + alpha * kernel(source)
        return output


def final_model(config: RunConfig, kernels: Sequence[Mapping[str, Any]]) -> Any:
    """Return the option for the host of `config` with the given kernels.

    It holds until the next call in this process.
    """
    if not kernels:
        return config.model
    _CURRENT[_KEY] = Wanted(config, tuple(kernels))
    return Custom(factory=f"{__name__}:network", num_seeds=config.model.num_seeds)


def network(spec: DataSpec) -> nn.Module:
    """Return the host with its kernels; its weights come from torch's global generator.

    They equal the initial weights of the host and kernels of the grown run.
    """
    assert _KEY in _CURRENT, "`final_model` comes first"
    wanted = _CURRENT[_KEY]
    config = wanted.config
    model: nn.Module = config.model.build(spec)
    by_slot: dict[str, list[tuple[nn.Module, float]]] = {}
    with torch.random.fork_rng(devices=[]):
        host = initial_host(config, config.data.load())
        for each in wanted.kernels:
            slot, seed, blueprint = each["slot"], each["seed"], each["blueprint"]
            kernel = build_kernel(host.request(slot, seed, blueprint, config.rng_seed))
            by_slot.setdefault(slot, []).append((kernel.module, each["alpha"]))
    # From the innermost slot outwards, so that the names of the others stay.
    for slot in sorted(by_slot, key=lambda name: -name.count(".")):
        model = _wrapped(model, slot, by_slot[slot], host)
    return model


def _wrapped(
    model: nn.Module, slot: str, kernels: list[tuple[nn.Module, float]], host: Host
) -> nn.Module:
    placement = host.slots[slot].spec.placement
    if not slot:
        return Grown(model, kernels, placement)
    model.set_submodule(slot, Grown(model.get_submodule(slot), kernels, placement))
    return model
