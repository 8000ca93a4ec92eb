"""Random decisions against an oracle that was written from the specification, not from the rules.

The oracle looks at what may be carried out, decision by decision; safety must accept exactly that.
"""

import math
from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from esper.contracts.decision import Adaptation, Decision, DecisionKind
from esper.contracts.observation import Observation
from esper.contracts.slot import SlotState
from esper.contracts.stage import SeedStage
from esper.policy.safety import RULES, Safety, Usage
from tests.unit.policy.builders import CATALOGUE, make_observation, make_seed, make_slot

SAFETY = Safety(parameter_budget=1000, memory_budget_mb=50.0)
NUM_DECISIONS = 100_000
NUM_WORLDS = 300

GOOD_SHARES = [0.0, 0.5, 0.8, 0.9, 1.0]
BAD_SHARES = [math.nan, math.inf, -0.1, 1.1, None, "high", True]
LIVE = {"GERMINATED", "TRAINING", "BLENDING", "SHADOWING", "PROBATIONARY"}


def mostly(rng: Random, good: list[Any], bad: list[Any], odds: float = 0.03) -> Any:
    return rng.choice(bad if rng.random() < odds else good)


def random_slot(rng: Random, name: str) -> SlotState:
    seeds = tuple(
        make_seed(
            rng.choice(["DORMANT", "PROBATIONARY", *SeedStage]),  # type: ignore[list-item]
            gain=mostly(rng, [0.1, 0.0, -0.1], [None, math.nan], 0.2),
            ablation=mostly(rng, [0.1, 0.0, None], [-0.1, math.nan], 0.2),
            gradient_norm=mostly(rng, [1.0, None], [math.nan, math.inf], 0.1),
        )
        for _ in range(rng.randint(1, 4))
    )
    seeds = tuple(replace(seed, stage=SeedStage(seed.stage)) for seed in seeds)
    return make_slot(name, seeds=seeds, rests_until=mostly(rng, [0, 9, 10], [11, 15], 0.2))


def random_world(rng: Random) -> tuple[Observation, Usage]:
    names = ["", "stem", "block.0", "block.1"][: rng.randint(1, 4)]
    observation = make_observation(
        epoch=10,
        slots=tuple(random_slot(rng, name) for name in names),
        may_grow=rng.random() < 0.8,
    )
    loss = mostly(rng, [0.5], [math.nan, math.inf], 0.1)
    observation = replace(observation, metrics=replace(observation.metrics, val_loss=loss))
    usage = Usage(
        parameters=mostly(rng, [10, 800], [999, 1000, 5000], 0.2),
        memory_mb=mostly(rng, [1.0, 40.0, 49.0], [None, math.nan, 50.0, 80.0], 0.15),
        kernel_parameters=rng.choice([0, 0, 1, 100]),
        kernel_memory_mb=rng.choice([0.0, 0.0, 1.0, 5.0]),
    )
    return observation, usage


def random_decision(rng: Random) -> Decision:
    kind = mostly(rng, [*DecisionKind, DecisionKind.ADAPT], ["prune", "cull", None])
    is_adaptation = kind is DecisionKind.ADAPT
    return Decision(
        kind=kind,
        reason=mostly(rng, ["because"], ["", "  ", None]),
        slot=mostly(rng, ["", "stem", "block.0"], [None, "block.9", 0], 0.08),
        seed=mostly(
            rng, [None] if is_adaptation else [0, 0, 1, 2], [None, 0, -1, 9, True, 1.0, "0"], 0.08
        ),
        adaptation=mostly(
            rng, list(Adaptation) if is_adaptation else [None], [None, "add_neurons", "grow"]
        ),
        num_seeds=mostly(rng, [None, 1, 2], [0, -1, 99, 1.5, True]),
        confidence=mostly(rng, GOOD_SHARES, BAD_SHARES),
        urgency=mostly(rng, GOOD_SHARES, BAD_SHARES),
        risk=mostly(rng, [0.0, 0.5, 0.9, 0.95], BAD_SHARES),
        uncertainty=mostly(rng, [None, 0.0, 0.1, 0.2, 0.3], [math.nan, -1.0, 2.0, "low"]),
        learned=rng.random() < 0.4,
        barred=mostly(
            rng, [(), ("mlp",), CATALOGUE[1:]], [CATALOGUE, CATALOGUE, None, ["mlp"], (1,)]
        ),
    )


def random_epoch(rng: Random, seen: Observation) -> list[Decision]:
    """Return the decisions of an epoch; of some, only sound wishes to grow many slots at once."""
    if rng.random() < 0.8:
        return [random_decision(rng) for _ in range(rng.randint(1, 8))]
    word = rng.choice(list(Adaptation))
    return [
        Decision(kind=DecisionKind.ADAPT, reason="because", slot=slot.spec.name, adaptation=word)
        for slot in seen.slots
    ]


def is_unit(value: Any) -> bool:
    return type(value) in (int, float) and not math.isnan(value) and not (value < 0 or value > 1)


