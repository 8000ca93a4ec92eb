"""Reviews with a real network: predicted sizes equal those after the change."""

from collections import Counter
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pytest

from esper.attribution.options import Attribution
from esper.attribution.trials import Trials
from esper.contracts.decision import Adaptation, Decision, DecisionKind
from esper.contracts.observation import Observation
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.stage import LIVE, SeedStage
from esper.grower.costs import Costs
from esper.grower.review import Reviewer, host_memory_mb
from esper.growth.apply import Applied, apply
from esper.growth.host import Host
from esper.growth.param_groups import stale_entries
from esper.kernels.kernel import Kernel
from esper.kernels.pipeline import build_kernel
from esper.safety.options import Safety
from experiments.benchmarks.safety_worlds import random_epoch, random_plan
from tests.unit.growth.builders import germination, grow, make_host, make_metrics
from tests.unit.policy.builders import make_observation

_S = SeedStage
UPROOTED = {_S.CULLED, _S.EMBARGOED, _S.RESETTING, _S.DORMANT}
"""Stages on the path of a cull."""
Ready = dict[tuple[int, str], Kernel]


NUM_SAMPLES = 100


def reviewer_of(host: Host, **limits: Any) -> Reviewer:
    """Return the reviewer of a run of 40 epochs that can afford any trial at epoch 10."""
    safety = Safety(**limits)
    costs = Costs(host, Attribution(), safety, epochs=40, batch_size=10)
    costs.begin_epoch(NUM_SAMPLES)
    costs.add(30 * host.settled_flops * NUM_SAMPLES, 0)
    return Reviewer(safety, Trials(host, Attribution()), costs)


def adapt(slot: str, **changes: Any) -> Decision:
    decision = Decision(
        kind=DecisionKind.ADAPT, slot=slot, adaptation=Adaptation.ADD_NEURONS, reason="a test"
    )
    return replace(decision, **changes)


def seen(host: Host, epoch: int = 10, **changes: Any) -> Observation:
    return make_observation(epoch=epoch, slots=host.states(epoch), **changes)


def ready_for(host: Host, plan: Plan) -> Ready:
    """Return a kernel for every germination of the plan that can have one."""
    slot = host.slots[plan.slot]
    keys = {
        (change.seed, change.blueprint)
        for change in plan.changes
        if change.action is Action.GERMINATE
        and type(change.seed) is int
        and 0 <= change.seed < len(slot.seeds)
        and change.blueprint in slot.spec.catalogue
    }
    return {key: build_kernel(host.request(plan.slot, *key, 0)) for key in keys}  # type: ignore[arg-type, misc]


def reviewed(host: Host, plan: Plan, **limits: Any) -> str | None:
    reviewer = reviewer_of(host, **limits)
    decision = adapt(plan.slot)
    refusal = reviewer.review_plan(plan, decision, seen(host), ready_for(host, plan))
    return refusal.rule if refusal else None


def carry_out(host: Host, plan: Plan, epoch: int = 10) -> Applied:
    return apply(host, plan, ready_for(host, plan), make_metrics(epoch), event=0)


def replacement(slot: str, blueprint: str) -> Plan:
    changes = (
        SeedChange(action=Action.CULL, seed=0, rests=False),
        SeedChange(action=Action.GERMINATE, seed=0, blueprint=blueprint),
    )
    return Plan(slot=slot, kind="replace", changes=changes, reasoning="a test")


@pytest.mark.parametrize("blueprint", ["mlp", "frozen_random"])
def test_a_budget_holds_to_the_last_parameter_and_byte(blueprint: str) -> None:
    after = make_host("sequential", ["1"])
    plan = germination("1", 0, blueprint)
    carry_out(after, plan)
    parameters, memory = after.num_parameters, host_memory_mb(after)
    host = make_host("sequential", ["1"])
    assert reviewed(host, plan, parameter_budget=parameters, memory_budget_mb=memory) is None
    assert reviewed(host, plan, parameter_budget=parameters - 1) == "parameter_budget"
    a_byte = 2.0**-20
    assert reviewed(host, plan, memory_budget_mb=memory - a_byte) == "memory_budget"


