"""Random networks, decisions and plans, of which some break a rule of safety."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from esper.contracts.decision import SLOT_CHANGES, Adaptation, Decision, DecisionKind
from esper.contracts.metrics import EpochMetrics
from esper.contracts.observation import Observation
from esper.contracts.plan import Action, KernelCost, Plan, SeedChange
from esper.contracts.slot import Placement, SeedState, SlotKind, SlotSpec, SlotState
from esper.contracts.stage import LIVE, SeedStage
from esper.options import OPTIONS
from esper.safety.context import Usage
from esper.strategy.ledger import Ledger

EPOCH = 10
CATALOGUE = ("affine", "mlp", "lora", "gated_mlp", "norm")
_GOOD_SHARES = [0.0, 0.5, 0.8, 0.9, 1.0]
_BAD_SHARES = [math.nan, math.inf, -0.1, 1.1, None, "high", True]
_ORCHESTRATORS = [option() for option in OPTIONS["orchestrator"].values()]
_KNOWLEDGE = Ledger()

Kernels = dict[str, dict[tuple[int, str], KernelCost]]
"""Costs of kernels by slot, then by seed and blueprint."""


@dataclass(frozen=True, slots=True)
class World:
    """A network as safety sees it, and the costs of its kernels."""

    seen: Observation
    usage: Usage
    kernels: Kernels


def mostly(rng: Random, good: Sequence[Any], bad: Sequence[Any], odds: float = 0.03) -> Any:
    """Return one of `good`, or with probability `odds` one of `bad`."""
    return rng.choice(bad if rng.random() < odds else good)


def random_world(rng: Random) -> World:
    """Return a network in the middle of a run."""
    names = ["", "stem", "block.0", "block.1"][: rng.randint(1, 4)]
    kernels: Kernels = {name: _random_kernels(rng) for name in names}
    slots = tuple(_random_slot(rng, name, kernels[name]) for name in names)
    loss = mostly(rng, [0.5], [math.nan, math.inf], 0.1)
    seen = Observation(
        metrics=EpochMetrics(epoch=EPOCH, global_step=100, val_loss=loss),
        epochs=40,
        may_grow=rng.random() < 0.8,
        plateau_epochs=0,
        loss_delta=None,
        accuracy_delta=None,
        best_val_accuracy=None,
        best_val_loss=None,
        train_losses=(),
        val_losses=(),
        val_accuracies=(),
        slots=slots,
        is_suspect=rng.random() < 0.1,
    )
    return World(seen, _random_usage(rng), kernels)


def _random_usage(rng: Random) -> Usage:
    return Usage(
        parameters=mostly(rng, [500, 800], [970, 999, 1000, 5000], 0.2),
        memory_mb=mostly(rng, [20.0, 40.0], [None, math.nan, 49.0, 50.0, 80.0], 0.15),
        changed_seeds=rng.choice([0, 0, 0, 1, 3]),
        affordable_flops=mostly(rng, [math.inf, 1e6], [150.0, 50.0, 0.0, -1.0], 0.1),
        events_left=rng.choice([None, None, 0, 1, 2, 9]),
        blends_in_time=rng.random() < 0.9,
        blends_in_room=rng.random() < 0.9,
    )


def _cost(rng: Random, parameters: list[int], memories: list[float]) -> KernelCost:
    return KernelCost(
        parameters=rng.choice(parameters),
        memory_mb=rng.choice(memories),
        flops=rng.choice([0.0, 50.0, 100.0]),
    )


def _random_kernels(rng: Random) -> dict[tuple[int, str], KernelCost]:
    """Return the costs of the kernels of four seeds; a few are missing, as if not measured."""
    return {
        (seed, name): _cost(rng, [0, 10, 30, 100, 250], [0.0, 1.0, 5.0, 20.0])
        for seed in range(4)
        for name in CATALOGUE
        if rng.random() < 0.95
    }


def _random_slot(rng: Random, name: str, costs: dict[tuple[int, str], KernelCost]) -> SlotState:
    spec = SlotSpec(
        name=name,
        kind=SlotKind.DENSE,
        placement=Placement.PARALLEL,
        in_shape=(8,),
        out_shape=(8,),
        catalogue=CATALOGUE,
    )
    seeds = tuple(_random_seed(rng, name, index, costs) for index in range(rng.randint(1, 4)))
    return SlotState(spec=spec, seeds=seeds, rests_until=mostly(rng, [0, 9, 10], [11, 15], 0.2))


def _random_seed(
    rng: Random, slot: str, index: int, costs: dict[tuple[int, str], KernelCost]
) -> SeedState:
    stage = rng.choice([SeedStage.DORMANT, SeedStage.PROBATIONARY, *SeedStage])
    bound = rng.choice(CATALOGUE)
    known = costs.get((index, bound))
    held = 30 if known is None else known.parameters
    has_kernel = stage in LIVE or stage is SeedStage.FOSSILIZED
    return SeedState(
        slot=slot,
        seed=index,
        stage=stage,
        bound=bound,
        parameters=held if has_kernel else 0,
        gain=mostly(rng, [0.1, 0.0, -0.1], [None, math.nan], 0.2),
        ablation=mostly(rng, [0.1, 0.0, None], [-0.1, math.nan], 0.2),
        gradient_norm=mostly(rng, [1.0, None], [math.nan, math.inf], 0.1),
        error_rate=mostly(rng, [0.0, 0.1, None], [0.15, 1.0], 0.1) if has_kernel else None,
    )


def random_epoch(rng: Random, seen: Observation) -> list[Decision]:
    """Return the decisions of an epoch; in some epochs, a sound one to grow for each slot."""
    if rng.random() < 0.7:
        return [_random_decision(rng, seen) for _ in range(rng.randint(1, 8))]
    word = rng.choice(list(SLOT_CHANGES))
    return [
        Decision(kind=DecisionKind.ADAPT, reason="because", slot=slot.spec.name, adaptation=word)
        for slot in seen.slots
    ]


def _random_decision(rng: Random, seen: Observation) -> Decision:
    kind = mostly(rng, [*DecisionKind, DecisionKind.ADAPT], ["prune", "cull", None])
    is_adaptation = kind is DecisionKind.ADAPT
    slot = rng.choice(seen.slots)
    words = (_fitting_words(slot) or list(SLOT_CHANGES)) if is_adaptation else [None]
    word = mostly(rng, words, [None, "add_neurons", "grow", *Adaptation])
    seed = _fitting(rng, slot, kind)
    if word is Adaptation.REPLACE and slot.live and rng.random() < 0.5:
        seed = rng.choice(slot.live).seed
    everything = [CATALOGUE, CATALOGUE, None, ["mlp"], (1,)]
    return Decision(
        kind=kind,
        reason=mostly(rng, ["because"], ["", "  ", None]),
        slot=mostly(rng, [slot.spec.name], [None, "block.9", 0]),
        seed=mostly(rng, [seed], [None, 0, -1, 9, True, 1.0, "0"]),
        adaptation=word,
        num_seeds=mostly(rng, [None, 1], [0, -1, 99, 1.5, True, 2]),
        confidence=mostly(rng, _GOOD_SHARES, _BAD_SHARES),
        urgency=mostly(rng, _GOOD_SHARES, _BAD_SHARES),
        risk=mostly(rng, [0.0, 0.5, 0.9], [0.95, 0.95, *_BAD_SHARES]),
        uncertainty=mostly(rng, [None, 0.0, 0.5, 0.9], [0.95, math.nan, -1.0, 2.0, "low"]),
        learned=rng.random() < 0.2,
        barred=mostly(rng, [(), ("mlp",), CATALOGUE[1:]], everything),
    )


def _fitting(rng: Random, slot: SlotState, kind: Any) -> int | None:
    """Return a seed for a verdict, mostly one in a stage that allows it; None for an adaptation."""
    if kind is DecisionKind.ADAPT:
        return None
    ripe = [seed.seed for seed in slot.seeds if seed.stage is SeedStage.PROBATIONARY]
    seed: int = mostly(rng, ripe or [0], [seed.seed for seed in slot.seeds], 0.3)
    return seed


def _fitting_words(slot: SlotState) -> list[Adaptation]:
    """Return the adaptations that the slot's seeds allow."""
    has_dormant = any(seed.stage is SeedStage.DORMANT for seed in slot.seeds)
    adding = [Adaptation.ADD_NEURONS, Adaptation.ADD_LAYER] if has_dormant else []
    return adding + ([Adaptation.REMOVE_NEURONS, Adaptation.REPLACE] if slot.live else [])


