"""Whether anything is carried out that breaks a rule of safety, or refused that breaks none.

Epochs of random decisions meet random networks.  What safety lets pass is planned, what it lets
pass of the plans is carried out, and the next plan of the epoch meets the network as it is then.
An oracle says of each decision and each plan what should have become of it.
"""

from collections import Counter
from dataclasses import dataclass, field
from random import Random

from esper.contracts.decision import Decision, DecisionKind
from esper.safety.review import Safety
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
    """What became of fuzzed decisions.

    wrongly_executed: carried out though they, or their plans, break a rule.
    wrongly_refused: refused though neither does.
    told: how often each rule had the word, as `decision/<rule>` and `plan/<rule>`, and how often
        each kind of decision was carried out, as `done/<kind>`.
    """

    decisions: int = 0
    plans: int = 0
    executed: int = 0
    wrongly_executed: int = 0
    wrongly_refused: int = 0
    told: Counter[str] = field(default_factory=Counter)


def fuzz(rng: Random, num_decisions: int, safety: Safety = LIMITS) -> Tally:
    """Return what becomes of at least so many random decisions under `safety`."""
    tally = Tally()
    worlds = [random_world(rng) for _ in range(-(-num_decisions // DECISIONS_A_WORLD))]
    while tally.decisions < num_decisions:
        world = rng.choice(worlds)
        live_through(random_epoch(rng, world.seen), world, rng, tally, safety)
    return tally


def live_through(
    decisions: list[Decision], world: World, rng: Random, tally: Tally, safety: Safety = LIMITS
) -> None:
    """Review the decisions of one epoch, plan and review the plans, and carry them out."""
    accepted, refusals = safety.review(decisions, world.seen, world.usage)
    tally.decisions += len(decisions)
    tally.told.update(f"decision/{refusal.rule}" for refusal in refusals)
    passed = {id(decision) for decision in accepted}
    before: list[Decision] = []
    reviewed, world = world, turned(rng, world)
    for decision in decisions:
        is_fine = is_allowed(decision, reviewed, before)
        tally.wrongly_refused += is_fine and id(decision) not in passed
        if id(decision) in passed:
            before.append(decision)
            world = _act(decision, is_fine, world, rng, tally, safety)


def _act(
    decision: Decision, is_fine: bool, world: World, rng: Random, tally: Tally, safety: Safety
) -> World:
    """Return the network after a decision that was let pass, unchanged if its plan is refused."""
    if decision.kind is DecisionKind.WAIT:
        tally.told["done/wait"] += 1
        return world
    plan = random_plan(rng, decision, world.seen)
    tally.plans += 1
    after = carried_out(plan, decision, world)
    costs = world.kernels.get(plan.slot, {})
    refusal = safety.review_plan(plan, decision, world.seen, world.usage, costs)
    if refusal is not None:
        tally.told[f"plan/{refusal.rule}"] += 1
        tally.wrongly_refused += after is not None
        return world
    tally.executed += 1
    tally.wrongly_executed += not is_fine or after is None
    tally.told[f"done/{decision.kind}"] += 1
    return world if after is None else after


def fuzzed(num_decisions: int = NUM_DECISIONS) -> list[Figure]:
    """Return how often safety was wrong, either way."""
    tally = fuzz(Random(0), num_decisions)
    told = f"{tally.decisions:,} decisions, {tally.plans:,} plans, {tally.executed:,} executed"
    wrong = {
        "fuzzed decisions executed against a rule": tally.wrongly_executed,
        "fuzzed decisions refused though they break none": tally.wrongly_refused,
    }
    return [
        Figure(name=f"safety/{name}", value=number, unit="of all", goal=0, reference=told)
        for name, number in wrong.items()
    ]
