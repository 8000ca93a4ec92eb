"""Records of a seed and of a pool: counts, windows, the composite score, and their size."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper.contracts.ledger import Measurement
from esper.strategy.record import Pool, SeedRecord

Make = Callable[..., Any]

ANY = st.none() | st.floats(allow_nan=False, allow_infinity=False)


def test_a_record_counts_what_became_of_a_seed(make_entry: Make) -> None:
    record = SeedRecord()
    record.activate(3)
    record.settle(make_entry("0", reward=0.25, fossilized=False))
    record.activate(12)
    record.settle(make_entry("1", reward=0.5, fossilized=True))
    record.activate(20)
    record.settle(make_entry("2", reward=None))
    assert (record.activations, record.grafts, record.failures) == (3, 1, 2)
    assert (record.settled, record.reward_sum, record.last_epoch) == (2, 0.75, 20)


def test_windows_hold_20_and_start_afresh_with_an_activation() -> None:
    record = SeedRecord()
    for step in range(30):
        record.measure(Measurement(accuracy_improvement=step / 100, latency_ms=0.25))
    assert list(record.accuracy) == [step / 100 for step in range(10, 30)]
    assert list(record.latency) == [0.25] * 20
    record.activate(9)
    assert not record.accuracy
    assert not record.latency


def test_the_composite_score_by_hand() -> None:
    record = SeedRecord()
    assert record.composite() is None
    record.measure(Measurement(accuracy_improvement=-0.02))
    record.measure(Measurement(accuracy_improvement=-0.04))
    # accuracy 0.5 - 0.03 / 0.1
    assert record.composite() == pytest.approx(0.2)
    record.measure(Measurement(loss_reduction=0.02))
    # loss 0.5 + 0.02 / 0.2
    assert record.composite() == pytest.approx((0.2 + 0.6) / 2)
    record.measure(Measurement(memory_mb=100.0))
    # efficiency 0.4 / 2
    assert record.composite() == pytest.approx((0.2 + 0.6 + 0.2) / 3)


def test_a_seed_that_does_harm_can_fall_under_the_threshold_whatever_it_costs() -> None:
    for memory in (0.0, 1.0, 1000.0):
        record = SeedRecord()
        record.measure(
            Measurement(accuracy_improvement=-0.03, loss_reduction=-0.05, memory_mb=memory)
        )
        assert record.composite() < 0.3


def test_memory_alone_says_nothing_of_worth() -> None:
    record = SeedRecord()
    record.measure(Measurement(memory_mb=1.0, latency_ms=1.0))
    assert record.composite() is None


@given(measured=st.lists(st.tuples(ANY, ANY, ANY, ANY), max_size=25))
def test_the_composite_score_is_in_range(measured: list[tuple[float | None, ...]]) -> None:
    record = SeedRecord()
    for accuracy, loss, latency, memory in measured:
        record.measure(_measurement(accuracy, loss, latency, memory))
    score = record.composite()
    assert score is None or 0 <= score <= 1


def _measurement(
    accuracy: float | None, loss: float | None, latency: float | None, memory: float | None
) -> Measurement:
    return Measurement(
        accuracy_improvement=accuracy, loss_reduction=loss, latency_ms=latency, memory_mb=memory
    )


@given(worst=st.floats(allow_nan=False, allow_infinity=False), epoch=st.integers(0, 10**9))
def test_a_full_record_is_at_most_1_kb(make_entry: Make, worst: float, epoch: int) -> None:
    record = SeedRecord(activations=10**6, grafts=10**6, failures=10**6, settled=10**6)
    record.activate(epoch)
    for value in (worst, -1.234567e-05, -0.000123456, -54321.9):
        for _ in range(20):
            record.measure(_measurement(value, value, abs(value), abs(value)))
        record.reward_sum = -1.2345678901234567e-100
        assert len(json.dumps(record.state_dict(), separators=(",", ":"))) <= 1024


def test_states_survive_json(make_entry: Make) -> None:
    record, pool = SeedRecord(), Pool()
    record.activate(2)
    for index in range(120):
        entry = make_entry(str(index), reward=index / 7, loss_reduction=0.1, memory_mb=2.0)
        record.settle(entry)
        pool.settle(entry)
    assert SeedRecord.from_state(json.loads(json.dumps(record.state_dict()))) == record
    assert Pool.from_state(json.loads(json.dumps(pool.state_dict()))) == pool
    assert pool.recent == [index / 7 for index in range(20, 120)]
    assert SeedRecord.from_state(record.state_dict()).accuracy.maxlen == 20