def turned(rng: Random, world: World) -> World:
    """Return the network at the time of planning; sometimes its usage has changed."""
    return world if rng.random() < 0.75 else replace(world, usage=_random_usage(rng))


def random_plan(rng: Random, decision: Decision, now: Observation) -> Plan:
    """Return a plan for a sound decision: a shipped orchestrator's, or one that may be unsound."""
    assert decision.slot is not None, "a sound decision"
    slot = now.slot(decision.slot)
    if rng.random() < 0.3:
        shipped: Plan = rng.choice(_ORCHESTRATORS).plan(decision, now, _KNOWLEDGE)
        return replace(shipped, changes=tuple(_named(rng, shipped.changes, slot)))
    if decision.seed is not None and decision.kind is DecisionKind.ADAPT:
        changes = _replacement(rng, decision.seed, slot)
    elif decision.kind is DecisionKind.ADAPT:
        changes = [change for _ in range(rng.randint(0, 3)) for change in _random_change(rng, slot)]
    else:
        changes = [SeedChange(action=Action(decision.kind), seed=decision.seed)]
        changes += _random_change(rng, slot) if rng.random() < 0.1 else []
    return Plan(
        slot=mostly(rng, [slot.spec.name], ["block.9", None, now.slots[0].spec.name]),
        kind="fuzz",
        changes=tuple(changes),
        reasoning="because",
        risk=mostly(rng, [0.0, 0.5, 0.9], [0.95, 1.0]),
    )


