"""What a grown run costs in a user's own loop, and how the control step scales with slots."""

import copy
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter, process_time

import torch
from torch import Tensor, nn

from esper import Grower
from experiments.benchmarks.by_hand import written_by_hand
from experiments.benchmarks.figure import Figure

EPOCHS = 40
NUM_TRAIN, NUM_VALIDATION, BATCH = 1200, 300, 64
CLASSES = 10
RNG_SEEDS = (0, 1, 2)
IMAGES = {"mnist": (1, 28), "cifar10": (3, 32)}
"""Channels and side of the images of each data set; their values are generated."""
SLOTS = (4, 40, 400)
SLOT_STEPS = 30


@dataclass(frozen=True)
class Loop:
    """A plain training loop on generated images, whose classes a random network sets."""

    x: Tensor
    y: Tensor

    @classmethod
    def of(cls, name: str, rng_seed: int) -> "Loop":
        """Return the loop for images of a size."""
        channels, side = IMAGES[name]
        torch.manual_seed(1_000 + rng_seed)
        x = torch.randn(NUM_TRAIN + NUM_VALIDATION, channels, side, side)
        with torch.no_grad():
            logits = network(name)(x)
        return cls(x, (logits - logits.mean(dim=0)).argmax(dim=1))

    def train(self, model: nn.Module, optimizer: torch.optim.Optimizer, epoch: int) -> None:
        """Train one epoch."""
        model.train()
        order = torch.randperm(NUM_TRAIN, generator=torch.Generator().manual_seed(epoch))
        for batch in torch.split(order, BATCH):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(self.x[batch]), self.y[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    def evaluate(self, model: nn.Module) -> tuple[Tensor, Tensor]:
        """Return losses and hits on the validation samples."""
        x, y = self.x[NUM_TRAIN:], self.y[NUM_TRAIN:]
        with torch.no_grad():
            logits = model(x)
        losses = nn.functional.cross_entropy(logits, y, reduction="none")
        return losses, (logits.argmax(dim=1) == y).float()


def network(name: str) -> nn.Sequential:
    """Return a small CNN as in tutorials."""
    channels, side = IMAGES[name]
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(channels, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        nn.Sequential(nn.Linear(32 * (side // 4) ** 2, 64), nn.ReLU()),
        nn.Linear(64, CLASSES),
    )


def price() -> list[Figure]:
    """Return processor time and FLOPs of grown runs over their final networks trained plainly."""
    figures = []
    for name in IMAGES:
        runs = [_grown_over_plain(name, rng_seed) for rng_seed in RNG_SEEDS]
        times, costs, trials, kept = (
            statistics.median(column) for column in zip(*runs, strict=True)
        )
        plain = "the final network, written by hand and trained plainly for the same epochs"
        counts = f"{trials:g} trials, {kept:g} kept (medians of {len(RNG_SEEDS)})"
        figures += [
            _ratio(f"grown_run/{name}/processor_time", times, 1.5, plain),
            _ratio(f"grown_run/{name}/flops", costs, 1.3, f"the same; {counts}"),
        ]
    return figures


def _ratio(name: str, value: float, goal: float, reference: str) -> Figure:
    return Figure(name=name, value=value, unit="x", goal=goal, reference=reference)


def _grown_over_plain(name: str, rng_seed: int) -> tuple[float, float, int, int]:
    """Return the ratios of processor time and FLOPs, and the numbers of trials and kept kernels."""
    loop = Loop.of(name, rng_seed)
    torch.manual_seed(rng_seed)
    model = network(name)
    bare = copy.deepcopy(model)
    began = process_time()
    optimizer = torch.optim.Adam(model.parameters())
    grower = Grower(
        model, optimizer, example_input=loop.x[:BATCH], epochs=EPOCHS, rng_seed=rng_seed
    )
    for epoch in range(EPOCHS):
        loop.train(model, optimizer, epoch)
        grower.step(loop.evaluate)
    grown_s = process_time() - began
    host = grower.host
    flops = grower.costs.spent.flops / grower.costs.plain_flops
    kept = sum(seed.current is not None for seed in host.seeds())
    plain_s = _plain_s(loop, written_by_hand(bare, host))
    return grown_s / plain_s, flops, grower.trials.num_events, kept


def _plain_s(loop: Loop, model: nn.Module) -> float:
    """Return the processor seconds of training a network from new weights."""
    for module in model.modules():
        reset: Callable[[], None] | None = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()
    began = process_time()
    optimizer = torch.optim.Adam(model.parameters())
    for epoch in range(EPOCHS):
        loop.train(model, optimizer, epoch)
        model.eval()
        loop.evaluate(model)
    return process_time() - began


def slots() -> list[Figure]:
    """Return the time of a control step for each number of slots, and its growth per slot."""
    spans = {number: _control_ms(number) for number in SLOTS}
    few, many = SLOTS[0], SLOTS[-1]
    figures = [
        Figure(
            name=f"control_step/{number}_slots",
            value=span,
            unit="ms",
            goal=None,
            reference=f"median of {SLOT_STEPS} steps, evaluation apart; trials open in some slots",
        )
        for number, span in spans.items()
    ]
    growth = (spans[many] / many) / (spans[few] / few)
    reference = f"time a slot at {many} slots over that at {few}: linear is 1"
    return [*figures, _ratio("control_step/per_slot", growth, 1.0, reference)]


def _control_ms(num_slots: int) -> float:
    torch.manual_seed(0)
    blocks = [nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(num_slots)]
    model = nn.Sequential(*blocks)
    x, y = torch.randn(64, 4), torch.randn(64, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    grower = Grower(model, optimizer, example_input=x, epochs=3 * SLOT_STEPS)
    evaluation_ms = 0.0

    def losses(model: nn.Module) -> Tensor:
        nonlocal evaluation_ms
        began = perf_counter()
        with torch.no_grad():
            values: Tensor = (model(x) - y).square().mean(dim=1)
        evaluation_ms += (perf_counter() - began) * 1e3
        return values

    spans = []
    for _ in range(SLOT_STEPS):
        optimizer.zero_grad()
        (model(x) - y).square().mean().backward()
        optimizer.step()
        evaluation_ms = 0.0
        began = perf_counter()
        grower.step(losses)
        spans.append((perf_counter() - began) * 1e3 - evaluation_ms)
    return statistics.median(spans)
