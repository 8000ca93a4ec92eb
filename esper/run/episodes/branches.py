"""Measure what germinations bring: runs that differ by one kernel, kept for good.

A task's base run may have a few kernels of its own, at random; each branch repeats it with one
kernel more.  Everything is drawn from the task's index and the seed, so that a task gives the same
branches in every process.
"""

import math
from dataclasses import dataclass

import numpy as np

from esper.blueprint.catalogue import STANDARD
from esper.contracts.observation import Observation
from esper.contracts.slot import Placement
from esper.policy.rules.growth import GrowthRules, growable_slots, last_epoch
from esper.policy.rules.order import offers
from esper.run.episodes.episode import Episode, slot_names
from esper.run.episodes.scripted import Event, Scripted
from esper.run.episodes.task import EpisodeTask
from esper.safety.options import Safety
from esper.signals.options import Signals

NUM_SEEDS = 4
"""Seeds of a slot, and so the blueprints that it offers."""
LAST_START = 12
"""Last epoch after which a branch begins; half of them begin after the first three."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A germination and its value.

    gain: ln(loss of the base run / loss of the branch), losses as in `episode`.
    added_flops: FLOPs of the branch's network relative to those of the base run's, less 1.
    """

    event: Event
    gain: float
    added_flops: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Branches:
    """The branches of a base run, which all begin after the same epoch.

    prefix: the base run's own events.
    loss: of the base run.
    observation: of the base run at the end of that epoch.
    """

    task: EpisodeTask
    rng_seed: int
    prefix: tuple[Event, ...]
    loss: float
    observation: Observation
    branches: tuple[Branch, ...]


def measure_branches(task: EpisodeTask, rng_seed: int) -> Branches:
    """Run a task's base run and a branch for each slot that can grow; the blueprints are random.

    A germination that safety refuses, as in a slot that keeps a kernel in that epoch, is no branch.
    """
    rng = np.random.default_rng([13, task.index, rng_seed])
    last = min(LAST_START, last_epoch(GrowthRules(), task.epochs))
    epochs = np.arange(1, last + 1)
    start = int(rng.choice(epochs, p=(1 / epochs) / (1 / epochs).sum()))
    prefix = _prefix(rng, task, start)
    base = _episode(task, rng_seed, prefix, probes=True)
    while base.grower.epoch < start:
        report = base.step()
    slots, _ = growable_slots(report.observation, GrowthRules(), [])
    events = [Event(start, slot.spec.name, str(rng.choice(offers(slot)))) for slot in slots]
    ended = base.finish()
    branches = []
    for event in events:
        branch = _episode(task, rng_seed, (*prefix, event)).finish()
        if branch.events == ended.events:
            continue
        gain, added = math.log(ended.loss / branch.loss), branch.flops / ended.flops - 1
        branches.append(Branch(event=event, gain=gain, added_flops=added))
    return Branches(
        task=task,
        rng_seed=rng_seed,
        prefix=prefix,
        loss=ended.loss,
        observation=report.observation,
        branches=tuple(branches),
    )


def _episode(
    task: EpisodeTask, rng_seed: int, events: tuple[Event, ...], *, probes: bool = False
) -> Episode:
    return Episode(
        task,
        rng_seed,
        policy=Scripted(events=events, probes=probes),
        safety=Safety(max_cost=100.0),
        signals=Signals(probe_every=1),
    )


def _prefix(rng: np.random.Generator, task: EpisodeTask, start: int) -> tuple[Event, ...]:
    """Return the base run's events: none in half of the tasks, up to 3 in the others."""
    names, blueprints = slot_names(task), STANDARD[task.kind, Placement.PARALLEL]
    most = min(3, start - 1, len(names))
    if most == 0 or rng.uniform() < 0.5:
        return ()
    number = int(rng.integers(1, most + 1))
    slots = rng.permutation(len(names))[:number]
    epochs = np.sort(rng.permutation(np.arange(1, start))[:number])
    return tuple(
        Event(int(epoch), names[slot], blueprints[int(rng.integers(NUM_SEEDS))])
        for epoch, slot in zip(epochs, slots, strict=True)
    )
