"""The networks of learned policies, on small situations."""

from typing import Any

import pytest
import torch
from torch import nn

from esper.contracts.errors import ConfigError
from esper.learning.options import NetShape
from esper.learning.situation import Situation, collate
from esper.policy.networks.net_file import NetConfig
from esper.policy.networks.shape import TEMPERATURE, Dropout, InputSizes
from tests.unit.learning.situations import make_situation

SIZES = InputSizes(run=2, node=3, edge=2, offer=2)
KINDS = ("gnn", "hierarchical", "actor_critic")
every_kind = pytest.mark.parametrize("kind", KINDS)


def make_net(kind: str, dropout: float = 0.0, **changes: Any) -> nn.Module:
    """Return a network whose heads are not 0."""
    torch.manual_seed(0)
    shape = NetShape(hidden=8, layers=2, heads=2)
    config = NetConfig(kind=kind, sizes=SIZES, shape=shape, dropout=dropout, **changes)
    net = config.build()
    with torch.no_grad():
        for each in net.parameters():
            if each.numel() > 1:
                each.copy_(0.3 * torch.randn_like(each))
    return net.eval()


def situations() -> list[Situation]:
    return [
        make_situation(0.01, -0.02, 0.03, slots=3),
        make_situation(0.02, 0.01, allowed=torch.tensor([False, True])),
        make_situation(0.02, allowed=torch.tensor([False])),
    ]


@every_kind
def test_probabilities_add_up_to_1_and_are_0_where_not_allowed(kind: str) -> None:
    said = make_net(kind)(collate(situations()))
    chances = said.log_probs.exp()
    assert chances.sum(1).tolist() == pytest.approx([1.0, 1.0, 1.0])
    assert chances[1, [1, 3]].tolist() == [0.0, 0.0]
    assert chances[2].tolist() == [1.0, 0.0, 0.0, 0.0]
    assert (chances[0] > 0).all()
    assert said.ranks[1:, 1].tolist() == [-torch.inf, -torch.inf]
    assert (said.values.shape, said.risks.shape) == ((3,), (6,))


@every_kind
def test_a_situation_is_judged_alike_alone_and_in_a_batch(kind: str) -> None:
    net, together = make_net(kind), make_net(kind)(collate(situations()))
    for row, each in enumerate(situations()):
        alone = net(collate([each]))
        width = alone.ranks.shape[1]
        torch.testing.assert_close(alone.ranks[0], together.ranks[row, :width])
        torch.testing.assert_close(alone.log_probs[0], together.log_probs[row, :width])
        torch.testing.assert_close(alone.values[0], together.values[row])


@every_kind
def test_gradients_are_finite_where_offers_are_masked(kind: str) -> None:
    net = make_net(kind)
    said = net(collate(situations()))
    actions = torch.tensor([2, 2, 0])
    torch.autograd.backward(said.log_probs.gather(1, actions[:, None]).sum())
    gradients = [each.grad for each in net.parameters() if each.grad is not None]
    assert gradients
    assert all(bool(each.isfinite().all()) for each in gradients)
    assert any(bool(each.any()) for each in gradients)


@pytest.mark.parametrize("kind", ["gnn", "hierarchical"])
def test_an_untrained_network_ranks_as_the_gain_model_does(kind: str) -> None:
    shape = NetShape(hidden=8, layers=2, heads=2)
    net = NetConfig(kind=kind, sizes=SIZES, shape=shape).build()
    said = net(collate([make_situation(0.01, -0.02, 0.03)]))
    expected = torch.tensor([0.0, 0.01, -0.02, 0.03]) / TEMPERATURE
    torch.testing.assert_close(said.ranks[0], expected)
    assert said.values.tolist() == [0.0]


def test_two_levels_decide_first_whether_and_then_where() -> None:
    shape = NetShape(hidden=8, layers=0, heads=2)
    net = NetConfig(kind="hierarchical", sizes=SIZES, shape=shape).build()
    chances = net(collate([make_situation(0.01, 0.02)])).log_probs[0].exp()
    grows = torch.sigmoid(torch.tensor(2.0))
    where = torch.tensor([1.0, 2.0]).softmax(0)
    torch.testing.assert_close(chances, torch.cat([(1 - grows)[None], grows * where]))


@pytest.mark.parametrize("kind", ["gnn", "hierarchical"])
def test_a_slot_hears_of_the_others_along_the_data_flow(kind: str) -> None:
    net = make_net(kind)
    plain = make_situation(0.0, 0.0, 0.0, slots=3)
    nodes = plain.nodes.clone()
    nodes[2] = torch.tensor([9.0, -9.0, 0.0])

    def first(edges: list[list[int]]) -> torch.Tensor:
        near = make_situation(0.0, 0.0, 0.0, slots=3, edges=torch.tensor(edges))
        far = make_situation(0.0, 0.0, 0.0, slots=3, edges=torch.tensor(edges), nodes=nodes)
        states = [net.encode(collate([each]), None)[0] for each in (near, far)]
        return states[1] - states[0]

    assert torch.equal(first([[0], [1]]), torch.zeros(8))
    assert first([[2], [0]]).abs().max() > 1e-3


@every_kind
def test_dropout_needs_a_generator_and_leaves_the_mode_alone(kind: str) -> None:
    net, batch = make_net(kind, dropout=0.5), collate(situations()[:1])
    for mode in (True, False):
        net.train(mode)
        plain = [net(batch).ranks for _ in range(2)]
        assert torch.equal(*plain)
        drawn = [net(batch, torch.Generator().manual_seed(seed)).ranks for seed in (1, 1, 2)]
        assert torch.equal(drawn[0], drawn[1])
        assert not torch.equal(drawn[0], drawn[2])
        assert not torch.equal(drawn[0], plain[0])
        assert net.training is mode


def test_dropout_keeps_the_mean() -> None:
    kept = Dropout(0.25)(torch.ones(100_000), torch.Generator().manual_seed(0))
    assert kept.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert float(kept.mean()) == pytest.approx(1.0, abs=0.01)


def test_the_plain_network_is_blind_to_health_unless_it_is_shown() -> None:
    health = make_situation(0.0, 0.0)
    other = make_situation(0.0, 0.0, nodes=health.nodes + torch.tensor([5.0, 0.0, 0.0]))
    for reads, is_same in ((False, True), (True, False)):
        net = make_net("actor_critic", blind_from=1, reads_health=reads)
        one, two = (net(collate([each])).ranks for each in (health, other))
        assert torch.equal(one, two) is is_same


def test_the_plain_network_refuses_seeds_beyond_its_outputs() -> None:
    net = make_net("actor_critic")
    situation = make_situation(0.0, seeds=torch.tensor([16]))
    with pytest.raises(ConfigError, match="knows at most 16 seeds of a slot, this has 17"):
        net(collate([situation]))
