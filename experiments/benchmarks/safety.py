"""Fuzz safety: count the decisions that it wrongly accepts or wrongly refuses.

Random decisions, an epoch at a time, are reviewed for a random network.  Accepted decisions become
plans, accepted plans change the network, and the next plan of the epoch is reviewed for the
changed network.  An independent oracle decides which decisions and plans keep every rule.
"""

from collections import Counter
from dataclasses import dataclass, field
from random import Random

from esper.contracts.decision import Decision, DecisionKind
from esper.safety.context import PlanReview
from esper.safety.options import Safety
from esper.safety.review import review, review_plan
from experiments.benchmarks.figure import Figure
from experiments.benchmarks.safety_oracle import LIMITS, carried_out, is_allowed
from experiments.benchmarks.safety_worlds import (
    World,
    random_epoch,
    random_plan,
    random_world,
    turned,
)

NUM_DECISIONS = 100_000
DECISIONS_A_WORLD = 20


@dataclass
class Tally:
    """Counts of fuzzed decisions.

    wrongly_executed: executed, but the decision or its plan breaks a rule.
    wrongly_refused: refused, but neither breaks a rule.
    counts: refusals by rule, as `decision/<rule>` and `plan/<rule>`, and executed decisions by
        kind or adaptation, as `done/cull` or `done/add_layer`.
    """

    decisions: int = 0
    plans: int = 0
    executed: int = 0
    wrongly_executed: int = 0
    wrongly_refused: int = 0
    counts: Counter[str] = field(default_factory=Counter)


def fuzz(rng: Random, num_decisions: int, safety: Safety = LIMITS) -> Tally:
    """Return counts of at least `num_decisions` random decisions under `safety`."""
    tally = Tally()
    worlds = [random_world(rng) for _ in range(-(-num_decisions // DECISIONS_A_WORLD))]
    while tally.decisions < num_decisions:
        world = rng.choice(worlds)
        live_through(random_epoch(rng, world.seen), world, rng, tally, safety)
    return tally


def live_through(
    decisions: list[Decision], world: World, rng: Random, tally: Tally, safety: Safety = LIMITS
) -> None:
    """Review the decisions of one epoch, make and review their plans, and execute those."""
    accepted, refusals = review(decisions, world.seen, safety)
    tally.decisions += len(decisions)
    tally.counts.update(f"decision/{refusal.rule}" for refusal in refusals)
    passed = {id(decision) for decision in accepted}
    before: list[Decision] = []
    reviewed, world = world, turned(rng, world)
    for decision in decisions:
        is_fine = is_allowed(decision, reviewed.seen, before)
        tally.wrongly_refused += is_fine and id(decision) not in passed
        if id(decision) in passed:
            before.append(decision)
            world = _act(decision, is_fine, world, rng, tally, safety)


def _act(
    decision: Decision, is_fine: bool, world: World, rng: Random, tally: Tally, safety: Safety
) -> World:
    """Return the network after an accepted decision, unchanged if its plan is refused."""
    if decision.kind is DecisionKind.WAIT:
        tally.counts["done/wait"] += 1
        return world
    what = decision.adaptation or decision.kind
    plan = random_plan(rng, decision, world.seen)
    tally.plans += 1
    after = carried_out(plan, decision, world)
    refusal = review_plan(
        PlanReview(
            plan=plan,
            decision=decision,
            observation=world.seen,
            usage=world.usage,
            kernels=world.kernels.get(plan.slot, {}),
            limits=safety,
        )
    )
    if refusal is not None:
        tally.counts[f"plan/{refusal.rule}"] += 1
        tally.counts[f"refused/{what}"] += 1
        tally.wrongly_refused += after is not None
        return world
    tally.executed += 1
    tally.wrongly_executed += not is_fine or after is None
    tally.counts[f"done/{what}"] += 1
    return world if after is None else after


def fuzzed(num_decisions: int = NUM_DECISIONS) -> list[Figure]:
    """Return the numbers of wrong acceptances and of wrong refusals."""
    tally = fuzz(Random(0), num_decisions)
    total = f"{tally.decisions:,} decisions, {tally.plans:,} plans, {tally.executed:,} executed"
    wrong = {
        "fuzzed decisions executed against a rule": tally.wrongly_executed,
        "fuzzed decisions refused though they break none": tally.wrongly_refused,
    }
    return [
        Figure(name=f"safety/{name}", value=number, unit="of all", goal=0, reference=total)
        for name, number in wrong.items()
    ]
