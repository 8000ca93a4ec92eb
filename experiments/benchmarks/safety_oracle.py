"""Decide which decisions and plans keep every rule, independently of the code in `esper.safety`.

It is written from the specification.  A decision is checked directly.  A plan is simulated change
by change, and the network after it is compared with the one before.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from esper.contracts.decision import Adaptation, Decision, DecisionKind
from esper.contracts.observation import Observation
from esper.contracts.plan import Action, KernelCost, Plan, SeedChange
from esper.contracts.slot import SeedState, SlotState
from esper.contracts.stage import SeedStage
from esper.safety.options import Safety
from experiments.benchmarks.safety_worlds import EPOCH, World

LIMITS = Safety(
    parameter_budget=1000, memory_budget_mb=50.0, max_live_seeds=6, max_changes_per_epoch=4
)
LIVE = {"GERMINATED", "TRAINING", "BLENDING", "SHADOWING", "PROBATIONARY"}
STEPS = {
    ("germinate", "DORMANT"): SeedStage.TRAINING,
    ("retarget", "SHADOWING"): SeedStage.BLENDING,
    ("retarget", "PROBATIONARY"): SeedStage.BLENDING,
    ("fossilize", "PROBATIONARY"): SeedStage.FOSSILIZED,
    **{("cull", stage): SeedStage.EMBARGOED for stage in LIVE},
}
"""Stage of a seed after each action that its stage allows."""


def is_allowed(decision: Decision, seen: Observation, before: list[Decision]) -> bool:
    """Return whether a decision is allowed after those accepted `before` in its epoch."""
    if type(decision.kind) is not DecisionKind or not _is_well_formed(decision):
        return False
    if decision.kind is DecisionKind.WAIT:
        return True
    slot = next((s for s in seen.slots if s.spec.name == decision.slot), None)
    if slot is None or not _is_sure(decision) or any(_collides(decision, b) for b in before):
        return False
    if decision.kind is not DecisionKind.ADAPT:
        return _may_judge(decision, slot, seen)
    return _may_adapt(decision, slot, seen, before)


def _is_unit(value: Any) -> bool:
    return type(value) in (int, float) and not math.isnan(value) and not (value < 0 or value > 1)


def _is_well_formed(decision: Decision) -> bool:
    texts_fit = type(decision.reason) is str and decision.reason.strip() != ""
    names_fit = type(decision.barred) is tuple and all(type(n) is str for n in decision.barred)
    numbers_fit = all(map(_is_unit, (decision.confidence, decision.urgency, decision.risk)))
    count = decision.num_seeds
    count_fits = count is None or (type(count) is int and count > 0)
    doubt_fits = decision.uncertainty is None or _is_unit(decision.uncertainty)
    return texts_fit and names_fit and numbers_fit and count_fits and doubt_fits


def _is_sure(decision: Decision) -> bool:
    doubt = decision.uncertainty
    unsure = decision.learned and doubt is None
    if decision.kind is DecisionKind.FOSSILIZE:
        unsure = unsure or decision.confidence < 0.75
    return decision.risk <= 0.9 and not unsure and not (doubt is not None and doubt > 0.9)


def _collides(decision: Decision, other: Decision) -> bool:
    if other.kind is DecisionKind.WAIT or other.slot != decision.slot:
        return False
    adapting = [each for each in (other, decision) if each.kind is DecisionKind.ADAPT]
    if not adapting:
        return other.seed == decision.seed
    # A removal takes what earlier verdicts leave, a replacement takes the seed that it names.
    if adapting == [decision] and decision.adaptation is Adaptation.REMOVE_NEURONS:
        return False
    return len(adapting) == 2 or adapting[0].seed is None or other.seed == decision.seed


def _may_judge(decision: Decision, slot: SlotState, seen: Observation) -> bool:
    if type(decision.seed) is not int or not 0 <= decision.seed < len(slot.seeds):
        return False
    seed = slot.seeds[decision.seed]
    if decision.adaptation is not None:
        return False
    if decision.kind is DecisionKind.CULL:
        return True
    measured = seed.gain is not None and math.isfinite(seed.gain)
    return measured and not seen.is_suspect


def _may_adapt(
    decision: Decision, slot: SlotState, seen: Observation, before: list[Decision]
) -> bool:
    if type(decision.adaptation) is not Adaptation or decision.adaptation is Adaptation.WIDEN:
        return False  # the whole host is widened, never a slot
    named = decision.seed is not None
    if named and not _is_live_seed(decision, slot):
        return False
    stages = {seed.stage.value for seed in slot.seeds}
    adds = decision.adaptation.value in {"add_neurons", "add_layer"}
    ready = "DORMANT" in stages if adds else bool(stages & LIVE)
    fits = decision.num_seeds is None or decision.num_seeds <= len(slot.seeds)
    failing = any((seed.error_rate or 0.0) > 0.14 for seed in slot.seeds)
    healthy = (
        not (adds and failing)
        and math.isfinite(seen.metrics.val_loss)
        and all(
            seed.gradient_norm is None or math.isfinite(seed.gradient_norm)
            for seed in slot.seeds
            if seed.stage.value in LIVE
        )
    )
    few = sum(other.kind is DecisionKind.ADAPT for other in before) < 2
    in_time = seen.may_grow and not seen.is_suspect and (named or slot.rests_until <= EPOCH)
    return ready and fits and healthy and few and in_time


def _is_live_seed(decision: Decision, slot: SlotState) -> bool:
    """Return whether a replacement names a live seed; no other adaptation may name one."""
    if decision.adaptation is not Adaptation.REPLACE or type(decision.seed) is not int:
        return False
    live = [seed.seed for seed in slot.seeds if seed.stage.value in LIVE]
    return decision.seed in live


def carried_out(plan: Plan, decision: Decision, world: World) -> World | None:
    """Return the network after a plan, None if the plan breaks a rule."""
    slot = next((s for s in world.seen.slots if s.spec.name == plan.slot), None)
    if slot is None or plan.slot != decision.slot or not _is_asked_for(plan, decision):
        return None
    actions = {change.action for change in plan.changes}
    blends = world.usage.blends_in_time and world.usage.blends_in_room
    too_risky = Action.GERMINATE in actions and plan.risk > 0.9
    if too_risky or (Action.RETARGET in actions and not blends):
        return None
    seeds: dict[int, SeedState] = {seed.seed: seed for seed in slot.seeds}
    freed: set[int] = set()
    changed: list[int] = []
    for change in plan.changes:
        if type(change.seed) is not int or change.seed not in seeds:
            return None
        if change.seed in changed and change.seed not in freed:
            return None
        stepped = _stepped(seeds[change.seed], change, decision, slot)
        if stepped is None:
            return None
        seeds[change.seed] = stepped
        replaces = change.action is Action.CULL and not change.rests and change.seed not in changed
        freed = freed | {change.seed} if replaces else freed - {change.seed}
        changed.append(change.seed)
    after = replace(slot, seeds=tuple(seeds.values()))
    return _weighed(world, slot, after, plan)


def _is_asked_for(plan: Plan, decision: Decision) -> bool:
    changes = [(change.action, change.seed) for change in plan.changes]
    if any(type(action) is not Action for action, _ in changes):
        return False
    if decision.kind is DecisionKind.ADAPT:
        steps = {(Action.CULL, decision.seed), (Action.GERMINATE, decision.seed)}
        others = decision.seed is not None and not steps.issuperset(changes)
        return not others and Action.FOSSILIZE not in [action for action, _ in changes]
    verdict = (Action(decision.kind.value), decision.seed)
    return all(each == verdict for each in changes)


def _stepped(
    seed: SeedState, change: SeedChange, decision: Decision, slot: SlotState
) -> SeedState | None:
    """Return the seed after a change, None if the change is impossible or breaks a rule."""
    stage = STEPS.get((change.action.value, seed.stage.value))
    if stage is None or not _is_sound(change, decision, slot):
        return None
    if change.action is Action.CULL:
        return replace(seed, stage=stage if change.rests else SeedStage.DORMANT, parameters=0)
    if change.action is Action.GERMINATE:
        return replace(seed, stage=stage, bound=str(change.blueprint))
    return replace(seed, stage=stage)


def _is_sound(change: SeedChange, decision: Decision, slot: SlotState) -> bool:
    if change.action in (Action.CULL, Action.FOSSILIZE):
        return True
    if not _is_unit(change.alpha_target) or change.alpha_target == 0:
        return False
    name = change.blueprint
    offered = name in slot.spec.catalogue and name not in decision.barred
    return offered or change.action is Action.RETARGET


def _weighed(world: World, before: SlotState, after: SlotState, plan: Plan) -> World | None:
    """Return the network with a changed slot, None if it exceeds a limit by more than before."""
    costs = world.kernels[plan.slot]
    grown = [change.seed for change in plan.changes if change.action is Action.GERMINATE]
    culled = [change.seed for change in plan.changes if change.action is Action.CULL]
    seeds = tuple(_with_kernel(seed, costs) if seed.seed in grown else seed for seed in after.seeds)
    if grown and (None in seeds or not world.seen.may_grow):
        return None
    slot = replace(after, seeds=tuple(seed for seed in seeds if seed is not None))
    slots = tuple(slot if s.spec.name == plan.slot else s for s in world.seen.slots)
    held = sum(s.parameters for s in slot.seeds) - sum(s.parameters for s in before.seeds)
    memory = world.usage.memory_mb
    if grown and (memory is None or not math.isfinite(memory)):
        return None
    come = sum(costs[seed.seed, seed.bound].memory_mb for seed in slot.seeds if seed.seed in grown)
    gone = sum(_memory(seed, costs) for seed in before.seeds if seed.seed in culled)
    flops = sum(costs[seed.seed, seed.bound].flops for seed in slot.seeds if seed.seed in grown)
    events = world.usage.events_left
    if grown and (flops > world.usage.affordable_flops or events == 0):
        return None
    usage = replace(
        world.usage,
        parameters=world.usage.parameters + held,
        memory_mb=None if memory is None else memory + come - gone,
        changed_seeds=world.usage.changed_seeds + len({change.seed for change in plan.changes}),
        affordable_flops=world.usage.affordable_flops - flops,
        events_left=events if events is None or not grown else events - 1,
    )
    changed = World(replace(world.seen, slots=slots), usage, world.kernels)
    only_culls = len(culled) == len(plan.changes)
    return changed if only_culls or _is_within(world, changed, grows=bool(grown)) else None


def _with_kernel(seed: SeedState, costs: Mapping[tuple[int, str], KernelCost]) -> SeedState | None:
    cost = costs.get((seed.seed, seed.bound))
    return None if cost is None else replace(seed, parameters=cost.parameters)


def _memory(seed: SeedState, costs: Mapping[tuple[int, str], KernelCost]) -> float:
    cost = costs.get((seed.seed, seed.bound))
    return 0.0 if cost is None else cost.memory_mb


def _is_within(before: World, after: World, *, grows: bool) -> bool:
    live = [
        sum(seed.stage.value in LIVE for slot in world.seen.slots for seed in slot.seeds)
        for world in (before, after)
    ]
    fits = live[1] <= max(6, live[0])
    if grows:
        fits = fits and after.usage.parameters <= max(1000, before.usage.parameters)
        memory = (before.usage.memory_mb or 0.0, after.usage.memory_mb or 0.0)
        fits = fits and memory[1] <= max(50, memory[0])
    return fits and after.usage.changed_seeds <= 4 and not before.seen.is_suspect
