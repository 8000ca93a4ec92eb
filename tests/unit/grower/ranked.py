"""Hosts of blocks in a row, whose kernels are ranked."""

import torch
from torch import Tensor, nn
from torch.optim import SGD

from esper.attribution.options import Attribution
from esper.grower.costs import Costs
from esper.grower.prospects import Prospects
from esper.growth.attach import bank_of
from esper.growth.host import Host
from esper.growth.prepare import HostSetup, prepare
from esper.kernels.options import Kernels
from esper.kernels.pipeline import KernelPipeline
from esper.policy.rules.verdict import VerdictRules
from esper.safety.options import Safety
from esper.strategy.ledger import Ledger

X = torch.randn(8, 4, generator=torch.Generator().manual_seed(4))
SEVERAL = ("affine", "mlp", "lora", "gated_mlp")


def blocks(number: int, names: tuple[str, ...] = SEVERAL, num_seeds: int = 4) -> Host:
    """Return a host whose blocks are its slots, in a row."""
    torch.manual_seed(0)
    model = nn.Sequential(*[nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(number)])
    setup = HostSetup(
        slots=tuple(str(index) for index in range(number)),
        placement="parallel",
        num_seeds=num_seeds,
        selection=names,
    )
    return prepare(model, SGD(model.parameters(), lr=0.1), X, setup)


def loss(model: nn.Module) -> Tensor:
    return model(X).square().mean()


class Asked:
    """A loss that remembers how many kernels each slot held in each call."""

    def __init__(self) -> None:
        self.calls: list[dict[str, int]] = []

    def __call__(self, model: nn.Module) -> Tensor:
        banks = {name: bank_of(block) for name, block in model.named_children()}
        self.calls.append({n: len(bank.kernels) for n, bank in banks.items() if bank is not None})
        return loss(model)


def prospects_of(
    host: Host, max_cost: float = 99.0, price: float = 0.0, *, ranks: bool = True
) -> Prospects:
    """Return the prospects of a run of 40 epochs that has trained one."""
    costs = Costs(host, Attribution(), Safety(max_cost=max_cost), 40, len(X))
    costs.add(costs.begin_epoch(100), 50)
    rules = VerdictRules(price=price)
    return Prospects(costs, KernelPipeline(Kernels(), 0), Ledger(), rules, ranks=ranks)
