import math
from typing import Any

import pytest

from esper.attribution.options import Attribution, last_look_epoch
from esper.contracts.slot import Look
from esper.growth.options import Growth
from esper.safety.options import Safety


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"method": "x"}, "attribution.method must be one of muting, twin, ablation, got 'x'"),
        ({"mute_probability": 0.0}, r"attribution.mute_probability must be in \(0, 1\), got 0.0"),
        ({"mute_probability": 1.0}, r"attribution.mute_probability must be in \(0, 1\), got 1.0"),
        ({"mute_probability": math.nan}, r"attribution.mute_probability must be in \(0, 1\)"),
        ({"looks": ()}, r"attribution.looks must be rising whole numbers >= 1, or null, got \[\]"),
        ({"looks": (6, 4)}, r"attribution.looks must be rising .*, got \[6, 4\]"),
        ({"looks": (4, 4)}, r"attribution.looks must be rising .*, got \[4, 4\]"),
        ({"looks": (0, 4)}, r"attribution.looks must be rising .*, got \[0, 4\]"),
        ({"min_gain": 1.0}, r"attribution.min_gain must be in \[0, 1\) or null, got 1.0"),
        ({"min_gain": -0.1}, r"attribution.min_gain must be in \[0, 1\) or null, got -0.1"),
        ({"standard_errors": -1.0}, "attribution.standard_errors must be >= 0 and finite"),
        ({"standard_errors": math.inf}, "attribution.standard_errors must be >= 0 and finite"),
    ],
)
def test_what_cannot_be_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Attribution(**fields)


@pytest.mark.parametrize(
    ("method", "ages", "least", "shown"),
    [
        ("muting", (4, 6, 9), 0.005, 0.25),
        ("twin", (4, 6), 0.02, 1.0),
        ("ablation", (4, 6, 9), 0.005, 1.0),
    ],
)
def test_each_method_has_looks_and_a_bar_of_its_own(
    method: str, ages: tuple[int, ...], least: float, shown: float
) -> None:
    options = Attribution(method=method)
    assert (options.ages, options.least_gain) == (ages, least)
    bars = {"bar": least, "last_bar": least, "least": least}
    look = Look(epoch=10, age=4, is_last=False, shown=shown, **bars)
    assert options.due(4, 10, 50) == look
    given = Attribution(method=method, looks=(5,), min_gain=0.0)
    assert (given.ages, given.least_gain) == ((5,), 0.0)


@pytest.mark.parametrize(
    ("age", "epoch", "is_last"),
    [
        (3, 13, None),
        (4, 14, False),
        (5, 15, None),
        (6, 16, False),
        (8, 18, None),
        (9, 19, True),
        (10, 20, None),
        # 12 of 50 epochs before the end: the last look, unless the kernel is still too young.
        (5, 37, None),
        (3, 38, None),
        (4, 38, True),
        (5, 38, True),
        (7, 38, True),
        (9, 38, True),
        (4, 39, True),
        (4, 49, True),
        (3, 49, None),
        (5, 50, None),
    ],
)
def test_looks_are_at_their_ages_and_the_last_a_quarter_before_the_end(
    age: int, epoch: int, is_last: bool | None
) -> None:
    look = Attribution().due(age, epoch, epochs=50)
    assert (None if look is None else look.is_last) == is_last
    if look is not None:
        assert (look.age, look.epoch) == (age, epoch)


def test_fewer_standard_errors_are_asked_for_at_later_looks() -> None:
    options = Attribution(standard_errors=2.0)

    def bar(age: int, epoch: int) -> float:
        look = options.due(age, epoch, epochs=50)
        assert look is not None
        return options.bar(look, error=0.01)

    bars = [bar(age, 10 + age) for age in (4, 6, 9)]
    assert bars == pytest.approx([0.02 * math.sqrt(3), 0.02 * math.sqrt(3 / 2), 0.02])
    assert bar(5, 38) == 0.02, "the last look is put forward by the end"


def test_a_look_has_its_bar_and_the_one_it_would_have_as_the_last() -> None:
    options = Attribution(standard_errors=2.0)
    first = options.due(4, 14, epochs=50)
    assert first is not None
    look = options.with_bars(first, error=0.01)
    assert (look.bar, look.last_bar) == (pytest.approx(0.02 * math.sqrt(3)), 0.02)
    assert not look.is_last


