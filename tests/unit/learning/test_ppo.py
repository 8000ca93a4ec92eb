"""Updates of a network of four numbers."""

import copy
import math
from typing import Any

import pytest
import torch

from esper.contracts.errors import DataError
from esper.learning.options import PPO
from esper.learning.ppo import Experience, optimizer_of, update
from esper.learning.situation import collate
from tests.unit.learning.situations import Scores, make_situation

SURE = make_situation(1.0, -1.0)


def experience(net: Scores, action: int, advantage: float, **changes: Any) -> Experience:
    """Return an experience whose probability is that of the network."""
    log_prob = net(collate([SURE])).log_probs[0, action].item()
    values = {"situation": SURE, "log_prob": log_prob, "outcome": advantage}
    return Experience(action=action, advantage=advantage, **{**values, **changes})


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def learned(net: Scores, experiences: list[Experience], **options: Any) -> Any:
    given = PPO(**{"rate": 0.05, "entropy": 0.0, **options})
    return update(net, optimizer_of(net, given), experiences, given, generator())


def test_what_paid_becomes_more_probable_and_what_cost_less() -> None:
    net = Scores()
    before = net(collate([SURE])).log_probs.exp()[0]
    assert before.tolist() == pytest.approx([1 / 3] * 3)
    found = learned(net, [experience(net, 1, 1.0), experience(net, 2, -1.0)])
    after = net(collate([SURE])).log_probs.exp()[0]
    assert after[1] > before[1] + 0.02
    assert after[2] < before[2] - 0.02
    assert found.kl > 0
    assert found.passes == 4
    assert found.refused == ""


def test_the_first_step_follows_the_advantages_by_the_gradient_of_the_probability() -> None:
    # d/d factor of ln p(1) = 1 - (p1 - p2) = 1, and of ln p(2) = -1; the advantages are 1 and -1.
    net = Scores()
    given = PPO(passes=1, batch_size=2, entropy=0.0, value_weight=0.0, gradient_limit=9.0)
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    update(net, sgd, [experience(net, 1, 1.0), experience(net, 2, -1.0)], given, generator())
    assert net.factor.item() == pytest.approx(0.1)
    assert net.wait.item() == pytest.approx(0.0)


def test_a_policy_that_does_not_move_has_ratios_of_1() -> None:
    net = Scores(factor=0.7, wait=0.2)
    found = learned(net, [experience(net, a, 0.5) for a in (0, 1, 2)], rate=1e-12)
    assert (found.kl, found.clip_fraction) == (pytest.approx(0, abs=1e-6), 0.0)
    assert found.effective_share == pytest.approx(1.0)


def test_beyond_the_clip_nothing_is_gained() -> None:
    net = Scores()
    taken = experience(net, 1, 1.0, log_prob=math.log(1 / 3 / 1.5))
    others = experience(net, 0, -1.0, log_prob=math.log(1 / 3 * 1.5))
    before = copy.deepcopy(net.state_dict())
    # Ratios of 1.5 with an advantage, and of 1 / 1.5 without, have no gradient.
    found = learned(net, [taken, others], value_weight=0.0, weight_decay=0.0, risk_weight=0.0)
    assert found.clip_fraction == 1.0
    assert all(torch.equal(before[name], each) for name, each in net.state_dict().items())


def test_the_value_comes_to_expect_the_outcomes() -> None:
    net = Scores()
    experiences = [experience(net, 0, 0.0, outcome=2.0), experience(net, 1, 0.0, outcome=4.0)]
    first = learned(net, experiences, rate=0.3, gradient_limit=10.0)
    second = learned(net, experiences, rate=0.3, gradient_limit=10.0)
    assert second.value_loss < first.value_loss < 10.0
    assert 0.5 < net.level.item() < 3.5


def test_the_entropy_keeps_a_policy_open() -> None:
    kept, narrow = Scores(), Scores()
    for net, weight in ((kept, 1.0), (narrow, 0.0)):
        experiences = [experience(net, 1, 1.0), experience(net, 2, -1.0)]
        learned(net, experiences, entropy=weight, passes=20, most_kl=9.0)
    assert kept.factor.item() < narrow.factor.item()


def test_a_least_entropy_doubles_its_weight() -> None:
    nets = {least: Scores(factor=3.0) for least in (0.0, 2.0)}
    for least, net in nets.items():
        experiences = [experience(net, a, 0.0) for a in (0, 1)]
        given = PPO(passes=1, entropy=0.1, least_entropy=least, value_weight=0.0)
        update(net, torch.optim.SGD(net.parameters(), lr=1.0), experiences, given, generator())
    fallen = {least: 3.0 - net.factor.item() for least, net in nets.items()}
    assert fallen[0.0] > 0.01
    assert fallen[2.0] == pytest.approx(2 * fallen[0.0], rel=1e-4)


