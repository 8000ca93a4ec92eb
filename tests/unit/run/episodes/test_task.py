"""Growth tasks are functions of their index, and as frequent as the family says."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper.contracts.slot import SlotKind
from esper.run.episodes.task import (
    DATA,
    EPOCHS,
    HIDDEN,
    LEARNING_RATES,
    PRICES,
    SCENARIOS,
    TRAINING_SAMPLES,
    Damage,
    Scenario,
    draw_task,
)

NUM = 2000
TASKS = [draw_task(index) for index in range(NUM)]


@pytest.mark.parametrize("scenario", Scenario)
def test_scenarios_are_as_frequent_as_the_table_says(scenario: Scenario) -> None:
    share = sum(task.scenario is scenario for task in TASKS) / NUM
    # Four standard errors of the most frequent one.
    assert share == pytest.approx(SCENARIOS[scenario], abs=0.045)


def test_hosts_damages_and_budgets_are_spread() -> None:
    kinds = Counter(task.kind for task in TASKS)
    expected = {SlotKind.DENSE: 0.5, SlotKind.FEATURE_MAP: 0.3, SlotKind.SEQUENCE: 0.2}
    assert {kind: kinds[kind] / NUM for kind in kinds} == pytest.approx(expected, abs=0.045)
    damages = Counter(task.damage for task in TASKS if task.damage is not None)
    assert set(damages) == set(Damage)
    # About 600 of them, in 4 kinds: a standard error of 11.
    assert all(abs(number - damages.total() / 4) < 44 for number in damages.values())
    assert {(task.kind, task.data) for task in TASKS} == {
        (k, d) for k, ds in DATA.items() for d in ds
    }
    assert {task.epochs for task in TASKS} == set(EPOCHS)
    assert {task.learning_rate for task in TASKS} == {
        r for rs in LEARNING_RATES.values() for r in rs
    }
    assert sum(task.label_noise == 0 for task in TASKS) / NUM == pytest.approx(0.4, abs=0.045)
    prices = sorted(math.log(task.price) for task in TASKS)
    assert prices[NUM // 2] == pytest.approx(sum(map(math.log, PRICES)) / 2, abs=0.1)
    assert PRICES[0] <= math.exp(prices[0]) < math.exp(prices[-1]) <= PRICES[1]


def test_half_of_the_tasks_have_an_event_for_three_slots_and_half_one_for_each() -> None:
    for task in TASKS:
        assert task.is_scarce == (task.index % 2 == 0)
        assert task.events == (task.num_slots // 3 if task.is_scarce else task.num_slots)
    assert min(task.events for task in TASKS) == 2


@given(st.integers(0, 2**62), st.none() | st.sampled_from(SlotKind))
def test_every_integer_names_a_sound_task(index: int, kind: SlotKind | None) -> None:
    task = draw_task(index, kind)
    assert task == draw_task(index, kind)
    assert kind in (None, task.kind)
    assert 6 <= task.num_slots == len(task.residual) <= 12
    low, high = (2, 4) if task.scenario is Scenario.SMALL else (7, HIDDEN)
    others = [hidden for place, hidden in enumerate(task.hidden) if place != task.place]
    assert all(low <= hidden <= high for hidden in others)
    is_alone = task.scenario in (Scenario.BOTTLENECK, Scenario.DAMAGED)
    assert (task.place is not None) == is_alone
    assert (task.damage is not None) == (task.scenario is Scenario.DAMAGED)
    if task.place is not None:
        assert not task.residual[task.place], "a single weak block has no way around it"
        is_narrow = task.hidden[task.place] <= 2
        assert is_narrow == (task.scenario is Scenario.BOTTLENECK)
    few, many = TRAINING_SAMPLES[task.kind]
    assert few <= task.samples <= many
    if task.kind is SlotKind.SEQUENCE:
        assert task.num_slots % 2 == 0
        assert task.place is None or task.place % 2, "every second block is feed-forward"
        assert all(around or place == task.place for place, around in enumerate(task.residual))


def test_a_task_keeps_its_index_and_its_regime_in_another_kind_of_host() -> None:
    for index in range(20):
        for kind in SlotKind:
            task = draw_task(index, kind)
            assert (task.index, task.kind, task.is_scarce) == (index, kind, index % 2 == 0)