def _replacement(rng: Random, seed: int, slot: SlotState) -> list[SeedChange]:
    """Return the changes that replace a seed, and sometimes another change of the slot."""
    name = mostly(rng, [each.bound for each in slot.seeds], [None, "conv"])
    changes = [
        SeedChange(action=Action.CULL, seed=seed, rests=False),
        SeedChange(action=Action.GERMINATE, seed=seed, blueprint=name),
    ]
    return changes + (_random_change(rng, slot) if rng.random() < 0.1 else [])


def _named(rng: Random, changes: Sequence[SeedChange], slot: SlotState) -> list[SeedChange]:
    """Fill in the seeds and blueprints of germinations as a strategy would, in random order."""
    dormant = [seed for seed in slot.seeds if seed.stage is SeedStage.DORMANT]
    rng.shuffle(dormant)
    return [_filled(rng, change, dormant) for change in changes]


def _filled(rng: Random, change: SeedChange, dormant: list[SeedState]) -> SeedChange:
    if change.offered:
        return replace(change, blueprint=rng.choice(change.offered))
    if change.action is not Action.GERMINATE or change.seed is not None:
        return change
    seed = dormant.pop()
    return replace(change, seed=seed.seed, blueprint=seed.bound)


def _random_change(rng: Random, slot: SlotState) -> list[SeedChange]:
    """Return a random change of a seed, mostly one that its stage allows."""
    seed = rng.choice(slot.seeds)
    index = mostly(rng, [seed.seed], [None, -1, 9, False, 0.0])
    rest = mostly(rng, [Action.RETARGET, Action.CULL], ["cull", "prune", None, Action.FOSSILIZE])
    likely = Action.GERMINATE if seed.stage is SeedStage.DORMANT else rest
    action = mostly(rng, [likely], list(Action), 0.1)
    change = SeedChange(
        action=action,
        seed=index,
        blueprint=mostly(rng, CATALOGUE, [None, "conv", "", 3]),
        alpha_target=mostly(rng, [0.25, 1.0, 1], [0.0, -0.5, 1.01, math.nan, None, "1", True]),
        rests=rng.random() < 0.5,
    )
    if action is not Action.CULL or rng.random() < 0.3:
        return [change]
    return [change, replace(change, action=Action.GERMINATE)]
