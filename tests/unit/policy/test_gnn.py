"""Decisions of a graph network: where it starts, what decides, what they say."""

import json
import math
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch

from esper.contracts.decision import DecisionKind
from esper.contracts.errors import ConfigError
from esper.contracts.event import EventKind
from esper.contracts.observation import Observation
from esper.contracts.outcome import Reward
from esper.learning.situation import collate
from esper.policy.gnn import GNN
from esper.policy.learned import LearnedPolicy
from esper.policy.networks.shape import TEMPERATURE
from esper.policy.planner import Planner, PlannerPolicy
from tests.gain_models import full_model
from tests.unit.policy.builders import make_outcome
from tests.unit.policy.learned import Fixed, grown, learned_policy
from tests.unit.policy.planned import make_birth, measured_slot, seen
from tests.unit.policy.runs import split_and_joined, steps
from tests.unit.scripted import make_grower, same_weights

ROOM = {"a": 0.1, "b": 0.3, "c": 0.2}
RULES = GNN(pretrained=None, caution=0.0, seeds_per_adaptation=1)


def observation(**changes: Any) -> Observation:
    """Return three slots with two kernels on offer in each, `affine` for less."""
    births = make_birth("mlp"), make_birth("affine")
    slots = (measured_slot(name, *births, linear_gain=gain) for name, gain in ROOM.items())
    return seen(*slots, **changes)


def policy(rules: GNN = RULES) -> LearnedPolicy:
    """Return a policy whose gain model predicts `linear_gain`, and a little more for `mlp`."""
    return learned_policy(rules, linear_gain=1.0, mlp=0.01)


def follow(bias: torch.Tensor, learner: LearnedPolicy) -> None:
    """Let the network's correction of an offer be that of its last column, times a number."""
    head: Any = learner.learned.net.offer
    with torch.no_grad():
        head.last.bias.copy_(bias)


def test_an_untrained_network_decides_as_the_planner_does() -> None:
    rules = Planner(caution=0.0, seeds_per_adaptation=1)
    planner = PlannerPolicy(rules, full_model(0.0, linear_gain=1.0, mlp=0.01))
    for limit in (None, 1):
        one, two = (each.decide(observation(events_left=limit)) for each in (planner, policy()))
        assert grown(one) == grown(two)
        assert grown(two)[0] == ("b", "mlp")
        assert len(two) == limit or len(two) == 2


def test_it_waits_where_the_network_prefers_to_and_says_by_how_much() -> None:
    learner = policy()
    learner.judge = Fixed(2.0, 0.0, 0.0, 0.0, 1.5, 0.0, 0.0)
    (decision,) = learner.decide(observation())
    assert decision.kind is DecisionKind.WAIT
    assert decision.reason.startswith("the network prefers to wait, by 0.5 (affine in 'b' ")


def test_it_grows_what_the_network_ranks_first_each_slot_once() -> None:
    learner = policy()
    learner.judge = Fixed(0.0, -1.0, 1.0, 5.0, 4.0, -1.0, -1.0)
    first, second = learner.decide(observation())
    assert grown([first, second]) == [("b", "mlp"), ("a", "affine")]
    assert "affine" in first.barred
    assert first.learned


def test_offers_that_safety_would_refuse_have_no_probability() -> None:
    """Members that differ as much are less certain of a gain of 0.01 than of one of 0.03."""
    learner, seen_now = learned_policy(RULES, linear_gain=0.1), observation()
    learner.judge = Fixed(0.0, *[1.0] * 6)
    situation = learner.situation(seen_now, learner.every_forecast(seen_now))
    assert bool(situation.allowed.all())
    least, *_, most = sorted(set(situation.doubts.tolist()))
    limit = (least + most) / 2
    strict = observation(max_uncertainty=limit)
    situation = learner.situation(strict, learner.every_forecast(strict))
    assert situation.allowed.tolist() == [each <= limit for each in situation.doubts.tolist()]
    assert 0 < int(situation.allowed.sum()) < 6
    for each in learner.decide(strict):
        assert each.uncertainty is not None
        assert each.uncertainty <= limit
    (decision,) = learner.decide(observation(max_uncertainty=-0.1))
    assert decision.reason == (
        "every offer is beyond safety.max_uncertainty=-0.1 or safety.max_risk=1"
    )


def test_a_decision_states_its_probability_urgency_risk_and_uncertainty() -> None:
    learner = policy()
    learner.judge = Fixed(0.0, -9.0, -9.0, 1.0, -9.0, -9.0, -9.0, risk=2.0)
    (decision,) = learner.decide(observation())
    chance = math.exp(1.0) / (1 + math.exp(1.0) + 5 * math.exp(-9.0))
    assert f"ranks it +1 over waiting with probability {chance:.2g}" in decision.reason
    wait = 1 / (1 + math.exp(1.0) + 5 * math.exp(-9.0))
    assert decision.urgency == pytest.approx(1 - wait, rel=1e-4)
    assert decision.risk == pytest.approx(1 / (1 + math.exp(-2.0)))
    assert decision.uncertainty is not None
    assert decision.confidence == 1 - decision.uncertainty


