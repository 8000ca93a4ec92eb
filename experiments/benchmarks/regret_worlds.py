"""Worlds of bandits, and their games: runs that choose arms with the product's ledger and selector.

A world draws the worth of each arm in each slot as  blueprint + slot, two normal parts, and a
reward as  worth + noise.  With `memory` < 1 the worth drifts from run to run,

    part <- memory * part + sqrt(1 - memory^2) * fresh part,

which leaves its spread as it is.  With `is_hinted` first-order scores are known, exp(worth / spread
+ normal noise).  In every run the trials go to the slots in turn, and each run starts from the
entries of all former ones.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Protocol

from esper.contracts.ledger import UNKNOWN, LedgerEntry
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.slot import Placement, SeedState, SlotKind, SlotSpec, SlotState
from esper.contracts.stage import SeedStage
from esper.strategy.base import Strategy
from esper.strategy.ledger import Ledger
from esper.strategy.selector import Selector
from esper.strategy.viability import SelectionInputs, Viability


@dataclass(frozen=True, kw_only=True)
class World:
    """A distribution of bandit problems.

    spread, slot_spread: standard deviations of a blueprint's part and of a slot's part of it.
    is_even: takes arms evenly spaced over their range, in random order, with that `spread`.
    context_spread: standard deviation of the part of a worth that grows with the run's progress.
    """

    name: str
    num_slots: int = 1
    num_arms: int = 6
    num_runs: int = 20
    trials_per_run: int = 10
    spread: float = 0.1
    slot_spread: float = 0.1
    noise: float = 0.1
    memory: float = 1.0
    is_even: bool = False
    is_hinted: bool = False
    context_spread: float = 0.0


class Player(Protocol):
    """Chooses an arm of a slot, and learns its reward."""

    def begin_run(self, number: int) -> None:
        """Start the next run."""

    def choose(self, slot: int, scores: Sequence[float] | None, progress: float) -> int:
        """Return the arm to play in a slot; `progress` is the share of the run that is over."""

    def learn(self, slot: int, arm: int, reward: float, progress: float) -> None:
        """Take the reward of the arm."""


class Problem:
    """One problem that a world draws."""

    def __init__(self, world: World, rng: Random) -> None:
        self.world, self.rng = world, rng
        self.shared = self._parts(world.spread)
        if world.is_even:
            last = world.num_arms - 1
            width = world.spread / math.sqrt((world.num_arms**2 - 1) / (12 * last**2))
            self.shared = [width * index / last for index in range(world.num_arms)]
            rng.shuffle(self.shared)
        self.own = [self._parts(world.slot_spread) for _ in range(world.num_slots)]
        self.slopes = self._parts(world.context_spread)

    def drift(self) -> None:
        """Change the worths between two runs."""
        if self.world.memory < 1:
            self.shared = self._drifted(self.shared, self.world.spread)
            self.own = [self._drifted(part, self.world.slot_spread) for part in self.own]

    def worths(self, slot: int, progress: float) -> list[float]:
        """Return the worth of each arm in a slot, when that share of the run is over."""
        parts = zip(self.shared, self.own[slot], self.slopes, strict=True)
        return [shared + own + slope * (2 * progress - 1) for shared, own, slope in parts]

    def scores(self, worths: Sequence[float]) -> list[float] | None:
        """Return first-order scores, None in a world without."""
        if not self.world.is_hinted:
            return None
        spread = math.hypot(self.world.spread, self.world.slot_spread)
        return [math.exp(worth / spread + self.rng.gauss(0.0, 1.0)) for worth in worths]

    def reward(self, worth: float) -> float:
        """Return a reward of an arm."""
        return worth + self.rng.gauss(0.0, self.world.noise)

    def _parts(self, spread: float) -> list[float]:
        return [self.rng.gauss(0.0, spread) for _ in range(self.world.num_arms)]

    def _drifted(self, parts: Sequence[float], spread: float) -> list[float]:
        memory = self.world.memory
        fresh = math.sqrt(1 - memory**2)
        return [memory * part + fresh * self.rng.gauss(0.0, spread) for part in parts]


class Product:
    """Plays with the product's `Ledger` and `Selector`."""

    def __init__(self, world: World, strategy: Strategy, rng: Random) -> None:
        self.strategy, self.rng = strategy, rng
        self.entries: list[LedgerEntry] = []
        self.states = [_state(slot, world.num_arms) for slot in range(world.num_slots)]

    def begin_run(self, number: int) -> None:
        """Start a run from the entries of all former ones."""
        self.run = f"run {number}"
        ledger = Ledger()
        ledger.warm_start(self.entries, self.run)
        viability = Viability(min_dormant_epochs=0)
        self.selector = Selector(self.strategy, viability, ledger, self.rng)

    def choose(self, slot: int, scores: Sequence[float] | None, progress: float) -> int:
        """Return the arm that the selector chooses."""
        inputs = SelectionInputs(
            state=self.states[slot],
            epoch=0,
            first_order=dict(enumerate(scores or ())),
            context=_features(progress),
        )
        plan = Plan(
            slot=f"slot{slot}",
            kind="diversify",
            changes=(SeedChange(action=Action.GERMINATE),),
            reasoning="benchmark",
        )
        _, (selection,) = self.selector.choose(plan, inputs)
        assert selection.seed is not None
        return selection.seed

    def learn(self, slot: int, arm: int, reward: float, progress: float) -> None:
        """Record the settled activation."""
        spec = self.states[slot].spec
        entry = LedgerEntry(
            run=self.run,
            event=str(len(self.entries)),
            slot=spec.name,
            seed=arm,
            slot_kind=spec.kind.value,
            placement=spec.placement.value,
            blueprint=spec.catalogue[arm],
            task_family=UNKNOWN,
            reward_model=UNKNOWN,
            epoch=0,
            reward=reward,
            context=_features(progress),
        )
        self.entries.append(entry)
        self.selector.ledger.note_activation(spec.name, arm, 0)
        self.selector.ledger.record(entry)


