"""Random decisions and plans against an oracle written independently of the rules.

The same fuzz with 100,000 decisions is measured by `python -m experiments.benchmarks safety`.
"""

from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esper.contracts.decision import SLOT_CHANGES
from esper.safety.decision_rules import DECISION_RULES
from esper.safety.plan_rules import PLAN_RULES
from experiments.benchmarks.safety import Tally, fuzz, fuzzed, live_through
from experiments.benchmarks.safety_oracle import LIMITS
from experiments.benchmarks.safety_worlds import random_epoch, random_world

NUM_DECISIONS = 10_000


def test_nothing_that_breaks_a_rule_is_carried_out_and_nothing_else_is_refused() -> None:
    tally = fuzz(Random(0), NUM_DECISIONS)
    assert tally.decisions >= NUM_DECISIONS
    assert (tally.wrongly_executed, tally.wrongly_refused) == (0, 0)
    # The fuzz proves nothing about a rule that never refused, or if nothing was carried out.
    rules = [f"decision/{rule.__name__}" for rules in DECISION_RULES.values() for rule in rules]
    rules += [f"plan/{rule.__name__}" for rule in PLAN_RULES]
    assert [name for name in rules if not tally.counts[name]] == []
    assert all(tally.counts[f"done/{kind}"] >= 100 for kind in ("wait", "cull", "fossilize"))
    for outcome in ("done", "refused"):
        assert all(tally.counts[f"{outcome}/{word}"] >= 30 for word in SLOT_CHANGES)
    assert tally.executed >= 900


def test_what_is_carried_out_and_refused_adds_up() -> None:
    tally = fuzz(Random(1), 1000)
    counts: Counter[str] = Counter()
    for name, number in tally.counts.items():
        counts[name.split("/")[0]] += number
    assert tally.plans == tally.executed + counts["plan"]
    assert counts["refused"] == counts["plan"]
    assert counts["done"] == tally.executed + tally.counts["done/wait"]
    assert tally.decisions == counts["decision"] + tally.plans + tally.counts["done/wait"]


@pytest.mark.parametrize(
    ("laxer", "stricter"),
    [
        ({"parameter_budget": 1300}, {"parameter_budget": 800}),
        ({"memory_budget_mb": 75.0}, {"memory_budget_mb": 35.0}),
        ({"max_live_seeds": 9}, {"max_live_seeds": 3}),
        ({"max_changes_per_epoch": 9}, {"max_changes_per_epoch": 1}),
        ({"max_adaptations_per_epoch": 4}, {"max_adaptations_per_epoch": 1}),
        ({"min_confidence": 0.0}, {"min_confidence": 1.0}),
    ],
)
def test_the_fuzz_sees_limits_that_are_not_kept(
    laxer: dict[str, Any], stricter: dict[str, Any]
) -> None:
    assert fuzz(Random(2), 5000, replace(LIMITS, **laxer)).wrongly_executed > 0
    assert fuzz(Random(2), 5000, replace(LIMITS, **stricter)).wrongly_refused > 0


@settings(max_examples=50)
@given(st.randoms(use_true_random=False))
def test_safety_and_the_oracle_agree_wherever_hypothesis_looks(rng: Random) -> None:
    world, tally = random_world(rng), Tally()
    live_through(random_epoch(rng, world.seen), world, rng, tally)
    assert (tally.wrongly_executed, tally.wrongly_refused) == (0, 0)


def test_the_figures_promise_zero_both_ways() -> None:
    executed, refused = fuzzed(num_decisions=500)
    assert executed.name == "safety/fuzzed decisions executed against a rule"
    assert refused.name == "safety/fuzzed decisions refused though they break none"
    assert (executed.value, refused.value, executed.goal, refused.goal) == (0, 0, 0, 0)
    assert (executed.ok, refused.ok) == (True, True)
