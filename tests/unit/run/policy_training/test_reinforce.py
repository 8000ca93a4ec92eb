"""What an update plays and learns from, on tiny tasks."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from esper.learning.options import Learning
from esper.policy.actor_critic import ActorCritic
from esper.policy.gnn import GNN
from esper.policy.learned_net import config_of, untrained
from esper.run.episodes.episode import Episode, net_gain
from esper.run.episodes.parallel import Workers
from esper.run.policy_training import reinforce, rollouts
from esper.run.policy_training.reinforce import Group, Training, told
from esper.run.policy_training.rollouts import CLIPPED, Player, outcome, planned, play
from tests.gain_models import tiny_task

RULES = GNN(pretrained=None, threshold=-0.05, caution=0.0, seeds_per_adaptation=1)
OPTIONS = Learning(hidden=8, rollouts=2, tasks_at_once=2, rate=1e-2, risk_weight=0.0)


@pytest.fixture(scope="module", autouse=True)
def _tiny() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (reinforce, rollouts):
            patch.setattr(module, "training_task", tiny_task)
        yield


def training(options: Learning = OPTIONS, rules: Any = RULES) -> Training:
    shape = options.shape_of(8)
    return Training(rules, options, untrained(config_of(rules, shape, options.dropout), 0), 0)


@pytest.fixture(scope="module")
def groups() -> list[Group]:
    found = training().play([2000, 2001], Workers(1))
    assert {group.returns[0] == group.returns[1] for group in found} != {True}
    return found


def test_rollouts_of_a_task_differ_in_their_actions_alone(groups: list[Group]) -> None:
    for group in groups:
        one, two = (played.result for played in group.rollouts)
        assert (one.index, one.rng_seed) == (two.index, two.rng_seed)
        first = [played.steps[0] for played in group.rollouts]
        assert torch.equal(first[0].situation.nodes, first[1].situation.nodes)
        assert first[0].value == first[1].value
    actions = [[step.action for step in g.steps] for group in groups for g in group.rollouts]
    assert len({tuple(each) for each in actions}) > 2


def test_the_return_is_that_over_the_never_grown_run_less_the_price_of_training() -> None:
    player = training().player
    played = play(2003, 5, 0, player).result
    task = tiny_task(2003)
    plain = Episode(task, 5, policy="never").finish()
    gain = net_gain(played, plain, task.price)
    assert outcome(played, plain, 0.0) == min(max(gain, CLIPPED[0]), CLIPPED[1])
    cost = torch.tensor(played.train_flops / plain.train_flops).log2().item()
    assert cost > 0
    assert outcome(played, plain, 0.1) == pytest.approx(gain - 0.1 * cost, abs=1e-6)
    assert outcome(replace(played, loss=1e-9), plain, 0.0) == CLIPPED[1]


def test_without_exploring_an_untrained_network_plays_as_the_planner_does() -> None:
    rules = GNN(pretrained=None)
    net = untrained(config_of(rules), 0)
    player = Player(rules, net.config, net.net.state_dict(), 0.1)
    for index in (2000, 2003):
        mine = replace(play(index, 0, None, player).result, processor_s=0.0)
        assert mine == replace(planned(index, 0, None), processor_s=0.0)


def test_a_kernel_has_failed_if_it_was_not_kept(groups: list[Group]) -> None:
    for played in (played for group in groups for played in group.rollouts):
        asked = [step for step in played.steps if step.action]
        assert all(step.has_failed is None for step in played.steps if not step.action)
        kept = sum(step.has_failed is False for step in asked)
        assert kept == played.result.kept


def test_what_safety_would_refuse_as_too_risky_is_not_asked_for() -> None:
    """A risk of 1 is beyond `safety.max_risk`; the network says it of every offer."""
    net = untrained(config_of(RULES), 0)
    head: Any = net.net.risk
    with torch.no_grad():
        head.last.bias.fill_(50.0)
    player = Player(RULES, net.config, net.net.state_dict(), 0.1)
    played = play(2000, 0, 0, player)
    assert played.steps == ()
    assert played.result.events == 0


def test_an_update_learns_from_what_it_played(groups: list[Group]) -> None:
    learner = training()
    before = copy.deepcopy(learner.net.state_dict())
    found = learner.learn(groups)
    assert found.kl > 0
    changed = [
        name for name, each in learner.net.state_dict().items() if (each != before[name]).any()
    ]
    assert {"offer.last.weight", "wait.last.weight", "value.last.weight"} <= set(changed)


CHANGES: list[dict[str, Any]] = [
    {"rate": 1e-3},
    {"weight_decay": 0.5},
    {"clip": 0.01},
    {"passes": 2},
    {"batch_size": 5},
    {"value_weight": 0.0},
    {"entropy": 1.0},
    {"least_entropy": 9.0},
    {"risk_weight": 1.0},
    {"gradient_limit": 0.01},
    {"most_kl": 1e-9},
    {"safety_penalty": 2.0, "max_risk": 0.3},
    {"uncertainty_penalty": 2.0},
    {"anchor": 1.0},
    {"dropout": 0.5},
    {"baseline": "value"},
    {"baseline": "never"},
    {"baseline": "value", "gae_decay": 0.1},
    {"replay": 100},
    {"replay": 10},
    {"hidden": 16},
    {"layers": 1},
    {"heads": 2},
]


def test_every_key_changes_what_is_learned(groups: list[Group]) -> None:
    found = {}
    for change in ({}, *CHANGES):
        learner = training(replace(OPTIONS, **change))
        for _ in range(2):
            learner.learn(groups)
        found[str(change)] = [each.sum().item() for each in learner.net.parameters()]
    for name, weights in found.items():
        others = [each for other, each in found.items() if other != name]
        assert weights not in others, name


def line_of(value: float, **changes: Any) -> dict[str, Any]:
    return {"return": value, "update": 0, **changes}


def test_the_rate_is_halved_every_so_many_updates_of_a_plateau() -> None:
    learner, halved = training(replace(OPTIONS, plateau=2)), []
    for number in range(8):
        # The mean of the last five rises once more, by the better return in the middle.
        learner.history.append(line_of((0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)[number]))
        halved.append(learner.is_on_plateau)
    assert halved == [False, False, True, False, False, False, True, False]


def test_patience_ends_a_training() -> None:
    learner = training(replace(OPTIONS, plateau=2, patience=3))
    learner.history = [line_of(each) for each in (0.0, 1.0, 0.5, 0.5)]
    assert not learner.is_over
    learner.history.append(line_of(0.5))
    assert learner.is_over
    assert training().is_over is False


def test_an_update_tells_what_was_played_and_goes_on_after_a_checkpoint() -> None:
    whole, workers = training(replace(OPTIONS, plateau=1, replay=50)), Workers(1)
    first = whole.update([2000], workers)
    state = copy.deepcopy(whole.state_dict())
    second = whole.update([2002], workers)
    assert (first["update"], second["update"]) == (1, 2)
    resumed = training(replace(OPTIONS, plateau=1, replay=50))
    resumed.load_state_dict(state)
    assert resumed.update([2002], workers) == second
    for one, two in zip(whole.net.parameters(), resumed.net.parameters(), strict=True):
        assert torch.equal(one, two)


def test_the_target_is_the_network_of_some_updates_ago() -> None:
    options = replace(OPTIONS, baseline="value", target_every=2)
    learner, workers = training(options), Workers(1)

    def is_present() -> bool:
        pairs = zip(learner.net.parameters(), learner.target.parameters(), strict=True)
        return all(torch.equal(one, two) for one, two in pairs)

    found = []
    for update in range(2):
        learner.update([2000 + update], workers)
        found.append(is_present())
    assert found == [False, True]


def test_what_is_told_of_an_update(groups: list[Group]) -> None:
    line = told(groups)
    returns = [each for group in groups for each in group.returns]
    assert line["return"] == pytest.approx(sum(returns) / 4)
    steps = [step for group in groups for played in group.rollouts for step in played.steps]
    assert line["waits"] == sum(step.action == 0 for step in steps) / len(steps)
    assert line["denied"] == sum(step.was_denied for step in steps) / len(steps)
    assert 0 <= line["success"] <= 1


def test_the_control_learns_too() -> None:
    learner = training(rules=ActorCritic(pretrained=None))
    line = learner.update([2000], Workers(1))
    assert line["kl"] >= 0
    assert line["decisions"] > 0
