"""Soaks of control steps: many growers one after the other, and one long-lived grower.

A step evaluates a tiny network on a few samples and decides.  The many growers also take one
optimizer step on these samples before each control step, which the gates need.  The network of the
long-lived grower is not trained: no seed is fossilized, so it germinates and culls for ever.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from esper.grower.grower import Grower
from esper.policy.schedule import Schedule
from esper.safety.options import Safety
from experiments.soak.fresh import in_fresh_process
from experiments.soak.judge import judge
from experiments.soak.resources import Sample, measured

BUDGET = 2_000
"""Epochs of one grower, and control steps between two samples."""
EVENTS = 100
"""Germinations in `BUDGET` epochs."""
LONG_SHARE = 0.95
"""Share of all steps that the long-lived grower takes."""
COMPARED = 6
"""Every `COMPARED` portions, the long-lived grower is compared with a young one."""
SAMPLES, FEATURES, CLASSES = 16, 4, 2
LEARNING_RATE = 0.1


@dataclass
class Field:
    """A tiny network, its samples and its grower."""

    grower: Grower
    model: nn.Module
    optimizer: torch.optim.Optimizer
    x: Tensor
    y: Tensor

    def losses_and_hits(self, model: nn.Module) -> tuple[Tensor, Tensor]:
        """Return losses and hits (N,) of the samples."""
        logits = model(self.x)
        losses = nn.functional.cross_entropy(logits, self.y, reduction="none")
        return losses, logits.argmax(1) == self.y

    def train(self) -> None:
        """Take one optimizer step."""
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.model(self.x), self.y)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def go(self, steps: int, *, trained: bool) -> Counter[str]:
        """Take `steps` control steps; return the number of moves to each stage."""
        stages: Counter[str] = Counter()
        for _ in range(steps):
            if trained:
                self.train()
            report = self.grower.step(self.losses_and_hits)
            stages.update(str(move.to_stage) for move in report.moves)
        return stages


def field(epochs: int, rng_seed: int) -> Field:
    """Return a network with a grower that germinates `EVENTS` times in `BUDGET` epochs."""
    torch.manual_seed(rng_seed)
    blocks = [nn.Sequential(nn.Linear(FEATURES, FEATURES), nn.Tanh()) for _ in range(2)]
    model = nn.Sequential(*blocks, nn.Linear(FEATURES, CLASSES))
    x, y = torch.randn(SAMPLES, FEATURES), torch.randint(CLASSES, (SAMPLES,))
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)
    events = max(1, EVENTS * epochs // BUDGET)
    grower = Grower(
        model,
        optimizer,
        example_input=x[:4],
        epochs=epochs,
        rng_seed=rng_seed,
        policy=Schedule(
            fractions=tuple((i + 1) / (events + 1) for i in range(events)), grow_until=1.0
        ),
        # Steps without training count no samples, so that nothing would be affordable.
        safety=Safety(max_cost=1_000.0),
    )
    return Field(grower, model, optimizer, x, y)


def soak_steps(num_steps: int) -> dict[str, Callable[[], dict[str, Any]]]:
    """Return the soaks, by name, among which `num_steps` control steps are shared."""
    long = max(BUDGET, int(num_steps * LONG_SHARE)) if num_steps > BUDGET else 0
    soaks = {"many": partial(_many, _budgets(num_steps - long))}
    return {**soaks, "long": partial(_long, _budgets(long))} if long else {**soaks}


def _budgets(steps: int) -> list[int]:
    """Return steps in portions of `BUDGET`, the last one smaller."""
    whole, rest = divmod(steps, BUDGET)
    return [BUDGET] * whole + [rest] * (rest > 0)


def _many(budgets: Sequence[int]) -> dict[str, Any]:
    """Use growers one after the other, each also in a fresh process as reference."""
    measurements = []
    for rng_seed, steps in enumerate(budgets):
        work = partial(_live, steps, rng_seed)
        measurements.append(measured(work, steps, partial(in_fresh_process, work)))
    return _judged(budgets, measurements)


def _live(steps: int, rng_seed: int) -> Counter[str]:
    """Use one grower for all of its budget."""
    made = field(steps, rng_seed)
    stages = made.go(steps, trained=True)
    made.grower.close()
    return stages


def _long(budgets: Sequence[int]) -> dict[str, Any]:
    """Use one grower for all steps, with young ones in fresh processes as reference."""
    epochs = sum(budgets)
    made = field(epochs, rng_seed=0)
    measurements = []
    for number, steps in enumerate(budgets):
        young = partial(in_fresh_process, partial(_begin, epochs, steps))
        beside = None if number % COMPARED else young
        measurements.append(measured(partial(made.go, steps, trained=False), steps, beside))
    made.grower.close()
    return _judged(budgets, measurements)


def _begin(epochs: int, steps: int) -> None:
    """Use a young grower with the same budget for its first steps."""
    made = field(epochs, rng_seed=0)
    made.go(steps, trained=False)
    made.grower.close()


def _judged(
    budgets: Sequence[int], measurements: Sequence[tuple[Counter[str], Sample]]
) -> dict[str, Any]:
    stages: Counter[str] = sum((counts for counts, _ in measurements), Counter())
    named = {name: stages[name] for name in ("GERMINATED", "FOSSILIZED", "CULLED")}
    lacking = sum(not (counts["GERMINATED"] and counts["CULLED"]) for counts, _ in measurements)
    return {
        "steps": sum(budgets),
        "moves": named,
        "portions_without_growth": lacking,
        **judge([sample for _, sample in measurements]),
    }
