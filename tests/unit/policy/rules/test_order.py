from dataclasses import replace

import pytest

from esper.contracts.slot import SlotState
from esper.contracts.stage import SeedStage
from esper.policy.rules.counters import SettledTrials, UnmetRequests
from esper.policy.rules.order import most_promising, offers
from esper.policy.rules.penalties import Penalties, PenaltyRules
from tests.unit.policy.builders import make_outcome, make_seed, make_slot


def slot(name: str, score: float | None = None, tried: int = 0) -> SlotState:
    return make_slot(name, seeds=(make_seed(activations=tried), make_seed()), score=score)


def trials(*settled: tuple[str, bool, float | None]) -> SettledTrials:
    """Return the trials of slots, whether each was kept, and its gain."""
    counted = SettledTrials()
    for name, kept, gain in settled:
        counted.add(make_outcome(fossilized=kept, slot=name, gain=gain))
    return counted


def chosen(
    *slots: SlotState,
    settled: SettledTrials | None = None,
    culled: tuple[str, ...] = (),
    **unmet: int,
) -> str:
    penalties = Penalties(PenaltyRules())
    for name in culled:
        penalties.add(name)
    counts = settled or SettledTrials(), UnmetRequests(unmet), penalties
    return most_promising(list(slots), *counts).spec.name


def test_without_scores_and_trials_the_first_of_the_least_tried_grows() -> None:
    assert chosen(slot("a", tried=2), slot("b", tried=1), slot("c", tried=1)) == "b"


def test_the_highest_score_grows_first() -> None:
    assert chosen(slot("a", 1.0), slot("b", 3.0), slot("c", 2.0)) == "b"


def test_an_unknown_score_counts_as_the_average_of_the_others() -> None:
    # The average of 1 and 3 is 2.
    assert chosen(slot("a", 1.0), slot("b"), slot("c", 3.0)) == "c"
    assert chosen(slot("a", 1.0, tried=1), slot("b"), slot("c", 3.0), c=1) == "b"
    assert chosen(slot("a", float("nan")), slot("b", 1.0), slot("c", 3.0)) == "c"


def test_of_slots_that_are_equal_else_the_one_with_the_cheapest_kernel_grows() -> None:
    dear, cheap = (replace(slot(n), least_flops=f) for n, f in (("a", 3.0), ("b", 2.0)))
    assert chosen(dear, cheap) == "b"
    assert chosen(replace(dear, score=2.0), replace(cheap, score=1.0)) == "a"


def test_a_failed_trial_halves_the_promise() -> None:
    settled = trials(("a", False, -0.01))
    slots = [slot("a", 3.0, tried=1), slot("b", 2.0, tried=1)]
    assert chosen(*slots, settled=settled) == "b"
    higher = [slot("a", 5.0, tried=1), slot("b", 2.0, tried=1)]
    assert chosen(*higher, settled=settled) == "a"


def test_no_second_failed_trial_comes_before_the_others_had_theirs() -> None:
    settled = trials(("a", False, -0.01))
    assert chosen(slot("a", 99.0, tried=1), slot("b", 0.1), settled=settled) == "b"
    # The open trial of 'b' counts, and so does a request that could not be met.
    assert chosen(slot("a", 99.0, tried=1), slot("b", 0.1, tried=1), settled=settled) == "a"
    assert chosen(slot("a", 99.0, tried=1), slot("b", 0.1), settled=settled, b=1) == "a"
    assert chosen(slot("a", 99.0, tried=1), settled=settled) == "a"


def test_a_third_failed_trial_comes_after_the_second_of_the_others() -> None:
    settled = trials(("a", False, -0.01), ("a", False, -0.01))
    assert chosen(slot("a", 99.0, tried=2), slot("b", 0.1, tried=1), settled=settled) == "b"


def test_a_kept_trial_is_no_failed_one() -> None:
    settled = trials(("a", True, 0.05))
    assert chosen(slot("a", 3.0, tried=1), slot("b", 2.0), settled=settled) == "a"


def test_of_equal_promise_the_untried_then_the_larger_mean_gain_decides() -> None:
    settled = trials(("a", True, 0.01), ("b", True, 0.02), ("b", True, 0.06))
    a, b = slot("a", tried=1), slot("b", tried=2)
    assert chosen(a, b, settled=settled) == "b"
    assert chosen(a, b, slot("c"), settled=settled) == "c"


def test_unmet_requests_lower_the_promise() -> None:
    assert chosen(slot("a", 3.0), slot("b", 2.0), a=1) == "b"


@pytest.mark.parametrize("score", [0.0, None])
def test_scores_of_zero_or_none_leave_the_order_of_slots(score: float | None) -> None:
    assert chosen(slot("a", score), slot("b", score)) == "a"


def test_a_penalty_lowers_the_promise_of_the_slot_that_offers_the_blueprint() -> None:
    # One cull of `mlp` divides the promise of a slot that offers nothing else by 1 + 2.
    only = make_slot("a", seeds=(make_seed(bound="mlp"),), score=2.0)
    assert chosen(only, slot("b", 1.0)) == "a"
    assert chosen(only, slot("b", 1.0), culled=("mlp",)) == "b"
    assert chosen(only, slot("b", 0.6), culled=("mlp",)) == "a"
    # Slot 'b' offers `affine` too.
    assert chosen(slot("b", 1.0), only, culled=("mlp",)) == "b"


def test_a_slot_whose_every_offer_is_barred_comes_last() -> None:
    only = make_slot("a", seeds=(make_seed(bound="mlp"),), score=99.0)
    assert chosen(only, slot("b", 1.0), culled=("mlp",) * 2) == "b"
    assert chosen(only, culled=("mlp",) * 2) == "a"


def test_a_slot_offers_what_its_dormant_seeds_are_bound_to() -> None:
    live = make_seed(SeedStage.TRAINING, bound="lora")
    assert offers(make_slot(seeds=(live, make_seed(bound="mlp"), make_seed()))) == ["mlp", "affine"]
