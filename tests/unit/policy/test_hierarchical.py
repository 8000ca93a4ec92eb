"""Decisions of a network of two levels."""

from esper.policy.hierarchical import Hierarchical
from tests.unit.policy.learned import Fixed, grown, learned_policy
from tests.unit.policy.planned import make_birth, measured_slot, seen


def test_an_untrained_network_grows_the_best_offers_of_the_gain_model() -> None:
    slots = [
        measured_slot(name, make_birth(), linear_gain=gain)
        for name, gain in (("a", 0.1), ("b", 0.3), ("c", 0.2))
    ]
    policy = learned_policy(Hierarchical(pretrained=None, caution=0.0), linear_gain=1.0)
    assert policy.name == "hierarchical"
    assert grown(policy.decide(seen(*slots))) == [("b", "mlp"), ("c", "mlp")]
    policy.judge = Fixed(0.5, 0.4, 0.3, 0.2)
    assert grown(policy.decide(seen(*slots))) == []
