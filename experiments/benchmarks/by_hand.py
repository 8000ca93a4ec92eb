"""Rebuild a grown network from plain modules, as one would write it by hand."""

import copy

from torch import Tensor, nn

from esper.contracts.slot import Placement
from esper.growth.attach import bank_of
from esper.growth.host import Host


class Widened(nn.Module):
    """A block with parallel kernels: `block(x) + alpha0 * kernel0(x) + alpha1 * ...`."""

    def __init__(self, block: nn.Module, kernels: list[nn.Module], alphas: list[Tensor]) -> None:
        super().__init__()
        self.block = block
        self.kernels = nn.ModuleList(kernels)
        for index, alpha in enumerate(alphas):
            self.register_buffer(f"alpha{index}", alpha)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum."""
        y: Tensor = self.block(x)
        for index, kernel in enumerate(self.kernels):
            y = y + getattr(self, f"alpha{index}") * kernel(x)
        return y


class Deepened(Widened):
    """A block with kernels in series: `h + alpha0 * kernel0(h) + ...` with `h = block(x)`."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum."""
        h: Tensor = self.block(x)
        y = h
        for index, kernel in enumerate(self.kernels):
            y = y + getattr(self, f"alpha{index}") * kernel(h)
        return y


def written_by_hand(bare: nn.Module, host: Host) -> nn.Module:
    """Return the network of `host` with its weights, built from a copy of the bare one."""
    network = copy.deepcopy(bare)
    network.load_state_dict(host.model.state_dict(), strict=False)
    for slot in host.slots.values():
        bank = bank_of(slot.module)
        if bank is None:
            continue
        kind = Widened if slot.spec.placement is Placement.PARALLEL else Deepened
        kernels = [copy.deepcopy(kernel) for kernel in bank.kernels.values()]
        alphas = [bank.get_buffer(f"alpha_{seed}").clone() for seed in bank.kernels]
        block = network.get_submodule(slot.spec.name)
        network.set_submodule(slot.spec.name, kind(block, kernels, alphas))
    return network
