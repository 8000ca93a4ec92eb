from esper.contracts.decision import DecisionKind
from esper.policy.never import Never
from tests.unit.policy.builders import World


def test_it_never_grows_whatever_happens() -> None:
    world = World(Never().build(0), accuracy=lambda epoch: 0.5).run()
    assert {decision.kind for _, decision in world.decisions} == {DecisionKind.WAIT}
    assert len(world.decisions) == 40
