import json
from collections import Counter

import pytest

from esper.contracts.decision import DecisionKind
from esper.policy.random import Random
from tests.unit.policy.builders import World, make_observation, make_slot

ADAPT = DecisionKind.ADAPT


@pytest.mark.parametrize("events", [0, 1, 3, 5])
def test_it_grows_exactly_as_often_as_asked(events: int) -> None:
    for rng_seed in range(20):
        world = World(Random(events=events).build(rng_seed), num_slots=6).run()
        assert len(world.of_kind(ADAPT)) == events


def test_epochs_and_slots_are_spread_over_the_window_and_the_host() -> None:
    epochs: Counter[int] = Counter()
    slots: Counter[str | None] = Counter()
    for rng_seed in range(200):
        policy = Random(events=1).build(rng_seed)
        ((epoch, decision),) = World(policy, num_slots=4).run().of_kind(ADAPT)
        epochs[epoch] += 1
        slots[decision.slot] += 1
    assert set(epochs) == set(range(1, 25))
    # 50 expected of 200 with a standard deviation of 6.1: 5 of them on either side.
    assert len(slots) == 4
    assert all(20 <= count <= 80 for count in slots.values())


def test_an_event_without_a_slot_is_made_up_for() -> None:
    policy = Random(events=1).build(0)
    resting = make_observation(epoch=23, slots=(make_slot(rests_until=24),))
    (decision,) = policy.decide(resting)
    assert decision.kind is DecisionKind.WAIT
    (decision,) = policy.decide(make_observation(epoch=24))
    assert decision.kind is ADAPT


def test_a_short_run_gets_as_many_events_as_it_has_epochs_to_grow() -> None:
    # 60 % of 7 epochs are 4, but after epoch 2 no time is left for a trial.
    world = World(Random(events=9).build(0), epochs=7).run()
    assert [epoch for epoch, _ in world.of_kind(ADAPT)] == [1, 2]


def test_it_draws_in_the_chosen_share_of_the_budget() -> None:
    world = World(Random(events=9, grow_until=0.1).build(0), num_slots=6).run()
    assert [epoch for epoch, _ in world.of_kind(ADAPT)] == [1, 2, 3, 4]


def test_its_chance_is_its_own_seed() -> None:
    runs = [World(Random().build(seed)).run().of_kind(ADAPT) for seed in (0, 0, 1)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_the_drawn_epochs_survive_a_save_even_for_a_longer_run() -> None:
    policy, resumed = Random().build(0), Random().build(99)
    World(policy).run(epochs=1)
    resumed.load_state_dict(json.loads(json.dumps(policy.state_dict())))
    longer = World(resumed, epochs=400).run()
    assert all(epoch <= 24 for epoch, _ in longer.of_kind(ADAPT))


@pytest.mark.parametrize(
    ("changes", "key"),
    [({"events": -1}, "policy.events"), ({"grow_until": -0.1}, "policy.grow_until")],
)
def test_a_bad_key_is_refused(changes: dict[str, float], key: str) -> None:
    with pytest.raises(ValueError, match=key):
        Random(**changes)  # type: ignore[arg-type]
