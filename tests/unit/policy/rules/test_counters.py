import json

from esper.contracts.observation import Observation
from esper.contracts.stage import SeedStage
from esper.policy.rules.counters import GerminationCounter, UnmetRequests, last_change
from tests.unit.policy.builders import make_observation, make_seed, make_slot


def after(*activations: int) -> Observation:
    seeds = tuple(make_seed(activations=times) for times in activations)
    return make_observation(slots=(make_slot(seeds=seeds),))


def test_an_event_is_an_epoch_in_which_anything_germinated() -> None:
    counter = GerminationCounter()
    seen = [counter.update(o) for o in (after(0, 0), after(1, 0), after(1, 0), after(2, 1))]
    assert seen == [0, 1, 1, 2]


def test_seeds_taken_back_take_no_event_and_the_next_one_counts() -> None:
    counter = GerminationCounter()
    seen = [counter.update(o) for o in (after(2, 0), after(0, 0), after(1, 0))]
    assert seen == [1, 1, 2]


def test_a_counter_goes_on_where_it_was() -> None:
    counter, other = GerminationCounter(), GerminationCounter()
    counter.update(after(1, 0))
    other.load_state_dict(json.loads(json.dumps(counter.state_dict())))
    assert other.update(after(1, 0)) == 1
    assert other.update(after(1, 1)) == 2


def test_only_a_request_that_led_to_no_germination_is_unmet() -> None:
    wishes = UnmetRequests()
    wishes.update(after(0, 0))
    assert wishes["block"] == 0
    wishes.ask(after(0, 0).slots[0])
    wishes.update(after(1, 0))
    assert wishes["block"] == 0
    wishes.ask(after(1, 0).slots[0])
    wishes.update(after(1, 0))
    wishes.update(after(1, 0))
    assert wishes["block"] == 1


def test_an_open_wish_survives_a_save() -> None:
    wishes, other = UnmetRequests(), UnmetRequests()
    wishes.ask(after(0, 0).slots[0])
    other.load_state_dict(json.loads(json.dumps(wishes.state_dict())))
    other.update(after(0, 0))
    assert other["block"] == 1


def test_the_last_change_is_the_latest_germination_or_cull_anywhere() -> None:
    used = make_slot("a", seeds=(make_seed(SeedStage.TRAINING, last_used_epoch=6),))
    culled = make_slot("b", last_cull_epoch=8)
    assert last_change(make_observation(slots=(make_slot(),))) == 0
    assert last_change(make_observation(slots=(used,))) == 6
    assert last_change(make_observation(slots=(used, culled))) == 8
