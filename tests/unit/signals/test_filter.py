"""Which health signals are told."""

import json
import math
from typing import Any

import pytest

from esper.contracts.event import SeedHealth
from esper.signals.filter import Priority, SignalFilter


def signal(**changes: Any) -> SeedHealth:
    kernel: dict[str, Any] = {"slot": "a", "seed": 0, "blueprint": "mlp"}
    return SeedHealth(**{**kernel, "gradient_norm": None, "finite": True, **changes})


def passed(chosen: SignalFilter, *norms: float) -> list[Priority | None]:
    return [chosen.priority(signal(gradient_norm=norm)) for norm in norms]


def test_errors_and_ready_seeds_always_pass() -> None:
    chosen = SignalFilter()
    for _ in range(30):
        assert chosen.priority(signal(error_rate=0.01)) is Priority.ERROR
        assert chosen.priority(signal(finite=False)) is Priority.ERROR
        assert chosen.priority(signal(is_ready=True)) is Priority.READY
        assert chosen.priority(signal(is_ready=True, error_rate=0.5)) is Priority.ERROR


def test_every_tenth_of_the_others_passes() -> None:
    chosen = SignalFilter()
    found = [chosen.priority(signal(error_rate=0.0)) for _ in range(30)]
    told = [number for number, priority in enumerate(found, 1) if priority is not None]
    assert told == [10, 20, 30]
    assert {found[number - 1] for number in told} == {Priority.SAMPLE}


def test_what_passes_for_another_reason_is_not_counted_among_the_others() -> None:
    chosen = SignalFilter()
    for _ in range(9):
        assert chosen.priority(signal()) is None
        assert chosen.priority(signal(is_ready=True)) is Priority.READY
    assert chosen.priority(signal()) is Priority.SAMPLE


@pytest.mark.parametrize(("norm", "is_anomaly"), [(6.9, False), (7.1, True), (3.1, False)])
def test_an_anomaly_is_beyond_two_sigma_of_the_last_norms(norm: float, is_anomaly: bool) -> None:
    chosen = SignalFilter()
    passed(chosen, *[4.0, 6.0] * 5)  # mean 5, sigma 1
    assert (passed(chosen, norm) == [Priority.ANOMALY]) is is_anomaly


def test_too_few_norms_make_no_anomaly() -> None:
    assert passed(SignalFilter(), *[4.0, 6.0] * 4, 4.0, 900.0)[-1] is not Priority.ANOMALY


def test_equal_norms_are_no_anomaly_and_any_other_is() -> None:
    chosen = SignalFilter()
    assert Priority.ANOMALY not in passed(chosen, *[0.1] * 250)
    assert passed(chosen, 0.11) == [Priority.ANOMALY]


def test_only_the_last_100_norms_count() -> None:
    chosen = SignalFilter()
    passed(chosen, *[4.0, 6.0] * 50, *[104.0, 106.0] * 50)
    assert passed(chosen, 105.0) == [None]
    assert passed(chosen, 5.0) == [Priority.ANOMALY]


def test_a_huge_norm_that_has_left_the_window_leaves_no_trace() -> None:
    chosen = SignalFilter()
    passed(chosen, 1e12, *[4.0, 6.0] * 100)
    assert passed(chosen, 6.9, 3.1) == [None, None]
    assert passed(chosen, 7.3) == [Priority.ANOMALY]


def test_what_is_not_measured_or_not_finite_is_left_out_of_the_last_norms() -> None:
    chosen = SignalFilter()
    passed(chosen, *[4.0, 6.0] * 5)
    for norm in (None, math.nan, math.inf, 1e300):
        chosen.priority(signal(gradient_norm=norm))
    assert passed(chosen, 7.1) == [Priority.ANOMALY]


def test_a_restored_filter_goes_on_as_if_nothing_had_happened() -> None:
    one, other = SignalFilter(), SignalFilter()
    norms = [math.sin(number) + 1.1 for number in range(137)]
    passed(one, *norms)
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    later = [math.sin(number * 1.7) * 1.6 for number in range(150)]
    found = passed(one, *later)
    assert found == passed(other, *later)
    assert {Priority.ANOMALY, Priority.SAMPLE, None} <= set(found)
    assert one.state_dict() == other.state_dict()
