"""Figures of the governor: its delay, its false alarms, and the time of a rollback."""

import copy
import random
import statistics
import time

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from esper.growth.host import Host
from esper.growth.options import Growth
from esper.probe.tensors import tensors_of
from esper.safety.governor import HealthKind, LossMonitor
from esper.safety.options import GovernorOptions
from esper.safety.rollback import Snapshot, roll_back
from experiments.benchmarks.figure import Figure

CHANCE = 2.3
EPOCHS = 10_000
ROUNDS = 20
WIDTH, LAYERS = 256, 4


def governor() -> list[Figure]:
    """Return evaluations until a rollback, alarms for noise, and the time of a rollback."""
    return [_delay(), _false_alarms(), *_rollback()]


def _delay() -> Figure:
    """Let a noisy loss jump from 0.5 to 6.0, at each of 200 epochs."""
    delays = []
    for onset in range(20, 220):
        rng, watch = random.Random(onset), LossMonitor(GovernorOptions(), CHANCE)
        for epoch in range(1, onset):
            watch.check(epoch, 0.5 * rng.uniform(0.8, 1.2), None, is_finite=True)
        looks = 0
        while True:
            looks += 1
            verdict = watch.check(onset + looks, 6.0 * rng.uniform(0.8, 1.2), None, is_finite=True)
            if verdict.kind is HealthKind.ROLL_BACK:
                break
        delays.append(looks)
    return Figure(
        name="governor/evaluations_until_rollback",
        value=max(delays),
        unit="evaluations",
        goal=2,
        reference=f"loss 0.5 -> 6.0, the most of {len(delays)} onsets",
    )


def _false_alarms() -> Figure:
    alarms = looks = 0
    for share in (0.001, 0.05, 0.3, 0.6, 0.75):
        rng, watch = random.Random(str(share)), LossMonitor(GovernorOptions(), CHANCE)
        for epoch in range(1, EPOCHS + 1):
            loss = share * CHANCE * rng.uniform(0.8, 1.2)
            verdict = watch.check(epoch, loss, None, is_finite=True)
            alarms += verdict.kind is not HealthKind.CLEAN
            looks += 1
    return Figure(
        name="governor/alarms_for_noise",
        value=alarms,
        unit=f"of {looks}",
        goal=0,
        reference=f"+-20 % around 5 levels, {EPOCHS} epochs each",
    )


def _rollback() -> list[Figure]:
    """Roll back a ruined network of a quarter of a million weights."""
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS)))
    host = Host(model, AdamW(model.parameters()), Growth())
    x = torch.randn(8, WIDTH)

    def step() -> None:
        host.optimizer.zero_grad()
        model(x).square().sum().backward()
        host.optimizer.step()

    spans, differing = [], 0
    for number in range(ROUNDS):
        step()
        before = copy.deepcopy(tensors_of(model))
        snapshot = Snapshot.take(host, number)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(float("nan"))
        began = time.perf_counter()
        roll_back(host, snapshot, number, "measured")
        spans.append((time.perf_counter() - began) * 1e3)
        after = tensors_of(model)
        differing += sum(not _same(after[name], kept) for name, kept in before.items())
    size = sum(parameter.numel() for parameter in model.parameters())
    return [
        Figure(
            name="governor/rollback",
            value=statistics.median(spans),
            unit="ms",
            goal=None,
            reference=f"{size:,} weights and their moments, before the next batch",
        ),
        Figure(
            name="governor/tensors_not_restored",
            value=differing,
            unit=f"of {ROUNDS * 2 * LAYERS}",
            goal=0,
            reference="compared bit for bit",
        ),
    ]


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return torch.equal(one, other)
