"""Records of a seed and of a pool: counts, windows, the composite score, and their size."""

import json
from collections.abc import Callable
from dataclasses import asdict
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper.contracts.ledger import Measurement
from esper.strategy.pooling import Tally
from esper.strategy.record import ArmRecord, Pool, SeedRecord

Make = Callable[..., Any]

ANY = st.none() | st.floats(allow_nan=False, allow_infinity=False)


def test_windows_hold_20_and_start_afresh_with_an_activation() -> None:
    record = SeedRecord()
    for step in range(30):
        record.measure(Measurement(accuracy_improvement=step / 100, memory_mb=0.25))
    assert record.accuracy == [step / 100 for step in range(10, 30)]
    assert record.memory == [0.25] * 20
    record.activate(4)
    record.activate(9)
    assert record == SeedRecord(activations=2, activated_epoch=9)


def test_what_was_kept_and_what_was_not_are_counted_apart() -> None:
    record = SeedRecord()
    for is_graft in (False, True, False):
        record.settle(is_graft=is_graft)
    assert (record.grafts, record.failures) == (1, 2)


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
    record.measure(Measurement(memory_mb=1.0))
    assert record.composite() is None


@given(measured=st.lists(st.tuples(ANY, ANY, ANY), max_size=25))
def test_the_composite_score_is_in_range(measured: list[tuple[float | None, ...]]) -> None:
    record = SeedRecord()
    for accuracy, loss, memory in measured:
        record.measure(_measurement(accuracy, loss, memory))
    score = record.composite()
    assert score is None or 0 <= score <= 1


def _measurement(accuracy: float | None, loss: float | None, memory: float | None) -> Measurement:
    return Measurement(accuracy_improvement=accuracy, loss_reduction=loss, memory_mb=memory)


@given(worst=st.floats(allow_nan=False, allow_infinity=False))
def test_a_full_record_is_at_most_1_kb(worst: float) -> None:
    record = SeedRecord(activations=10**6, grafts=10**6, failures=10**6)
    record.activate(10**6)
    for activation in (10**6, 10**6 + 1):
        record.note_context(activation, (1.0, 1 / 3, 1 / 7, 1 / 9))
    for value in (worst, -1.234567e-05, -0.000123456, -54321.9):
        for _ in range(20):
            record.measure(_measurement(value, value, abs(value)))
        assert len(json.dumps(asdict(record), separators=(",", ":"))) <= 1024


def test_an_arm_keeps_the_last_100_rewards_to_three_digits(make_entry: Make) -> None:
    arm, pool = ArmRecord(0), Pool()
    for index in range(120):
        entry = make_entry(str(index), reward=index / 7, loss_reduction=0.1)
        arm.settle(entry)
        pool.settle(entry)
    for each in (arm, pool):
        assert (each.rewards.count, each.gains.count) == (120, 120)
        assert each.gains.total == pytest.approx(12.0)
    assert arm.recent == pytest.approx([index / 7 for index in range(20, 120)], rel=5e-3)
    assert arm.recent[-1] == 17.0
    assert arm.recent[-3] == 16.7


def test_a_full_record_of_an_arm_is_at_most_1_kb(make_entry: Make) -> None:
    rng = Random(0)
    arm = ArmRecord(0)
    for index in range(1000):
        arm.settle(make_entry(str(index), reward=rng.gauss(0.0, 0.3), loss_reduction=rng.random()))
    assert len(json.dumps(asdict(arm), separators=(",", ":"))) <= 1024


def test_only_rewards_with_a_context_are_regressed(make_entry: Make) -> None:
    pool = Pool()
    pool.settle(make_entry("0", reward=2.0))
    assert pool == Pool(rewards=Tally(1, 2.0))
    pool.settle(make_entry("1", reward=2.0, context=(1.0, 0.0, 0.5, 0.0)))
    assert pool.regression.rewarded == [2.0, 0.0, 1.0, 0.0]