def test_a_replaced_kernel_makes_room_for_the_next_one() -> None:
    host = make_host("sequential", ["1"])
    grow(host, "1", 0, "mlp")
    before = (host.num_parameters, host_memory_mb(host))
    after = make_host("sequential", ["1"])
    grow(after, "1", 0, "gated_mlp")
    parameters, memory = after.num_parameters, host_memory_mb(after)
    assert (parameters, memory) > before
    plan = replacement("1", "gated_mlp")
    assert reviewed(host, plan, parameter_budget=parameters, memory_budget_mb=memory) is None
    assert reviewed(host, plan, parameter_budget=parameters - 1) == "parameter_budget"
    smaller = replacement("1", "lora")
    assert reviewed(host, smaller, parameter_budget=1, memory_budget_mb=1e-6) is None


def test_a_kernel_that_is_not_ready_is_not_trusted_under_a_budget() -> None:
    host = make_host("sequential", ["1"])
    plan = germination("1", 0, "mlp")
    reviewer = reviewer_of(host, parameter_budget=10**6)
    refusal = reviewer.review_plan(plan, adapt("1"), seen(host), {})
    assert refusal is not None
    assert refusal.reason == "kernel 'mlp' of seed 0 was not measured"


def test_plans_of_one_epoch_see_what_those_before_them_did() -> None:
    host = make_host("sequential", ["0", "1"])
    reviewer = reviewer_of(host, max_live_seeds=1, max_changes_per_epoch=1)
    observation = seen(host)
    first, second = germination("0", 0, "mlp"), germination("1", 0, "mlp")
    ready = ready_for(host, first)
    assert reviewer.review_plan(first, adapt("0"), observation, ready) is None
    carry_out(host, first)
    ready = ready_for(host, second)
    refusal = reviewer.review_plan(second, adapt("1"), observation, ready)
    assert refusal is not None
    assert refusal.rule == "max_live_seeds"
    reviewer.count(first, epoch=10)
    host.cull("0", 0, epoch=10, reason="a test wants it")
    refusal = reviewer.review_plan(second, adapt("1"), observation, ready)
    assert refusal is not None
    assert refusal.rule == "max_changes_per_epoch"
    # The next epoch begins with none.
    assert reviewer.review_plan(second, adapt("1"), seen(host, epoch=11), ready) is None
    reviewer.count(second, epoch=11)
    assert reviewer.review_plan(second, adapt("1"), seen(host, epoch=11), ready) is not None


def test_events_are_counted_from_their_trials_on() -> None:
    host = make_host("sequential", ["0", "1"])
    reviewer = reviewer_of(host, max_events=1)
    first, second = germination("0", 0, "mlp"), germination("1", 0, "mlp")
    ready = ready_for(host, first)
    assert reviewer.review_plan(first, adapt("0"), seen(host), ready) is None
    reviewer.trials.apply(first, ready, make_metrics(10))
    refusal = reviewer.review_plan(second, adapt("1"), seen(host), ready_for(host, second))
    assert refusal is not None
    assert (refusal.rule, refusal.reason) == ("max_events", "no growth event is left (at most 1)")
    shrinking = Plan(
        slot="0",
        kind="test",
        changes=(SeedChange(action=Action.CULL, seed=0),),
        reasoning="a test",
    )
    assert reviewer.review_plan(shrinking, adapt("0"), seen(host), {}) is None


def test_a_kernel_that_does_not_fit_is_known_before_it_is_chosen() -> None:
    host = make_host("sequential", ["1"])
    request = host.request("1", 0, "mlp", 0)
    budget = host.num_parameters + request.cost.parameters

    def broken(**limits: Any) -> tuple[str, str] | None:
        reviewer = reviewer_of(host, **limits)
        return reviewer.broken_limit(request, reviewer.usage(10))

    assert broken() is None
    assert broken(parameter_budget=budget) is None
    words = f"{host.num_parameters} parameters, {budget} afterwards (budget {budget - 1})"
    assert broken(parameter_budget=budget - 1) == ("budget", words)
    assert "MB afterwards" in str(broken(memory_budget_mb=1e-6))
    assert broken(max_risk=0.1) == ("max_risk", "its risk 0.2 > 0.1")


