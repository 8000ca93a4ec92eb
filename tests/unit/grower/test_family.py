"""The task family of example inputs."""

import math
from typing import Any

import pytest
import torch

from esper.attribution.options import Attribution
from esper.contracts.decision import DecisionKind
from esper.grower.family import family_of, reward_model_of
from esper.policy.rules.verdict import VerdictRules
from esper.reward.gain import Gain
from esper.reward.multi_metric import MultiMetric
from esper.store.memory import Memory
from tests.unit.scripted import EPOCHS, adapt, losses, make_grower, script, train, verdict


def test_the_family_is_the_kind_of_a_sample() -> None:
    assert family_of(torch.zeros(4, 8)) == "vector"
    assert family_of(torch.zeros(4, 3, 8, 8)) == "image"
    assert family_of(torch.zeros(4, 16, dtype=torch.int64)) == "tokens"
    assert family_of(torch.zeros(4, 16, 8)) == "3d"
    assert family_of(torch.zeros(4, 3, 8, 8, dtype=torch.uint8)) == "image"


def test_the_entries_of_a_grower_name_family_reward_model_and_context() -> None:
    grower, _ = make_grower(
        policy=script(e2=[adapt("0", 1)], e4=[verdict(DecisionKind.CULL, "0", 0)]), reward="gain"
    )
    for _ in range(4):
        train(grower.host.model, grower.host.optimizer)
        report = grower.step(losses)
        if report.metrics.epoch == 2:
            loss = report.metrics.val_loss
            rate = grower.host.optimizer.param_groups[0]["lr"]
    (entry,) = grower.ledger.entries_of_run()
    assert (entry.task_family, entry.reward_model) == ("vector", "gain")
    expected = (1.0, loss / (1 + loss), 1 + math.log10(rate) / 6, 2 / EPOCHS)
    assert entry.context == pytest.approx(expected, abs=1e-4)


def test_a_family_of_ones_own_is_named() -> None:
    grower, _ = make_grower(task_family="speech")
    assert grower.ledger.task_family == "speech"


def test_rewards_of_another_scale_are_of_another_model() -> None:
    rules = VerdictRules()
    assert reward_model_of(MultiMetric(), Attribution(), rules) == "multi_metric"
    assert reward_model_of(MultiMetric(scale=10), Attribution(), rules) == "multi_metric scale=10"
    wall = MultiMetric(accuracy_weight=5.0, clock="wall")
    assert (
        reward_model_of(wall, Attribution(method="twin"), rules)
        == "multi_metric accuracy_weight=5 clock=wall method=twin"
    )


@pytest.mark.parametrize(
    ("attribution", "rules", "name"),
    [
        ({}, {"price": 0.02}, "gain price=0.02"),
        ({"min_gain": 0.01}, {}, "gain least=0.01"),
        ({"min_gain": 0.01}, {"min_improvement_to_fossilize": 0.03}, "gain least=0.03"),
        # Both methods have a least gain of their own, which is no change.
        ({"method": "twin"}, {}, "gain method=twin"),
        ({"min_gain": 0.005}, {"min_improvement_to_fossilize": 0.001}, "gain"),
    ],
)
def test_rewards_above_another_bar_are_of_another_model(
    attribution: dict[str, Any], rules: dict[str, Any], name: str
) -> None:
    assert reward_model_of(Gain(), Attribution(**attribution), VerdictRules(**rules)) == name


def test_the_shipped_prior_speaks_only_of_rewards_and_gains_of_its_own_scale() -> None:
    def knows(**options: Any) -> bool:
        grower, _ = make_grower(store=Memory(), **options)
        return bool(grower.ledger.state_dict()["expected"])

    assert knows()
    assert knows(reward="gain")
    assert not knows(reward=Gain(scale=50.0))
    assert not knows(attribution=Attribution(method="ablation"))
    assert not knows(task_family="speech")
