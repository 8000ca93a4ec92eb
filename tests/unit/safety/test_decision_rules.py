"""Rules on decisions that speak of the whole network: the governor, live seeds and budgets."""

import math
from typing import Any

import pytest

from esper.contracts.decision import Adaptation, Decision, DecisionKind
from esper.contracts.observation import Observation
from esper.contracts.plan import KernelCost
from esper.contracts.slot import SlotState
from esper.contracts.stage import SeedStage
from esper.safety.review import Safety, Usage
from tests.unit.policy.builders import make_observation, make_seed, make_slot

RIPE = make_seed(SeedStage.PROBATIONARY)


def adapt(slot: str, word: Adaptation = Adaptation.ADD_NEURONS) -> Decision:
    return Decision(kind=DecisionKind.ADAPT, slot=slot, adaptation=word, reason="a test")


def judge(slot: str, kind: DecisionKind = DecisionKind.CULL, seed: int = 0) -> Decision:
    return Decision(kind=kind, slot=slot, seed=seed, reason="a test")


def seen(*slots: SlotState, **changes: Any) -> Observation:
    return make_observation(slots=slots, **changes)


def rules_of(
    decisions: list[Decision],
    observation: Observation,
    usage: Usage | None = None,
    **limits: Any,
) -> list[str]:
    """Return the rules that refused decisions, in order."""
    usage = usage or Usage(parameters=100, memory_mb=10.0)
    return [refusal.rule for refusal in Safety(**limits).review(decisions, observation, usage)[1]]


def test_a_suspect_network_may_lose_seeds_and_nothing_else() -> None:
    slots = (make_slot("a", (RIPE, RIPE)), make_slot("b"))
    wait = Decision(kind=DecisionKind.WAIT, reason="a test")
    wanted = [wait, judge("a"), judge("a", DecisionKind.FOSSILIZE, 1), adapt("b")]
    assert rules_of(wanted, seen(*slots)) == []
    assert rules_of(wanted, seen(*slots, is_suspect=True)) == ["governor", "governor"]
    ways = [adapt("a", Adaptation.REMOVE_NEURONS), adapt("a", Adaptation.REPLACE)]
    for decision in ways:
        assert rules_of([decision], seen(*slots, is_suspect=True)) == ["governor"]


def test_no_slot_is_adapted_once_the_network_has_its_live_seeds_elsewhere() -> None:
    slots = (make_slot("a", (RIPE, RIPE)), make_slot("b"))
    assert rules_of([adapt("b")], seen(*slots), max_live_seeds=3) == []
    assert rules_of([adapt("b")], seen(*slots), max_live_seeds=2) == ["max_live_seeds"]
    # What leaves before leaves a place.
    for kind in (DecisionKind.CULL, DecisionKind.FOSSILIZE):
        assert rules_of([judge("a", kind), adapt("b")], seen(*slots), max_live_seeds=2) == []
    # A refused decision takes nothing away.
    again = [judge("b", DecisionKind.FOSSILIZE), adapt("b")]
    assert rules_of(again, seen(*slots), max_live_seeds=2) == ["lifecycle", "max_live_seeds"]


def test_a_slot_whose_own_seeds_may_make_room_is_left_to_its_plan() -> None:
    slot = make_slot("a", (RIPE, RIPE, make_seed()))
    for word in Adaptation:
        assert rules_of([adapt("a", word)], seen(slot), max_live_seeds=2) == []
    assert rules_of([adapt("a")], seen(slot), max_live_seeds=0) == ["max_live_seeds"]


def least(parameters: int = 0, memory_mb: float = 0.0) -> dict[str, KernelCost]:
    return {"block": KernelCost(parameters=parameters, memory_mb=memory_mb)}


@pytest.mark.parametrize(
    ("usage", "passes"),
    [
        (Usage(parameters=101), True),  # what a kernel takes is not known yet
        (Usage(parameters=100, least=least(parameters=1)), False),
        (Usage(parameters=90, least=least(parameters=10)), True),
        (Usage(parameters=91, least=least(parameters=10)), False),
    ],
)
def test_no_slot_is_adapted_where_not_even_the_smallest_kernel_fits(
    usage: Usage, passes: bool
) -> None:
    rules = [] if passes else ["parameter_budget"]
    assert rules_of([adapt("block")], seen(make_slot()), usage, parameter_budget=100) == rules
    ripe = seen(make_slot(seeds=(RIPE, make_seed())))
    # A plan may give back what a live seed has: only it knows.
    for decision in (adapt("block"), judge("block")):
        assert rules_of([decision], ripe, usage, parameter_budget=100) == []


def test_a_slot_whose_kernels_are_smaller_may_still_grow() -> None:
    observation = seen(make_slot("block"), make_slot("other"))
    usage = Usage(parameters=95, least={**least(10), "other": KernelCost(parameters=5)})
    wanted = [adapt("block"), adapt("other")]
    accepted, refusals = Safety(parameter_budget=100).review(wanted, observation, usage)
    assert accepted == [adapt("other")]
    assert refusals[0].reason == "95 parameters, at least 105 afterwards (budget 100)"


@pytest.mark.parametrize(
    ("memory", "kernel", "passes"),
    [
        (9.0, 1.0, True),
        (9.5, 1.0, False),
        (10.1, 0.0, True),
        (10.0, 0.1, False),
        (None, 0.0, False),
        (math.nan, 0.0, False),
        (math.inf, 0.0, False),
    ],
)
def test_the_memory_budget_holds_and_needs_a_measurement(
    memory: float | None, kernel: float, passes: bool
) -> None:
    usage = Usage(parameters=1, memory_mb=memory, least=least(memory_mb=kernel))
    rules = [] if passes else ["memory_budget"]
    assert rules_of([adapt("block")], seen(make_slot()), usage, memory_budget_mb=10.0) == rules
    ripe = seen(make_slot(seeds=(RIPE, make_seed())))
    is_known = memory is not None and math.isfinite(memory)
    rules = [] if is_known else ["memory_budget"]
    assert rules_of([adapt("block")], ripe, usage, memory_budget_mb=10.0) == rules
    assert rules_of([judge("block")], ripe, usage, memory_budget_mb=10.0) == []


def test_without_a_limit_there_is_none() -> None:
    usage = Usage(parameters=10**12, memory_mb=None, changed_seeds=10)
    crowd = make_slot("a", (make_seed(SeedStage.TRAINING),) * 1000)
    assert rules_of([adapt("block")], seen(crowd, make_slot()), usage) == []