def age(host: Host, rng: Random) -> None:
    """Advance some seeds at random, as passed gates do."""
    after = {_S.BLENDING: _S.SHADOWING, _S.SHADOWING: _S.PROBATIONARY, _S.EMBARGOED: _S.RESETTING}
    for seed in host.seeds():
        if rng.random() < 0.4:
            continue
        if seed.stage is _S.TRAINING:
            host.blend(seed.slot, seed.index, seed.activation.target, None, "a test wants it")
        elif seed.stage in after:
            host.advance(seed.slot, seed.index, after[seed.stage], None, "a test wants it")
        if seed.stage is _S.RESETTING:
            host.advance(seed.slot, seed.index, _S.DORMANT, None, "a test wants it")
        if seed.stage is _S.PROBATIONARY:
            seed.activation.gain = 0.1


@dataclass(frozen=True)
class Stock:
    """Counts taken from the network itself."""

    parameters: int
    trained: int
    live: int
    germinated: int
    fossilized: int

    @classmethod
    def of(cls, host: Host) -> "Stock":
        seeds = list(host.seeds())
        return cls(
            parameters=sum(p.numel() for p in host.model.parameters()),
            trained=sum(p.numel() for g in host.optimizer.param_groups for p in g["params"]),
            live=sum(seed.stage in LIVE for seed in seeds),
            germinated=sum(seed.activations for seed in seeds),
            fossilized=sum(seed.stage is _S.FOSSILIZED for seed in seeds),
        )


def assert_kept(before: Stock, after: Stock, limits: Safety, observation: Observation) -> None:
    """Compare the network before and after a plan: no limit is exceeded."""
    assert limits.parameter_budget is not None
    assert limits.max_live_seeds is not None
    assert after.parameters <= max(limits.parameter_budget, before.parameters)
    assert after.live <= max(limits.max_live_seeds, before.live)
    assert after.trained == after.parameters
    grown = after.germinated - before.germinated
    assert grown == 0 or (observation.may_grow and not observation.is_suspect)
    assert after.fossilized == before.fossilized or not observation.is_suspect


def live_an_epoch(reviewer: Reviewer, observation: Observation, rng: Random) -> Counter[str]:
    """Decide, plan and act at random; count broken rules and applied decisions."""
    host, limits, epoch = reviewer.host, reviewer.safety, observation.epoch
    told, changed = Counter[str](), 0
    accepted, _ = reviewer.review(random_epoch(rng, observation), observation)
    for decision in accepted:
        if decision.kind is DecisionKind.WAIT:
            continue
        plan = random_plan(rng, decision, replace(observation, slots=host.states(epoch)))
        ready = ready_for(host, plan) if plan.slot in host.slots else {}
        refusal = reviewer.review_plan(plan, decision, observation, ready)
        told[refusal.rule if refusal else decision.kind.value] += 1
        if refusal is not None:
            continue
        before = Stock.of(host)
        moves = carry_out(host, plan, epoch).moves
        reviewer.count(plan, epoch)
        assert_kept(before, Stock.of(host), limits, observation)
        assert {move.slot for move in moves} <= {decision.slot}
        changed += len({(move.slot, move.seed) for move in moves})
        reached = {move.to_stage for move in moves}
        assert reached <= UPROOTED or changed <= limits.max_changes_per_epoch
        assert reached <= UPROOTED or not observation.is_suspect
        assert not stale_entries(host.optimizer, host.model)
    return told


def test_whatever_is_decided_and_planned_a_real_network_keeps_its_limits() -> None:
    rng, told, host = Random(0), Counter[str](), None
    for epoch in range(10, 310):
        if host is None or epoch % 20 == 0:
            host = make_host("sequential", ["0", "1"])
            budget = host.num_parameters + 150
            limits = {"max_live_seeds": 3, "max_changes_per_epoch": 2}
            reviewer = reviewer_of(host, parameter_budget=budget, **limits, max_cost=99.0)
        age(host, rng)
        is_suspect, may_grow = rng.random() < 0.1, rng.random() < 0.9
        observation = seen(host, epoch, is_suspect=is_suspect, may_grow=may_grow)
        told += live_an_epoch(reviewer, observation, rng)
    done = {kind: told[kind] for kind in ("adapt", "fossilize", "cull")}
    assert min(done.values()) >= 5, told
    rules = ("parameter_budget", "max_live_seeds", "max_changes_per_epoch", "lifecycle")
    assert min(told[rule] for rule in rules) >= 1, told