def is_well_formed(decision: Decision) -> bool:
    texts_fit = type(decision.reason) is str and decision.reason.strip() != ""
    names_fit = type(decision.barred) is tuple and all(type(n) is str for n in decision.barred)
    numbers_fit = all(map(is_unit, (decision.confidence, decision.urgency, decision.risk)))
    count = decision.num_seeds
    count_fits = count is None or (type(count) is int and count > 0)
    doubt_fits = decision.uncertainty is None or is_unit(decision.uncertainty)
    return texts_fit and names_fit and numbers_fit and count_fits and doubt_fits


def may_judge(decision: Decision, slot: SlotState) -> bool:
    if type(decision.seed) is not int or not 0 <= decision.seed < len(slot.seeds):
        return False
    seed = slot.seeds[decision.seed]
    if decision.adaptation is not None:
        return False
    if decision.kind is DecisionKind.CULL:
        return seed.stage.value in LIVE
    measured = seed.gain is not None and math.isfinite(seed.gain)
    vetoed = seed.ablation is not None and not seed.ablation >= 0
    return seed.stage.value == "PROBATIONARY" and measured and not vetoed


def may_adapt(
    decision: Decision, slot: SlotState, seen: Observation, usage: Usage, before: list[Decision]
) -> bool:
    if type(decision.adaptation) is not Adaptation or decision.seed is not None:
        return False
    stages = {seed.stage.value for seed in slot.seeds}
    adds = decision.adaptation.value in {"add_neurons", "add_layer"}
    ready = "DORMANT" in stages if adds else bool(stages & LIVE)
    fits = decision.num_seeds is None or decision.num_seeds <= len(slot.seeds)
    healthy = math.isfinite(seen.metrics.val_loss) and all(
        seed.gradient_norm is None or math.isfinite(seed.gradient_norm)
        for seed in slot.seeds
        if seed.stage.value in LIVE
    )
    offered = any(name not in decision.barred for name in slot.spec.catalogue)
    adapted = [other for other in before if other.kind is DecisionKind.ADAPT]
    kernels = sum(
        other.num_seeds or len(next(s for s in seen.slots if s.spec.name == other.slot).seeds)
        for other in [*adapted, decision]
    )
    memory = usage.memory_mb
    affordable = (
        usage.parameters < 1000
        and usage.parameters + kernels * usage.kernel_parameters <= 1000
        and memory is not None
        and memory < 50
        and memory + kernels * usage.kernel_memory_mb <= 50
    )
    in_time = seen.may_grow and slot.rests_until <= 10
    return ready and fits and healthy and offered and affordable and in_time and len(adapted) < 2


def is_sure(decision: Decision) -> bool:
    doubt = decision.uncertainty
    unsure = decision.learned and (decision.confidence < 0.75 or doubt is None)
    return decision.risk <= 0.9 and not unsure and not (doubt is not None and doubt > 0.2)


def collides(decision: Decision, other: Decision) -> bool:
    if other.kind is DecisionKind.WAIT or other.slot != decision.slot:
        return False
    return DecisionKind.ADAPT in (decision.kind, other.kind) or other.seed == decision.seed


def is_allowed(decision: Decision, seen: Observation, usage: Usage, before: list[Decision]) -> bool:
    if type(decision.kind) is not DecisionKind or not is_well_formed(decision):
        return False
    if decision.kind is DecisionKind.WAIT:
        return True
    slot = next((s for s in seen.slots if s.spec.name == decision.slot), None)
    if slot is None or not is_sure(decision) or any(collides(decision, b) for b in before):
        return False
    if decision.kind is DecisionKind.ADAPT:
        return may_adapt(decision, slot, seen, usage, before)
    return may_judge(decision, slot)


def check(decisions: list[Decision], seen: Observation, usage: Usage) -> Counter[str]:
    """Compare safety with the oracle; return how often each rule, or each kind, had the word."""
    accepted, refusals = SAFETY.review(decisions, seen, usage)
    told: Counter[str] = Counter(refusal.rule for refusal in refusals)
    refused = {id(refusal.decision) for refusal in refusals}
    before: list[Decision] = []
    for decision in decisions:
        allowed = is_allowed(decision, seen, usage, before)
        assert allowed == (id(decision) not in refused), decision
        if allowed:
            before.append(decision)
            told[f"accepted {decision.kind.value}"] += 1
    assert accepted == before
    return told


def test_no_dangerous_decision_of_100000_is_accepted_and_no_safe_one_refused() -> None:
    rng = Random(0)
    worlds = [random_world(rng) for _ in range(NUM_WORLDS)]
    told: Counter[str] = Counter()
    num_decisions = 0
    while num_decisions < NUM_DECISIONS:
        seen, usage = rng.choice(worlds)
        decisions = random_epoch(rng, seen)
        told += check(decisions, seen, usage)
        num_decisions += len(decisions)
    # The fuzz proves nothing about a rule that never had the word, or if nothing was accepted.
    missing = [name for name in RULES if told[name] < 5]
    assert missing == []
    for kind in DecisionKind:
        assert told[f"accepted {kind.value}"] >= 100


@settings(max_examples=100)
@given(st.randoms(use_true_random=False))
def test_safety_and_the_oracle_agree_wherever_hypothesis_looks(rng: Random) -> None:
    seen, usage = random_world(rng)
    check(random_epoch(rng, seen), seen, usage)
