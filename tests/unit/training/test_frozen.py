"""Statistics of a host that is kept as it is."""

import torch
from torch import nn

from esper.contracts.slot import Placement
from esper.growth.bank import KernelBank
from esper.training.frozen import hold_statistics


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2)
        self.bank = KernelBank(Placement.SERIES)
        self.bank.kernels["0"] = nn.BatchNorm1d(2)


def test_norms_of_the_host_keep_their_statistics_and_those_of_kernels_learn() -> None:
    block = Block().train()
    hold_statistics(block)
    kernel = block.bank.kernels["0"]
    for norm in (block.norm, kernel):
        norm(torch.full((4, 2), 3.0))
    assert block.norm.running_mean is not None
    assert block.norm.running_mean.tolist() == [0.0, 0.0]
    assert torch.all(kernel.running_mean > 0)
    assert block.training
    assert kernel.training
