"""Small hosts, and the moves that tests make with them."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from esper.blueprint import catalogue
from esper.contracts.metrics import EpochMetrics
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.stage import SeedStage
from esper.growth.apply import Applied, apply
from esper.growth.coin import Coin
from esper.growth.find_slots import SlotFinder
from esper.growth.host import Host
from esper.growth.options import Growth
from esper.kernels.kernel import Kernel
from esper.kernels.pipeline import build_kernel
from esper.model.networks.convolution import cnn, resnet
from esper.model.networks.decoder import decoder
from esper.model.networks.dense import mlp
from esper.probe.flops import forward_flops

HOSTS = ("mlp", "cnn", "resnet", "batch_norm", "transformer", "sequential")
CLASSES = 3


def make_model(name: str = "mlp", rng_seed: int = 0) -> nn.Module:
    """Return a small host with weights of its own."""
    torch.manual_seed(rng_seed)
    match name:
        case "mlp":
            return mlp(4, (5, 6), 8, CLASSES)
        case "cnn":
            return cnn(1, (3, 4), (4, 5), CLASSES)
        case "resnet":
            return resnet(1, (4, 8), 1, "group", CLASSES)
        case "batch_norm":
            return resnet(1, (4, 8), 1, "batch", CLASSES)
        case "transformer":
            return decoder(layers=2, width=8, heads=2, hidden=8, vocabulary=5, positions=6)
        case "sequential":
            body = nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 6))
            return nn.Sequential(nn.Linear(4, 4), body, nn.Linear(6, CLASSES))
    raise AssertionError(name)


def make_input(name: str = "mlp", batch: int = 7, rng_seed: int = 1) -> Tensor:
    """Return a batch that fits `make_model(name)`."""
    generator = torch.Generator().manual_seed(rng_seed)
    if name in ("mlp", "sequential"):
        return torch.randn(batch, 4, generator=generator)
    if name == "transformer":
        return torch.randint(0, 5, (batch, 6), generator=generator)
    return torch.randn(batch, 1, 8, 8, generator=generator)


def fitting(*site: Any) -> tuple[str, ...]:
    """Offer every blueprint."""
    return catalogue.fitting("all", *site)


def make_host(
    model: nn.Module | str = "mlp",
    slots: Sequence[str] | str = "auto",
    *,
    example: Tensor | None = None,
    placement: str = "auto",
    optimizer: Callable[..., Optimizer] = SGD,
    coin: Coin | None = None,
    average_epochs: float = 1.0,
    **growth: Any,
) -> Host:
    """Return a host with slots; `growth` are fields of its options."""
    if isinstance(model, str):
        model, example = make_model(model), make_input(model)
    assert example is not None
    places = SlotFinder(model, example, fitting)
    specs = places.auto(placement) if slots == "auto" else places.listed(slots, placement)
    trained = optimizer(model.parameters(), lr=0.1)
    host = Host(model, trained, Growth(**growth), coin, average_epochs)
    host.base_flops = forward_flops(model, example)
    host.place(specs, 4)
    return host


def adam_host(*args: Any, **kwargs: Any) -> Host:
    """Return a host whose optimizer has moments."""
    return make_host(*args, optimizer=Adam, **kwargs)


def germination(slot: str, seed: int, blueprint: str, alpha_target: float = 1.0) -> Plan:
    """Return a plan that germinates one seed."""
    change = SeedChange(
        action=Action.GERMINATE, seed=seed, blueprint=blueprint, alpha_target=alpha_target
    )
    return Plan(slot=slot, kind="test", changes=(change,), reasoning="a test wants it")


def make_metrics(
    epoch: int = 0, val_loss: float = 1.0, val_accuracy: float | None = None
) -> EpochMetrics:
    """Return the numbers of an epoch."""
    return EpochMetrics(epoch=epoch, global_step=0, val_loss=val_loss, val_accuracy=val_accuracy)


def kernels_for(host: Host, plan: Plan) -> dict[tuple[int, str], Kernel]:
    """Return a kernel for every germination of a plan."""
    return {
        (change.seed, change.blueprint): build_kernel(
            host.request(plan.slot, change.seed, change.blueprint, 0)
        )
        for change in plan.changes
        if change.seed is not None and change.blueprint is not None
    }


def apply_plan(
    host: Host, plan: Plan, *, event: int = 0, epoch: int = 0, val_loss: float = 1.0
) -> Applied:
    """Build what a plan germinates and apply it."""
    return apply(host, plan, kernels_for(host, plan), make_metrics(epoch, val_loss), event)


def grow(
    host: Host, slot: str, seed: int = 0, blueprint: str = "mlp", alpha_target: float = 1.0
) -> Applied:
    """Germinate one seed."""
    return apply_plan(host, germination(slot, seed, blueprint, alpha_target))


def blended(
    host: Host, slot: str, seed: int = 0, blueprint: str = "mlp", alpha: float = 1.0
) -> Any:
    """Germinate a seed, give its kernel weights, set its alpha; return the kernel."""
    grow(host, slot, seed, blueprint)
    record = host.seed(slot, seed)
    host.blend(slot, seed, alpha, None, "a test wants it")
    host.steps.set_alpha(record, alpha)
    kernel = kernel_of(host, slot, seed)
    awaken(kernel)
    return kernel


def shadowed(
    host: Host, slot: str, seed: int = 0, blueprint: str = "mlp", alpha: float = 1.0
) -> Any:
    """Germinate a seed and put it on trial, with weights; return the kernel."""
    kernel = blended(host, slot, seed, blueprint, alpha)
    host.advance(slot, seed, SeedStage.SHADOWING, None, "a test wants it")
    return kernel


def kernel_of(host: Host, slot: str, seed: int = 0) -> nn.Module:
    """Return the kernel that a seed holds."""
    return host.slots[slot].module.get_submodule(f"esper_kernels.kernels.{seed}")


def awaken(kernel: nn.Module, rng_seed: int = 5) -> None:
    """Draw all weights of a kernel at random, so that its output is not zero."""
    generator = torch.Generator().manual_seed(rng_seed)
    with torch.no_grad():
        for parameter in kernel.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of a model's state, without kernels."""
    state = model.state_dict()
    return {k: v.clone() for k, v in state.items() if "esper_kernels" not in k}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Return whether two states are bit-identical."""
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def batches(epoch: int = 0, steps: int = 4, features: int = 4) -> list[tuple[Tensor, Tensor]]:
    """Return the batches of an epoch; all calls return equal ones."""
    generator = torch.Generator().manual_seed(1000 + epoch)
    return [
        (
            torch.randn(6, features, generator=generator),
            torch.randint(0, CLASSES, (6,), generator=generator),
        )
        for _ in range(steps)
    ]


def train(model: nn.Module, optimizer: Optimizer, epoch: int = 0, steps: int = 4) -> None:
    """Train one epoch, as a user would."""
    model.train()
    for x, y in batches(epoch, steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()


def evaluate(model: nn.Module) -> tuple[Tensor, Tensor]:
    """Return losses and hits on a fixed split."""
    (x, y), *_ = batches(epoch=-1, steps=1)
    logits = model(x)
    return nn.functional.cross_entropy(logits, y, reduction="none"), (
        logits.argmax(dim=1) == y
    ).float()
