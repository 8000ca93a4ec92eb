"""The planner's decisions: their time, and whether any is invalid whatever it observes.

Random observations hold slots in any stage, and signals that are missing, not finite or absurdly
large.  Each decision goes through safety, and through its independent oracle, like those of
`experiments.benchmarks.safety`.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from itertools import pairwise
from random import Random
from time import perf_counter
from typing import Any

import numpy as np

from esper.contracts.data_flow import DataFlow, Edge
from esper.contracts.health import Birth, BlockHealth
from esper.contracts.metrics import EpochMetrics
from esper.contracts.observation import Observation
from esper.contracts.slot import Look, Placement, SeedState, SlotKind, SlotSpec, SlotState
from esper.contracts.stage import SeedStage
from esper.learning.gain_model import GainModel
from esper.policy.base import Policy
from esper.policy.planner import Planner, PlannerPolicy
from esper.signals.gain_features import FEATURES
from experiments.benchmarks.figure import Figure
from experiments.benchmarks.safety import Tally, live_through
from experiments.benchmarks.safety_worlds import CATALOGUE, World, random_world

NUM_OBSERVATIONS = 100_000
LARGEST_MS = {12: 10.0, 200: 50.0}
"""Most milliseconds of a decision by the number of slots."""
ROUNDS = 50
PRICES, CAUTIONS = (0.0, 0.05, 0.4), (0.0, 2.0)
FORM = frozenset({"known_kind", "reason", "numbers", "barred", "known_adaptation", "slot_exists"})
"""Rules that only an invalid decision breaks."""


def some_model(rng: Random) -> GainModel:
    """Return a model of random weights, so that it finds something to grow."""
    draw = np.random.default_rng(rng.randrange(2**32))
    members, size = 20, len(FEATURES)
    return GainModel(
        names=FEATURES,
        centre=draw.normal(size=size),
        spread=np.exp(draw.normal(size=size)),
        weights=draw.normal(0, 0.02, (members, size)),
        biases=draw.normal(0, 0.05, members),
        error=0.1,
        doubts=np.sort(draw.uniform(0, 20, 100)),
    )


def planned() -> list[Figure]:
    """Return the time of a decision, and the number of invalid ones."""
    policy = PlannerPolicy(Planner(), some_model(Random(0)))
    times = decision_times("planner", policy, "20 members")
    return times + wrong_decisions("planner", fuzz(Random(0), NUM_OBSERVATIONS, some_planner))


def some_planner(rng: Random) -> PlannerPolicy:
    """Return a planner with random options and a random model."""
    options = Planner(price=rng.choice(PRICES), caution=rng.choice(CAUTIONS))
    return PlannerPolicy(options, some_model(rng))


def decision_times(name: str, policy: Policy, what: str) -> list[Figure]:
    """Return the time of a policy's decision for each number of slots."""
    return [
        Figure(
            name=f"{name}/decision_{slots}_slots",
            value=decision_ms(policy, slots),
            unit="ms",
            goal=goal,
            reference=f"median of {ROUNDS}, 4 blueprints a slot, {what}",
        )
        for slots, goal in LARGEST_MS.items()
    ]


def wrong_decisions(name: str, tally: Tally) -> list[Figure]:
    """Return the numbers of invalid decisions, and of those executed against a rule."""
    total = (
        f"{NUM_OBSERVATIONS:,} observations, {tally.decisions:,} decisions, {tally.executed:,} "
        "executed"
    )
    wrong = {
        f"{name}/invalid_decisions": sum(tally.counts[f"decision/{rule}"] for rule in FORM),
        f"{name}/executed_against_a_rule": tally.wrongly_executed,
    }
    return [
        Figure(name=each, value=number, unit="of all", goal=0, reference=total)
        for each, number in wrong.items()
    ]


