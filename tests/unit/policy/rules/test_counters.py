import json
import math
from dataclasses import asdict

import pytest

from esper.contracts.observation import Observation
from esper.contracts.stage import SeedStage
from esper.policy.rules.counters import (
    GerminationCounter,
    SettledTrials,
    UnmetRequests,
    last_change,
)
from tests.unit.policy.builders import make_observation, make_outcome, make_seed, make_slot


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


def test_a_counter_continues_from_its_state() -> None:
    counter = GerminationCounter()
    counter.update(after(1, 0))
    other = GerminationCounter(**json.loads(json.dumps(asdict(counter))))
    assert other.update(after(1, 0)) == 1
    assert other.update(after(1, 1)) == 2


def test_only_a_request_that_led_to_no_germination_is_unmet() -> None:
    requests = UnmetRequests()
    requests.update(after(0, 0))
    assert requests["block"] == 0
    requests.ask(after(0, 0).slots[0])
    requests.update(after(1, 0))
    assert requests["block"] == 0
    requests.ask(after(1, 0).slots[0])
    requests.update(after(1, 0))
    requests.update(after(1, 0))
    assert requests["block"] == 1


def test_an_open_request_survives_a_save() -> None:
    requests = UnmetRequests()
    requests.ask(after(0, 0).slots[0])
    other = UnmetRequests(**json.loads(json.dumps(asdict(requests))))
    other.update(after(0, 0))
    assert other["block"] == 1


def test_trials_are_counted_by_slot_with_their_mean_gain() -> None:
    trials = SettledTrials()
    for slot, kept, gain in (("a", True, 0.06), ("a", False, -0.02), ("a", False, None)):
        trials.add(make_outcome(fossilized=kept, slot=slot, gain=gain))
    trials.add(make_outcome(slot="b", gain=math.nan))
    assert (trials.settled, trials.failed) == ({"a": 3, "b": 1}, {"a": 2, "b": 1})
    assert trials.mean_gain("a") == pytest.approx(0.02)
    assert trials.mean_gain("b") is None
    assert trials.mean_gain("c") is None


def test_events_in_a_row_without_gain_are_counted_until_one_gains() -> None:
    trials, seen = SettledTrials(), []
    for gain, rolled_back in (
        (0.0, False),
        (-0.1, False),
        (None, False),
        (0.2, True),
        (0.001, False),
        (-0.1, False),
    ):
        began = len(seen) + 1
        trials.add(make_outcome(gain=gain, rolled_back=rolled_back, germinated_epoch=began))
        seen.append(trials.fruitless)
    assert seen == [1, 2, 3, 4, 0, 1]


def fruitless(*settled: tuple[str, int, float]) -> list[int]:
    """Return the count after each of some trials, of a slot, an epoch and a gain."""
    trials, seen = SettledTrials(), []
    for slot, began, gain in settled:
        trials.add(make_outcome(slot=slot, germinated_epoch=began, gain=gain))
        seen.append(trials.fruitless)
    return seen


def test_trials_of_one_event_count_once() -> None:
    assert fruitless(("a", 4, -0.1), ("a", 4, -0.1), ("a", 4, -0.1)) == [1, 1, 1]
    assert fruitless(("a", 4, -0.1), ("a", 9, -0.1), ("b", 9, -0.1)) == [1, 2, 3]


def test_trials_of_an_event_count_once_with_those_of_another_slot_in_between() -> None:
    seen = fruitless(("a", 4, -0.1), ("b", 5, -0.1), ("a", 4, -0.1), ("b", 5, -0.1))
    assert seen == [1, 2, 2, 2]


@pytest.mark.parametrize("order", [(-0.1, 0.1), (0.1, -0.1)])
def test_an_event_with_one_success_is_not_fruitless_in_any_order(order: tuple[float, ...]) -> None:
    seen = fruitless(("b", 2, -0.1), *(("a", 4, gain) for gain in order))
    assert seen[-1] == 0
    # The next event counts again.
    again = fruitless(("b", 2, -0.1), *(("a", 4, gain) for gain in order), ("a", 9, -0.1))
    assert again[-1] == 1


def test_settled_trials_survive_a_save() -> None:
    trials = SettledTrials()
    trials.add(make_outcome(slot="a", gain=0.0))
    other = SettledTrials(**json.loads(json.dumps(asdict(trials))))
    assert other == trials
    other.add(make_outcome(slot="a", gain=0.0))
    assert (other.fruitless, other.settled) == (1, {"a": 2}), "of the same event"
    other.add(make_outcome(slot="a", gain=0.0, germinated_epoch=2))
    assert (other.fruitless, other.settled) == (2, {"a": 3})


def test_the_last_change_is_the_latest_germination_or_cull_anywhere() -> None:
    used = make_slot("a", seeds=(make_seed(SeedStage.TRAINING, last_used_epoch=6),))
    culled = make_slot("b", last_cull_epoch=8)
    assert last_change(make_observation(slots=(make_slot(),))) == 0
    assert last_change(make_observation(slots=(used,))) == 6
    assert last_change(make_observation(slots=(used, culled))) == 8