def test_the_slots_that_spoke_are_named() -> None:
    learner = policy()
    torch.manual_seed(0)
    net: Any = learner.learned.net
    assert "by the slots" not in learner.decide(observation())[0].reason, "nothing was learned yet"
    with torch.no_grad():
        net.offer.last.weight.copy_(torch.randn_like(net.offer.last.weight))
    reason = learner.decide(observation())[0].reason
    assert ", by the slots '" in reason
    named = reason.rpartition(", by the slots ")[2]
    assert {part.split("'")[1] for part in named.split(", ")} <= set(ROOM)


def test_evaluation_repeats_itself_and_leaves_the_generators_and_the_mode_alone() -> None:
    learner, before = policy(), torch.random.get_rng_state()
    learner.learned.net.train()
    assert learner.decide(observation()) == learner.decide(observation())
    assert learner.learned.net.training
    assert torch.equal(before, torch.random.get_rng_state())


def test_verdicts_and_corrections_are_those_of_the_planner() -> None:
    learner = policy()
    learner.decide(observation())
    changed = learner.learn(make_outcome("mlp", slot="b", gain=0.0), Reward(total=0.0))
    assert set(changed) == {"policy/gnn/correction/b/mlp"}
    assert changed["policy/gnn/correction/b/mlp"] < -0.1


def test_the_state_survives_a_resume_and_belongs_to_one_network() -> None:
    learner = policy()
    learner.decide(observation())
    state = json.loads(json.dumps(learner.state_dict(), allow_nan=False))
    resumed = policy()
    resumed.load_state_dict(state)
    assert resumed.state_dict() == learner.state_dict()
    other = policy()
    follow(torch.tensor([0.5]), other)
    with pytest.raises(ConfigError, match=r"^policy.pretrained: the network is another one than"):
        other.load_state_dict(state)


def test_the_situation_holds_what_the_graph_and_the_gain_model_say() -> None:
    learner = policy()
    learner.decide(observation())
    told = observation()
    forecasts = learner.every_forecast(told)
    situation = learner.situation(told, forecasts)
    batch = collate([situation])
    names = ["a", "b", "c"]
    assert [names[place] for place in batch.places.tolist()] == [f.offer.slot for f in forecasts]
    values = [each.cautious - RULES.threshold for each in forecasts]
    assert batch.values.tolist() == pytest.approx(values)
    seeds = {"mlp": 0, "affine": 1}
    assert situation.seeds.tolist() == [seeds[f.offer.birth.blueprint] for f in forecasts]


def test_in_a_run_its_requests_pass_and_a_resumed_run_is_the_same(tmp_path: Path) -> None:
    full_model(0.2, linear_gain=1.0).save(tmp_path / "own", {})
    rules = GNN(path=str(tmp_path / "own"), price=0.0, caution=0.0, pretrained=None)
    whole, told = make_grower(policy=rules)
    torch.manual_seed(7)
    steps(whole, 5)
    state = split_and_joined(whole.state_dict())
    steps(whole, 5)
    resumed, told_again = make_grower(policy=rules)
    resumed.load_state_dict(state)
    steps(resumed, 5)
    assert same_weights(whole.host.model, resumed.host.model)
    decisions, again = (each.of(EventKind.DECISION) for each in (told, told_again))
    assert decisions[-len(again) :] == again
    assert any(decision.learned for decision in decisions)
    assert told.of(EventKind.SAFETY) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"uncertainty": "none"}, "policy.uncertainty must be one of ensemble, dropout"),
        ({"threshold": math.nan}, "policy.threshold must be a finite number"),
        ({"caution": -1.0}, "policy.caution must be finite and >= 0"),
    ],
)
def test_what_is_wrong_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        GNN(**changes)


def test_the_shipped_network_is_small_belongs_to_the_shipped_gain_model_and_corrects_it() -> None:
    folder = files("esper.policy") / "trained"
    assert len((folder / "gnn.safetensors").read_bytes()) < 2e6
    learner = GNN().build(0)
    assert learner.learned.gain_model == learner.model.digest
    assert len(learner.learned.spreads) > 50
    assert GNN(pretrained="shipped", uncertainty="dropout").build(0).learned.digest == (
        learner.learned.digest
    )
    seen_now = observation()
    situation = learner.situation(seen_now, learner.every_forecast(seen_now))
    scores = learner.judge.scores(collate([situation])).detach()
    corrections = scores.offers - situation.values / TEMPERATURE
    assert bool((corrections.abs() > 1e-3).any())
