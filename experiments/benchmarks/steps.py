"""Overhead of slots in a training step, with dormant seeds and with live ones.

A step is forward, loss, backward, clipping and optimizer, by the same function on the same batches,
from the same weights.  The reference is a plain network with one parameter group: the bare host, or
the grown network written by hand (`by_hand`).  Esper's overhead includes that of its parameter
group for each kernel, and of averages and samples as often as in an epoch of the host's data.
"""

import copy
import statistics
from collections.abc import Sequence

from torch import Tensor, nn
from torch.optim import Optimizer

from esper.training.epoch import clip_each_group
from esper.training.objective import mean_loss
from experiments.benchmarks.by_hand import written_by_hand
from experiments.benchmarks.figure import Figure
from experiments.benchmarks.growing import HOSTS, Bench, bench_of, grow, host_of, optimizer_of
from experiments.benchmarks.timing import Arm, ratio, side_by_side

LIVE_SEEDS = (1, 2, 4)
DORMANT_GOAL = 1.01
LIVE_GOAL = 1.05
CLIP_NORM = 1.0
NUM_STEPS = 8
"""Steps of a round.  A median of single steps would miss work that only some of them do."""


def dormant(seconds: float = 15.0) -> list[Figure]:
    """Return the time of a step with every seed dormant over the bare host's, for each host."""
    return [_dormant(name, seconds) for name in HOSTS]


def live(seconds: float = 10.0) -> list[Figure]:
    """Return the time of a step with live seeds over that of the same network by hand."""
    return [_live(name, num_seeds, seconds) for name in HOSTS for num_seeds in LIVE_SEEDS]


def _dormant(name: str, seconds: float) -> Figure:
    bench = bench_of(name)

    def arms() -> list[Arm]:
        host = host_of(copy.deepcopy(bench.bare), bench.example)
        host.steps_per_epoch = bench.steps_per_epoch
        plain, control = (copy.deepcopy(bench.bare) for _ in range(2))
        return [
            trained(host.model, host.optimizer, bench),
            trained(plain, optimizer_of(plain), bench),
            trained(control, optimizer_of(control), bench),
        ]

    slotted, bare, again = side_by_side(arms, seconds=seconds)
    return Figure(
        name=f"dormant_step/{name}",
        value=ratio(slotted, bare),
        unit="x",
        goal=DORMANT_GOAL,
        reference=f"bare host, {_step_ms(bare):.3g} ms; it over itself {ratio(again, bare):.4f}",
    )


def _live(name: str, num_seeds: int, seconds: float) -> Figure:
    bench = bench_of(name)

    def arms() -> list[Arm]:
        host = host_of(copy.deepcopy(bench.bare), bench.example)
        host.steps_per_epoch = bench.steps_per_epoch
        grow(host, num_seeds)
        host.is_followed = True  # as with a live seed, whose twin needs the learning rates
        by_hand = written_by_hand(bench.bare, host)
        return [
            trained(host.model, host.optimizer, bench),
            trained(by_hand, optimizer_of(by_hand), bench),
        ]

    grown, plain = side_by_side(arms, seconds=seconds)
    return Figure(
        name=f"live_step/{name}/{num_seeds}",
        value=ratio(grown, plain),
        unit="x",
        goal=LIVE_GOAL,
        reference=f"the same network by hand, {_step_ms(plain):.3g} ms",
    )


def trained(
    model: nn.Module, optimizer: Optimizer, bench: Bench, num_steps: int = NUM_STEPS
) -> Arm:
    """Return an arm that trains a network on `num_steps` batches a round."""
    model.train()

    def work(number: int) -> None:
        for each in range(number * num_steps, (number + 1) * num_steps):
            step(model, optimizer, *bench.batches[each % len(bench.batches)])

    return work


def _step_ms(rounds: Sequence[float]) -> float:
    return statistics.median(rounds) / NUM_STEPS


def step(model: nn.Module, optimizer: Optimizer, x_B: Tensor, y_B: Tensor) -> None:
    """Train on one batch."""
    optimizer.zero_grad(set_to_none=True)
    mean_loss(model(x_B), y_B).backward()  # type: ignore[no-untyped-call]
    clip_each_group(optimizer, CLIP_NORM)
    optimizer.step()
