import json
import math

from esper.contracts.stage import SeedStage
from esper.signals.windows import SeedWindows, finite_or_none
from tests.unit.policy.builders import make_seed, make_slot


def test_a_window_is_bounded_and_oldest_first() -> None:
    windows = SeedWindows(length=3)
    for gain in (0.01, 0.02, None, 0.04):
        seen = windows.update((make_slot(seeds=(make_seed(SeedStage.SHADOWING, gain=gain),)),))
    assert seen[0].gains == (0.02, None, 0.04)


def test_a_seed_that_germinates_again_starts_an_empty_window() -> None:
    windows = SeedWindows(length=10)
    windows.update((make_slot(seeds=(make_seed(SeedStage.SHADOWING, gain=0.5),)),))
    again = make_seed(SeedStage.TRAINING, gain=None, activations=2)
    (window,) = windows.update((make_slot(seeds=(again,)),))
    assert window.gains == (None,)


def test_seeds_of_the_same_index_in_two_slots_do_not_mix() -> None:
    slots = tuple(
        make_slot(name, seeds=(make_seed(SeedStage.SHADOWING, gain=gain),))
        for name, gain in (("a", 0.1), ("b", 0.2))
    )
    seen = SeedWindows(length=10).update(slots)
    assert [(window.slot, window.gains) for window in seen] == [("a", (0.1,)), ("b", (0.2,))]


def test_a_seed_that_is_no_longer_live_leaves_nothing_behind() -> None:
    windows = SeedWindows(length=10)
    windows.update((make_slot(seeds=(make_seed(SeedStage.SHADOWING),)),))
    assert windows.update((make_slot(seeds=(make_seed(SeedStage.FOSSILIZED),)),)) == ()
    assert windows.state_dict() == []


def test_a_saved_window_goes_on_and_stays_bounded() -> None:
    windows, resumed = SeedWindows(length=2), SeedWindows(length=2)
    slot = make_slot(seeds=(make_seed(SeedStage.SHADOWING, gain=0.1),))
    windows.update((slot,))
    resumed.load_state_dict(json.loads(json.dumps(windows.state_dict())))
    for _ in range(3):
        assert resumed.update((slot,)) == windows.update((slot,))


def test_only_finite_numbers_are_known() -> None:
    assert [finite_or_none(x) for x in (0.0, None, math.nan, -math.inf)] == [0.0, None, None, None]