def test_the_risk_learns_which_kernels_failed() -> None:
    net = Scores()
    failed = [experience(net, 1, 0.0, has_failed=True), experience(net, 0, 0.0)]
    learned(net, failed)
    assert net.risk.item() > 0.05
    learned(net, [experience(net, 1, 0.0, has_failed=False)] * 2, passes=20)
    assert net.risk.item() < 0


@pytest.mark.parametrize("key", ["safety_penalty", "uncertainty_penalty"])
def test_a_penalty_makes_costly_offers_less_probable(key: str) -> None:
    net = Scores()
    with torch.no_grad():
        net.risk.fill_(4.0)  # a risk of 0.98
    experiences = [experience(net, a, 0.0) for a in (0, 1)]
    learned(net, experiences, max_risk=0.9, risk_weight=0.0)
    assert net.wait.item() == pytest.approx(0.0)
    learned(net, experiences, max_risk=0.9, risk_weight=0.0, **{key: 2.0})
    assert net.wait.item() > 0.05


def test_the_divergence_from_the_network_before_learning_is_that_of_the_formula() -> None:
    # At equal probabilities the gradient by the factor f of p = softmax(0, f, -f) is that of
    # sum p ln(p / q): dp1 ln(p1 / q1) + dp2 ln(p2 / q2), dp1 = 1/3, dp2 = -1/3.
    net, first = Scores(), Scores(factor=0.5)
    q = torch.tensor([0.0, 0.5, -0.5]).softmax(0)
    slope = float(q[2].log() - q[1].log()) / 3
    given = PPO(passes=1, entropy=0.0, value_weight=0.0, anchor=2.0, gradient_limit=9.0)
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    update(net, sgd, [experience(net, a, 0.0) for a in (0, 1)], given, generator(), first)
    assert slope == pytest.approx(-1 / 3)
    assert net.factor.item() == pytest.approx(-0.1 * 2.0 * slope)


def test_an_anchor_holds_a_policy_near_the_network_before_learning() -> None:
    nets = {}
    for anchor in (0.0, 1.0):
        nets[anchor], first = Scores(), Scores()
        given = PPO(rate=0.05, entropy=0.0, anchor=anchor, passes=40, most_kl=9.0)
        net = nets[anchor]
        experiences = [experience(net, 1, 1.0), experience(net, 2, -1.0)]
        update(net, optimizer_of(net, given), experiences, given, generator(), first)
    assert 0.05 < nets[1.0].factor.item() < nets[0.0].factor.item()


def test_an_action_that_is_not_allowed_leaves_the_divergence_finite() -> None:
    net = Scores(factor=0.3)
    situation = make_situation(1.0, -1.0, allowed=torch.tensor([True, False]))
    barred = experience(net, 0, 1.0, situation=situation)
    found = learned(net, [barred], anchor=1.0)
    assert found.refused == ""
    assert math.isfinite(net.factor.item())


def test_a_pass_that_moves_too_far_is_taken_back() -> None:
    net = Scores()
    experiences = [experience(net, 1, 1.0), experience(net, 2, -1.0)]
    before = copy.deepcopy(net.state_dict())
    found = learned(net, experiences, rate=9.0, gradient_limit=100.0)
    assert found.refused.startswith("the divergence is ")
    assert found.passes == 0
    assert found.kl == pytest.approx(0.0)
    assert all(torch.equal(before[name], each) for name, each in net.state_dict().items())


def test_passes_up_to_one_that_moves_too_far_are_kept() -> None:
    net = Scores()
    experiences = [experience(net, 1, 1.0), experience(net, 2, -1.0)]
    found = learned(net, experiences, rate=0.1, passes=50, clip=0.9, most_kl=0.02)
    assert 0 < found.passes < 50
    assert 0 < found.kl <= 0.02


def test_a_collapsed_policy_is_taken_back() -> None:
    net = Scores(wait=12.0)
    experiences = [experience(net, 0, 1.0), experience(net, 1, -1.0)]
    found = learned(net, experiences, rate=5.0, gradient_limit=1e6, most_kl=1e9)
    assert found.refused.startswith("the policy has collapsed: its entropy is ")
    assert net.wait.item() == 12.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"log_prob": math.nan}, "a number that is not finite"),
        ({"outcome": math.inf}, "a number that is not finite"),
        ({"log_prob": 0.1}, "log_prob 0.1"),
        ({"weight": 0.0}, "weight 0.0"),
        ({"action": 3}, "an action that is not allowed: 3"),
        ({"situation": make_situation(1.0, allowed=torch.tensor([False]))}, "not allowed: 1"),
    ],
)
def test_experiences_that_cannot_be_are_refused(changes: dict[str, Any], words: str) -> None:
    values: dict[str, Any] = {"situation": SURE, "action": 1, "log_prob": -1.0, "outcome": 1.0}
    with pytest.raises(DataError, match=words):
        learned(Scores(), [Experience(advantage=1.0, **{**values, **changes})])
