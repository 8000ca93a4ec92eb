"""Decisions of the plain network, which is blind to health unless it is shown."""

from typing import Any

import pytest
import torch

from esper.policy.actor_critic import ActorCritic
from esper.policy.learned import LearnedPolicy
from esper.signals.node_features import NodeFeature
from tests.unit.policy.learned import grown, learned_policy
from tests.unit.policy.planned import make_birth, measured_slot, seen


def trained(*, health: bool) -> LearnedPolicy:
    """Return a policy whose network prefers dead units, where it is shown them."""
    policy = learned_policy(ActorCritic(pretrained=None, health=health), linear_gain=1.0)
    net: Any = policy.learned.net
    with torch.no_grad():
        net.actor.weight.fill_(1.0)
        if health:
            net.slot.weight[:, NodeFeature.DEAD_UNITS] = -9.0  # 1 is alive, -1 is dead
        net.wait.bias.fill_(-99.0)
    return policy


@pytest.mark.parametrize("health", [False, True])
def test_health_decides_only_where_it_is_shown(health: bool) -> None:
    policy = trained(health=health)
    asked = set()
    for sick in "abc":
        slots = (
            measured_slot(name, make_birth(), dead_units=float(name == sick)) for name in "abc"
        )
        decisions = policy.decide(seen(*slots, events_left=1))
        asked.update(grown(decisions))
    assert len(asked) == (3 if health else 1)


def test_an_untrained_network_waits() -> None:
    policy = learned_policy(ActorCritic(pretrained=None), linear_gain=1.0)
    assert policy.name == "actor_critic"
    assert grown(policy.decide(seen(measured_slot("a", make_birth(), linear_gain=0.9)))) == []


def test_an_untrained_network_waits_and_says_that_it_is_untrained() -> None:
    policy = learned_policy(ActorCritic(pretrained=None), linear_gain=1.0)
    slot = measured_slot("a", make_birth("mlp"), linear_gain=0.5)
    (decision,) = policy.decide(seen(slot))
    assert decision.reason == (
        "the network prefers to wait, by 0 (it is untrained: policy.pretrained)"
    )
