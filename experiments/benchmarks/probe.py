"""Time of the probes of the slots' health in a run, as a share of the run's time.

A probe is that of `Grower.step`: one forward pass over 96 samples, two backward passes, the signals
of every slot and the first-order score of a kernel for each dormant seed.  Its kernels are kept
from the probe before.  On digits whole runs are measured, without logging and checkpoints.
Elsewhere the run is one of 40 epochs whose policy may grow until `policy.grow_until`, and its time
that of training alone.
"""

import math
import statistics
from itertools import islice
from time import perf_counter

import torch
from torch import Tensor, nn

from esper import Grower
from esper.attribution.options import Attribution
from esper.grower.checkups import Checkups
from esper.grower.costs import Costs
from esper.growth.host import Host
from esper.growth.requests import growable_states
from esper.kernels.options import Kernels
from esper.kernels.pipeline import KernelPipeline
from esper.policy.heuristic import Heuristic, HeuristicPolicy
from esper.policy.rules.growth import GrowthRules, last_epoch
from esper.run.task import PROBE_BATCH, Task
from esper.safety.options import Safety
from esper.signals.options import Signals
from esper.training.objective import sample_losses
from esper.training.optimizer import build_optimizer
from esper.training.options import Training
from experiments.benchmarks.figure import Figure
from experiments.benchmarks.growing import HOSTS, Bench, bench_of, host_of
from experiments.benchmarks.steps import NUM_STEPS, trained
from experiments.benchmarks.timing import Arm, side_by_side

EPOCHS = 40
RNG_SEEDS = (100, 101, 102)
MANY = 10_000
"""Samples of an epoch from which on a probe should take next to no time."""
BATCH, WIDTH, HIDDEN, CLASSES, NUM_BLOCKS = 64, 32, 64, 10, 12


def probes(seconds: float = 15.0) -> list[Figure]:
    """Return the time of a run's probes over that of the run."""
    cnn, dense = bench_of("cnn"), dense_bench()
    many = math.ceil(MANY / len(cnn.batches[0][0]))
    return [
        _digits(),
        _probe("cnn_10000_samples", cnn, many, seconds),
        _probe("dense_12_slots", dense, dense.steps_per_epoch, seconds),
    ]


class ReadingPolicy(HeuristicPolicy):
    """The heuristic policy, which is given the health of slots though its rules do not read it."""

    reads_health = True


class Reading(Heuristic):
    """The option of `ReadingPolicy`."""

    def build(self, rng_seed: int) -> ReadingPolicy:
        """Return a new policy."""
        del rng_seed
        return ReadingPolicy(self)


def _digits() -> Figure:
    """Return the median share of whole runs of the default network."""
    shares = [_share_of_run(rng_seed) for rng_seed in RNG_SEEDS]
    each = ", ".join(f"{share:.3f}" for share in shares)
    return Figure(
        name="probe/digits",
        value=statistics.median(shares),
        unit="of the time",
        goal=0.05,
        reference=f"rng seeds {', '.join(map(str, RNG_SEEDS))}: {each}",
    )


def _share_of_run(rng_seed: int) -> float:
    """Return the share of a run's time that its probes took."""
    model_option, source = HOSTS["cnn"]
    data, training = source.load(), Training()
    torch.manual_seed(rng_seed)
    model = model_option.build(data.spec)
    optimizer = build_optimizer(model, training)
    task = Task(data, source.batch_size, training, EPOCHS, rng_seed)
    example = data.train.x[: source.batch_size]
    grower = Grower(
        model,
        optimizer,
        example_input=example,
        epochs=EPOCHS,
        rng_seed=rng_seed,
        policy=Reading(),
    )
    began, probe_ms = perf_counter(), 0.0
    for epoch in range(1, EPOCHS + 1):
        trained = task.train(model, optimizer, epoch)
        step = grower.step(task.evaluate, trained=trained, loss=task.loss, probe=task.probe)
        probe_ms += step.probe_ms
    return probe_ms / 1e3 / (perf_counter() - began)


def dense_bench(num_batches: int = 16) -> Bench:
    """Return a network of 12 blocks in a row, with random vectors."""
    torch.manual_seed(0)
    blocks = [
        nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, WIDTH))
        for _ in range(NUM_BLOCKS)
    ]
    drawn = [
        (torch.randn(BATCH, WIDTH), torch.randint(0, CLASSES, (BATCH,))) for _ in range(num_batches)
    ]
    model = nn.Sequential(*blocks, nn.Linear(WIDTH, CLASSES))
    return Bench(model.train(), drawn, math.ceil(MANY / BATCH))


def _probe(name: str, bench: Bench, num_steps: int, seconds: float) -> Figure:
    """Return the figure of a network whose epochs have `num_steps` steps."""
    host = host_of(bench.bare, bench.example)
    num_probes = len(range(1, last_epoch(GrowthRules(), EPOCHS) + 1, Signals().probe_every))

    def arms() -> list[Arm]:
        return [probed(host, bench), trained(host.model, host.optimizer, bench)]

    probe, steps = map(statistics.median, side_by_side(arms, seconds=seconds))
    epoch = steps / NUM_STEPS * num_steps
    return Figure(
        name=f"probe/{name}",
        value=num_probes * probe / (EPOCHS * epoch),
        unit="of the training",
        goal=0.01,
        reference=(
            f"{num_probes} probes of {probe:.3g} ms in {EPOCHS} epochs of {num_steps} steps, "
            f"{epoch:.3g} ms each"
        ),
    )


def probed(host: Host, bench: Bench) -> Arm:
    """Return an arm that probes a host of dormant seeds."""
    costs = Costs(host, Attribution(), Safety(), 10**9, len(bench.example))
    checkups = Checkups(costs, KernelPipeline(Kernels(), 0), every=1)
    states = growable_states(host, 1)
    samples = [torch.cat(each) for each in zip(*islice(bench.batches, 8), strict=True)]
    x_B, y_B = (each[:PROBE_BATCH] for each in samples)

    def losses(model: nn.Module) -> Tensor:
        return sample_losses(model(x_B), y_B)

    epoch = 0

    def work(_: int) -> None:
        nonlocal epoch
        epoch += 1
        checkups.look(states, epoch, math.inf, losses)

    return work