def fuzz(rng: Random, num_observations: int, draw: Callable[[Random], Policy]) -> Tally:
    """Return counts of decisions on random observations; `draw` returns a random policy."""
    tally = Tally()
    worlds = [random_world(rng) for _ in range(max(1, num_observations // 20))]
    policy = draw(rng)
    for number in range(num_observations):
        if number % 20 == 0:
            policy = draw(rng)
        world = observed(rng, rng.choice(worlds))
        live_through(policy.decide(world.seen), world, rng, tally)
    return tally


def observed(rng: Random, world: World) -> World:
    """Return the world as a probe with any result would show it."""
    idle = (_idle(slot) if rng.random() < 0.5 else slot for slot in world.seen.slots)
    slots = tuple(_measured(rng, slot) for slot in idle)
    names = [slot.spec.name for slot in slots]
    flow = DataFlow(
        positions=dict.fromkeys(names, 0.5),
        outputs=(),
        unavoidable=tuple(names[: rng.randint(0, len(names))]),
        edges=(),
    )
    metrics = replace(world.seen.metrics, train_loss=_any(rng))
    left = rng.choice([None, None, 0, 1, 9])
    seen = replace(world.seen, slots=slots, data_flow=flow, metrics=metrics, events_left=left)
    return replace(world, seen=seen)


def _idle(slot: SlotState) -> SlotState:
    """Return a slot in which nothing has grown yet."""
    seeds = (
        SeedState(slot=seed.slot, seed=seed.seed, stage=SeedStage.DORMANT, bound=seed.bound)
        for seed in slot.seeds
    )
    return replace(slot, seeds=tuple(seeds), rests_until=0)


def _measured(rng: Random, slot: SlotState) -> SlotState:
    seeds = tuple(_looked_at(rng, seed) for seed in slot.seeds)
    if rng.random() < 0.1:
        return replace(slot, seeds=seeds)
    known = {"epoch", "log_parameters", "position"}
    signals = {each.name: _any(rng) for each in fields(BlockHealth) if each.name not in known}
    health = BlockHealth(
        epoch=1, log_parameters=rng.uniform(0, 20), position=rng.random(), **signals
    )
    births = tuple(
        Birth(blueprint=seed.bound, first_order=_any(rng), added_flops=rng.choice([0.0, 0.1, 50.0]))
        for seed in seeds
        if seed.stage is SeedStage.DORMANT and rng.random() < 0.9
    )
    return replace(slot, seeds=seeds, health=health, births=births)


def _looked_at(rng: Random, seed: SeedState) -> SeedState:
    """Return a seed that may have had a look this epoch, with any result."""
    if seed.stage is not SeedStage.PROBATIONARY or rng.random() < 0.5:
        return seed
    look = Look(
        epoch=1, age=rng.choice([4, 6, 9]), is_last=rng.random() < 0.3, bar=0.01, shown=0.25
    )
    return replace(seed, look=look, gain=_any(rng), gain_error=_any(rng, least=0.0))


def _any(rng: Random, least: float = -math.inf) -> float | None:
    """Return a number, usual or not, or None."""
    usual = [rng.gauss(0, 1), rng.gauss(0, 0.1)]
    odd: list[Any] = [None, 0.0, math.nan, math.inf, -math.inf, 1e30, -1e30]
    value: float | None = rng.choice(usual if rng.random() < 0.7 else odd)
    return abs(value) if value is not None and value < least else value


def decision_ms(policy: Policy, num_slots: int) -> float:
    """Return the median time of a decision in a network of so many slots."""
    seen = wide_observation(num_slots)
    spans = []
    for _ in range(ROUNDS):
        began = perf_counter()
        policy.decide(seen)
        spans.append((perf_counter() - began) * 1e3)
    return statistics.median(spans)


def wide_observation(num_slots: int) -> Observation:
    """Return an observation of slots that all can grow, with four kernels on offer in each."""
    names = [f"block{place}" for place in range(num_slots)]
    flow = DataFlow(
        positions=dict(zip(names, np.linspace(0, 1, num_slots).tolist(), strict=True)),
        outputs=tuple(names[-1:]),
        unavoidable=tuple(names),
        edges=tuple(
            Edge(source=one, target=two, weights=2, operations=3, share=1.0)
            for one, two in pairwise(names)
        ),
    )
    return Observation(
        metrics=EpochMetrics(epoch=3, global_step=30, val_loss=1.0, train_loss=0.9),
        epochs=40,
        may_grow=True,
        plateau_epochs=0,
        loss_delta=None,
        accuracy_delta=None,
        best_val_accuracy=None,
        best_val_loss=1.0,
        train_losses=(1.2, 0.9),
        val_losses=(1.3, 1.0),
        val_accuracies=(None, None),
        slots=tuple(_wide_slot(name, CATALOGUE[:4]) for name in names),
        data_flow=flow,
    )


def _wide_slot(name: str, catalogue: Sequence[str]) -> SlotState:
    spec = SlotSpec(
        name=name,
        kind=SlotKind.DENSE,
        placement=Placement.PARALLEL,
        in_shape=(16,),
        out_shape=(16,),
        catalogue=tuple(catalogue),
    )
    signals = {each.name: 0.5 for each in fields(BlockHealth) if each.name != "epoch"}
    return SlotState(
        spec=spec,
        seeds=tuple(
            SeedState(slot=name, seed=index, stage=SeedStage.DORMANT, bound=bound)
            for index, bound in enumerate(catalogue)
        ),
        health=BlockHealth(epoch=3, **signals),
        births=tuple(Birth(blueprint=b, first_order=1.0, added_flops=0.1) for b in catalogue),
    )