def test_the_bar_is_never_under_the_least_gain() -> None:
    options = Attribution()
    look = options.due(9, 20, epochs=50)
    assert look is not None
    assert options.bar(look, error=0.001) == options.bar(look, error=None) == 0.005


def test_a_twin_is_compared_at_looks_and_an_epoch_before() -> None:
    options = Attribution(method="twin")
    assert [age for age in range(1, 9) if options.is_measured(age, 10, 50)] == [3, 4, 5, 6]
    late = Attribution(method="twin", looks=(4, 10))
    assert [late.is_measured(6, epoch, 50) for epoch in (36, 37, 38)] == [False, True, True]


@pytest.mark.parametrize(
    ("epochs", "last"), [(6, 5), (7, 6), (8, 6), (12, 9), (15, 12), (40, 30), (50, 38)]
)
def test_the_last_quarter_of_a_run_is_left_to_what_stays(epochs: int, last: int) -> None:
    assert last_look_epoch(epochs) == last


def test_a_first_look_before_the_end_of_shadowing_is_refused() -> None:
    Attribution().check_stages(Growth())
    Attribution(looks=(5,)).check_stages(Growth(training_epochs=2))
    with pytest.raises(
        ValueError, match=r"attribution.looks must start at 5 or later.*\[4, 6, 9\]"
    ):
        Attribution().check_stages(Growth(shadowing_epochs=3))


def test_only_twins_can_replace_the_network_at_a_cull() -> None:
    Attribution(method="twin").check_stages(Growth(on_cull="twin"))
    message = "growth.on_cull=twin needs attribution.method=twin, got muting"
    with pytest.raises(ValueError, match=message):
        Attribution().check_stages(Growth(on_cull="twin"))


def test_a_kernel_that_blends_again_is_looked_at_at_the_first_age_and_three_epochs_later() -> None:
    options = Attribution()
    due = [age for age in range(1, 12) if options.due(age, 10, 50, again=True)]
    assert due == [4, 7]
    last = options.due(7, 10, 50, again=True)
    first = options.due(4, 10, 50, again=True)
    assert last is not None
    assert first is not None
    assert (first.is_last, last.is_last) == (False, True)
    # 1.7 standard errors at the last look, sqrt(2) times as many at the first of two.
    assert options.bar(last, 0.01, again=True) == pytest.approx(0.017)
    assert options.bar(first, 0.01, again=True) == pytest.approx(0.017 * 2**0.5)
    assert Attribution(looks=(5, 8)).ages_of(again=True) == (5, 8)


def test_a_twin_is_compared_an_epoch_before_each_look_after_a_second_blending_too() -> None:
    options = Attribution(method="twin")
    measured = [age for age in range(1, 10) if options.is_measured(age, 10, 50, again=True)]
    assert measured == [3, 4, 6, 7]


def test_looks_must_fit_the_run() -> None:
    Attribution(looks=(4, 30)).check_epochs(6)
    with pytest.raises(
        ValueError,
        match=r"^attribution.looks must start at 3 or earlier, the oldest age of a kernel in 5 "
        r"epochs, got \[4, 6\]$",
    ):
        Attribution(looks=(4, 6)).check_epochs(5)
    # The usual looks only leave a short run ungrown.
    Attribution().check_epochs(1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"looks": (4.5, 6.5)}, "attribution.looks must be a list of whole numbers or None"),
        ({"looks": 6}, "attribution.looks must be a list of whole numbers or None, got 6"),
        ({"mute_probability": "0.5"}, "attribution.mute_probability must be a number, got '0.5'"),
        ({"min_gain": True}, "attribution.min_gain must be a number or None, got True"),
        ({"method": 3}, "attribution.method must be a text, got 3"),
    ],
)
def test_values_of_another_type_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        Attribution(**given)


def test_whole_numbers_are_real_and_lists_are_tuples() -> None:
    assert Attribution(looks=[4, 6], min_gain=0).looks == (4, 6)
    assert Safety(max_cost=2, max_live_seeds=None).max_cost == 2
    with pytest.raises(ValueError, match=r"^safety.max_live_seeds must be a whole number or None"):
        Safety(max_live_seeds=1.5)  # type: ignore[arg-type]
