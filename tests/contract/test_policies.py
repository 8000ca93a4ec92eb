"""Every policy judges alike, is reproducible and stays within the safety rules."""

import json
import math
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.outcome import Reward
from esper.contracts.stage import SeedStage
from esper.options import option_name
from esper.policy.actor_critic import ActorCritic
from esper.policy.gain_policy import GainRules
from esper.policy.gnn import GNN
from esper.policy.heuristic import Heuristic
from esper.policy.hierarchical import Hierarchical
from esper.policy.never import Never
from esper.policy.planner import Planner
from esper.policy.random import Random
from esper.policy.rules.verdict import VerdictRules, judge
from esper.policy.schedule import Schedule
from tests.unit.policy.builders import (
    World,
    make_look,
    make_observation,
    make_outcome,
    make_seed,
    make_slot,
)

UNTRAINED = [partial(each, pretrained=None) for each in (ActorCritic, GNN, Hierarchical)]
OPTIONS = [Heuristic, Never, Planner, Random, Schedule, *UNTRAINED]
every_policy = pytest.mark.parametrize("option", OPTIONS)


def gain_of(blueprint: str) -> float | None:
    """Return a gain for each fate: kept, looked at twice, useless, never measured."""
    return {"affine": 0.05, "mlp": 0.004, "lora": -0.1, "gated_mlp": None}.get(blueprint, 0.02)


@every_policy
def test_the_name_is_the_name_of_the_option(option: Any) -> None:
    assert option().build(0).name == option_name("policy", option())


@every_policy
def test_every_epoch_has_a_decision_and_every_decision_a_reason(option: Any) -> None:
    world = World(option().build(0), gain=gain_of).run()
    assert {epoch for epoch, _ in world.decisions} == set(range(1, 41))
    assert all(decision.reason.strip() for _, decision in world.decisions)
    waits = [d for _, d in world.decisions if d.kind is DecisionKind.WAIT and d.seed is None]
    assert all(decision.slot is None for decision in waits)


@every_policy
@pytest.mark.parametrize("num_slots", [1, 3])
def test_safety_never_has_to_refuse_anything(option: Any, num_slots: int) -> None:
    for rng_seed in range(5):
        world = World(option().build(rng_seed), num_slots=num_slots, gain=gain_of)
        assert world.run().refusals == []


@every_policy
def test_no_seed_stays_on_probation_after_its_last_look(option: Any) -> None:
    world = World(option().build(0), gain=gain_of)
    for _ in range(40):
        world.step()
        waiting = [s for slot in world.slots for s in slot.live if s.stage == "PROBATIONARY"]
        # PROBATIONARY begins at age 4, the last look is at age 9.
        assert all(seed.epochs_in_stage < 5 for seed in waiting)


@every_policy
def test_a_run_repeats_itself(option: Any) -> None:
    first, second = (World(option().build(7), gain=gain_of).run() for _ in range(2))
    assert first.decisions == second.decisions


@every_policy
@pytest.mark.parametrize("epochs", [1, 4, 11, 22])
def test_a_resumed_policy_goes_on_as_if_nothing_had_happened(option: Any, epochs: int) -> None:
    whole = World(option().build(3), gain=gain_of).run()
    world = World(option().build(3), gain=gain_of).run(epochs)
    state = json.loads(json.dumps(world.policy.state_dict(), allow_nan=False))
    world.policy = option().build(3)
    world.policy.load_state_dict(state)
    assert world.run().decisions == whole.decisions
    assert world.policy.state_dict() == whole.policy.state_dict()


@every_policy
def test_saving_takes_nothing_and_keeps_nothing_alive(option: Any) -> None:
    policy = option().build(0)
    World(policy, gain=gain_of).run(15)
    saved = policy.state_dict()
    copy = json.dumps(saved)
    World(policy, gain=gain_of).run(15)
    assert json.dumps(saved) == copy


@every_policy
@pytest.mark.parametrize("fossilized", [True, False])
def test_learning_gives_finite_numbers(option: Any, fossilized: bool) -> None:
    learned = option().build(0).learn(make_outcome(fossilized=fossilized), Reward(total=0.1))
    assert all(math.isfinite(value) for value in learned.values())


numbers = st.none() | st.floats()
seeds = st.builds(
    make_seed,
    st.sampled_from(SeedStage),
    epochs_in_stage=st.integers(0, 6),
    epochs_since_germination=st.none() | st.integers(0, 20),
    gain=numbers,
    gain_error=numbers,
    ablation=numbers,
    added_flops=st.floats(0, 9),
    unhealthy_epochs=st.integers(0, 3),
    improvement=st.none() | st.floats(-1, 1),
    improvement_error=st.none() | st.floats(0, 1),
    look=st.none() | st.builds(make_look, st.integers(1, 9), is_last=st.booleans()),
)


@every_policy
@settings(max_examples=50)
@given(drawn=st.lists(seeds, min_size=1, max_size=4))
def test_every_policy_gives_the_same_verdicts(option: Any, drawn: list[Any]) -> None:
    observation = make_observation(slots=(make_slot(seeds=tuple(drawn)),))

    def about_seeds(decisions: list[Decision]) -> list[Decision]:
        return [decision for decision in decisions if decision.seed is not None]

    rules = option()  # the price of a policy that reads a gain model is another one
    price = rules.price if isinstance(rules, GainRules) else VerdictRules().price
    decisions = rules.build(0).decide(observation)
    assert about_seeds(decisions) == judge(observation, VerdictRules(price=price))


@every_policy
def test_of_400_slots_one_is_chosen_and_the_reason_stays_short(option: Any) -> None:
    slots = tuple(make_slot(f"block{index}") for index in range(400))
    decisions = option().build(0).decide(make_observation(epoch=10, slots=slots))
    assert 1 <= len(decisions) <= 2
    assert all(len(decision.reason) < 300 for decision in decisions)
