"""Measure what germinations bring: runs that differ by one kernel, kept for good.

A task's base run may have a few kernels of its own, at random; each branch repeats it with one
kernel more.  Everything is drawn from the task's index and the seed, so that a task gives the same
branches in every process.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from esper.blueprint.catalogue import STANDARD
from esper.contracts.observation import Observation
from esper.contracts.slot import Placement
from esper.policy.rules.growth import GrowthRules, growable_slots, last_epoch
from esper.policy.rules.order import offers
from esper.run.episodes.episode import Episode, EpisodeResult, slot_names
from esper.run.episodes.scripted import Event, Scripted
from esper.run.episodes.task import EpisodeTask
from esper.safety.options import Safety
from esper.signals.options import Signals

NUM_SEEDS = 4
"""Seeds of a slot, and so the blueprints that it offers."""
BRANCHES = 6
"""Fewest branches of a task, where its slots can grow and offer as many kernels."""
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


class BranchPlan:
    """What a task's base run and its branches do; everything is drawn in a fixed order.

    start: epoch after which the branches begin.
    prefix: the base run's events, all of them before.
    """

    def __init__(self, task: EpisodeTask, rng_seed: int) -> None:
        self.task, self.rng_seed = task, rng_seed
        self._rng = np.random.default_rng([13, task.index, rng_seed])
        last = min(LAST_START, last_epoch(GrowthRules(), task.epochs))
        epochs = np.arange(1, last + 1)
        self.start = int(self._rng.choice(epochs, p=(1 / epochs) / (1 / epochs).sum()))
        self.prefix = _prefix(self._rng, task, self.start)

    def events(self, observation: Observation) -> list[Event]:
        """Return the event of each branch, from the base run's observation; call it once."""
        slots, _ = growable_slots(observation, GrowthRules(), [])
        names = [slot.spec.name for slot in slots]
        if (number := BRANCHES // self.task.num_slots) <= 1:
            chosen = [str(self._rng.choice(offers(slot))) for slot in slots]
            return [Event(self.start, *each) for each in zip(names, chosen, strict=True)]
        return [
            Event(self.start, slot.spec.name, str(blueprint))
            for slot in slots
            for blueprint in self._rng.permutation(offers(slot))[:number]
        ]

    @property
    def base(self) -> dict[str, Any]:
        """The options of the base run's episode, which observes the health of the slots."""
        return self._options(Scripted(events=self.prefix, probes=True))

    def branch(self, event: Event) -> dict[str, Any]:
        """Return the options of a branch's episode."""
        return self._options(Scripted(events=(*self.prefix, event)))

    def _options(self, policy: Scripted) -> dict[str, Any]:
        safety, signals = Safety(max_cost=100.0), Signals(probe_every=1)
        return {"policy": policy, "safety": safety, "signals": signals}

    def result(
        self,
        observation: Observation,
        ended: EpisodeResult,
        branches: Sequence[tuple[Event, EpisodeResult]],
    ) -> Branches:
        """Return the branches, from the ends of the base run and of each branch.

        A branch whose germination was refused is left out.
        """
        return Branches(
            task=self.task,
            rng_seed=self.rng_seed,
            prefix=self.prefix,
            loss=ended.loss,
            observation=observation,
            branches=tuple(
                Branch(
                    event=event,
                    gain=math.log(ended.loss / each.loss),
                    added_flops=each.flops / ended.flops - 1,
                )
                for event, each in branches
                if each.events != ended.events
            ),
        )


def measure_branches(task: EpisodeTask, rng_seed: int) -> Branches:
    """Run a task's base run and a branch for each slot that can grow; the blueprints are random.

    A host with few slots has branches with several blueprints in each.

    A germination that safety refuses, as in a slot that keeps a kernel in that epoch, is no branch.
    """
    plan = BranchPlan(task, rng_seed)
    base = Episode(task, rng_seed, **plan.base)
    while base.grower.epoch < plan.start:
        report = base.step()
    events = plan.events(report.observation)
    ended = base.finish()
    branches = [Episode(task, rng_seed, **plan.branch(event)).finish() for event in events]
    return plan.result(report.observation, ended, list(zip(events, branches, strict=True)))


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
