import math

from esper.contracts.observation import SeedWindow
from esper.contracts.stage import SeedStage
from esper.signals.windows import extended, finite_or_none
from tests.unit.policy.builders import make_seed, make_slot


def test_a_window_is_bounded_and_oldest_first() -> None:
    seen: tuple[SeedWindow, ...] = ()
    for gain in (0.01, 0.02, None, 0.04):
        slot = make_slot(seeds=(make_seed(SeedStage.SHADOWING, gain=gain),))
        seen = extended(seen, (slot,), length=3)
    assert seen[0].gains == (0.02, None, 0.04)


def test_a_seed_that_germinates_again_starts_an_empty_window() -> None:
    slot = make_slot(seeds=(make_seed(SeedStage.SHADOWING, gain=0.5),))
    again = make_seed(SeedStage.TRAINING, gain=None, activations=2)
    (window,) = extended(extended((), (slot,), 10), (make_slot(seeds=(again,)),), 10)
    assert (window.activation, window.gains) == (2, (None,))


def test_seeds_of_the_same_index_in_two_slots_do_not_mix() -> None:
    slots = tuple(
        make_slot(name, seeds=(make_seed(SeedStage.SHADOWING, gain=gain),))
        for name, gain in (("a", 0.1), ("b", 0.2))
    )
    seen = extended(extended((), slots, 10), slots, 10)
    assert [(w.slot, w.gains) for w in seen] == [("a", (0.1, 0.1)), ("b", (0.2, 0.2))]


def test_a_seed_that_is_no_longer_live_leaves_nothing_behind() -> None:
    seen = extended((), (make_slot(seeds=(make_seed(SeedStage.SHADOWING),)),), 10)
    assert len(seen) == 1
    assert extended(seen, (make_slot(seeds=(make_seed(SeedStage.FOSSILIZED),)),), 10) == ()


def test_only_finite_numbers_are_known() -> None:
    values = (0.0, None, math.nan, -math.inf)
    assert [finite_or_none(x) for x in values] == [0.0, None, None, None]