class Oracle:
    """Thompson sampling that knows how the world draws its worths, their drift and the noise.

    For every blueprint it has the exact joint posterior of its worth in all slots, a normal
    distribution: a Kalman filter.  It reads neither hints nor progress.
    """

    def __init__(self, world: World, rng: Random) -> None:
        self.world, self.rng, size = world, rng, world.num_slots
        shared, own = world.spread**2, world.slot_spread**2
        self.prior = [[shared + own * (i == j) for j in range(size)] for i in range(size)]
        self.level = 0.0
        if world.is_even:
            self.level = (
                world.spread / math.sqrt((world.num_arms**2 - 1) / 3) * (world.num_arms - 1)
            )
        self.means = [[self.level] * size for _ in range(world.num_arms)]
        self.covariances = [[row[:] for row in self.prior] for _ in range(world.num_arms)]

    def begin_run(self, number: int) -> None:
        """Let the posterior drift, but not before the first run."""
        keep = self.world.memory if number else 1.0
        self.means = [[keep * mean for mean in means] for means in self.means]
        self.covariances = [
            [
                [
                    keep**2 * value + (1 - keep**2) * prior
                    for value, prior in zip(*rows, strict=True)
                ]
                for rows in zip(covariance, self.prior, strict=True)
            ]
            for covariance in self.covariances
        ]

    def choose(self, slot: int, scores: Sequence[float] | None, progress: float) -> int:
        """Return the arm with the highest draw."""
        draws = [
            self.rng.gauss(means[slot], math.sqrt(max(covariance[slot][slot], 0.0)))
            for means, covariance in zip(self.means, self.covariances, strict=True)
        ]
        return draws.index(max(draws))

    def learn(self, slot: int, arm: int, reward: float, progress: float) -> None:
        """Condition the blueprint's distribution on the reward."""
        means, covariance = self.means[arm], self.covariances[arm]
        column = [row[slot] for row in covariance]
        variance = column[slot] + self.world.noise**2
        surprise = (reward - means[slot]) / variance
        self.means[arm] = [mean + each * surprise for mean, each in zip(means, column, strict=True)]
        self.covariances[arm] = [
            [value - mine * other / variance for value, other in zip(row, column, strict=True)]
            for row, mine in zip(covariance, column, strict=True)
        ]


def play(problem: Problem, player: Player) -> Iterator[tuple[float, bool]]:
    """Yield the regret of each trial, and whether it took the best arm."""
    world = problem.world
    for run in range(world.num_runs):
        if run:
            problem.drift()
        player.begin_run(run)
        for trial in range(world.trials_per_run):
            slot, progress = trial % world.num_slots, trial / world.trials_per_run
            worths = problem.worths(slot, progress)
            arm = player.choose(slot, problem.scores(worths), progress)
            player.learn(slot, arm, problem.reward(worths[arm]), progress)
            yield max(worths) - worths[arm], worths[arm] == max(worths)


def _features(progress: float) -> tuple[float, ...]:
    return (1.0, 0.5, 0.5, progress)


def _state(slot: int, num_arms: int) -> SlotState:
    names = tuple(f"blueprint{index}" for index in range(num_arms))
    spec = SlotSpec(
        name=f"slot{slot}",
        kind=SlotKind.DENSE,
        placement=Placement.PARALLEL,
        in_shape=(16,),
        out_shape=(16,),
        catalogue=names,
    )
    seed = SeedState(slot=spec.name, seed=0, stage=SeedStage.DORMANT, bound=names[0])
    seeds = [replace(seed, seed=index, bound=name) for index, name in enumerate(names)]
    return SlotState(spec=spec, seeds=tuple(seeds))
