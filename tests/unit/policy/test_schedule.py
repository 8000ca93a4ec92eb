import pytest

from esper.contracts.decision import DecisionKind
from esper.policy.schedule import Schedule
from tests.unit.policy.builders import World, make_observation, make_slot


def test_it_grows_by_the_calendar_slot_after_slot_whatever_the_loss_does() -> None:
    for accuracy in (lambda epoch: 0.5, lambda epoch: epoch / 50):
        world = World(Schedule().build(0), num_slots=2, accuracy=accuracy).run()
        grown = [(epoch, d.slot) for epoch, d in world.of_kind(DecisionKind.ADAPT)]
        assert grown == [(4, "block0"), (7, "block1"), (10, "block0")]


def test_a_slot_at_rest_passes_its_turn() -> None:
    slots = (make_slot("a", rests_until=99), make_slot("b"), make_slot("c"))
    (decision,) = Schedule().build(0).decide(make_observation(slots=slots))
    assert decision.slot == "b"


def test_a_slot_that_cannot_be_served_does_not_starve_the_others() -> None:
    policy = Schedule().build(0)
    slots = tuple(make_slot(name) for name in "abc")
    asked = [policy.decide(make_observation(epoch=e, slots=slots))[0].slot for e in range(10, 14)]
    assert asked == ["a", "b", "c", "a"]


def test_bad_fractions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"policy.fractions"):
        Schedule(fractions=(0.1, 1.5))
