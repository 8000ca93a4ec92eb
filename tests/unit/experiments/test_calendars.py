"""Calendars of growth, by hand."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from esper.contracts.slot import SlotKind
from esper.run.episodes.episode import Episode, net_gain
from esper.run.episodes.scripted import Event
from esper.run.episodes.task import EpisodeTask, draw_task
from experiments import calendars as module
from experiments.calendars import (
    Calendar,
    calendars,
    leading,
    load_calendars,
    measured,
    run_cell,
    tuned,
)
from experiments.cells import Cells
from tests.unit.run.episodes.small_tasks import small_task


def task_of(slots: int, events: int) -> EpisodeTask:
    task = draw_task(0)
    return replace(task, hidden=(8,) * slots, residual=(True,) * slots, events=events)


@pytest.mark.parametrize(
    ("order", "places"),
    [("first", [0, 1, 2, 3]), ("last", [11, 10, 9, 8]), ("spread", [0, 3, 6, 9])],
)
def test_slots_come_in_their_order(order: str, places: list[int]) -> None:
    plan = Calendar(start=2, every=1, order=order, blueprint="mlp").policy(task_of(12, 4))
    assert plan.events == tuple(
        Event(2 + number, f"blocks.{place}", "mlp") for number, place in enumerate(places)
    )


@pytest.mark.parametrize(
    ("every", "epochs"), [(0, [1, 1, 2, 2, 3]), (1, [1, 2, 3, 4, 5]), (2, [1, 3, 5, 7, 9])]
)
def test_events_come_one_after_another_or_two_at_a_time(every: int, epochs: list[int]) -> None:
    plan = Calendar(start=1, every=every, order="first", blueprint="lora").policy(task_of(6, 5))
    assert [event.epoch for event in plan.events] == epochs
    assert len({event.slot for event in plan.events}) == 5


@pytest.mark.parametrize("slots", range(6, 13))
def test_where_each_slot_has_an_event_each_order_takes_all(slots: int) -> None:
    for order in ("first", "last", "spread"):
        plan = Calendar(start=1, every=0, order=order, blueprint="mlp")
        events = plan.policy(task_of(slots, slots)).events
        assert len({event.slot for event in events}) == slots


def test_a_calendar_keeps_its_kernels_or_leaves_them_to_the_priced_verdict() -> None:
    task = task_of(6, 2)
    plan = Calendar(start=1, every=1, order="first", blueprint="mlp")
    judged = replace(plan, keeps=False).policy(task)
    assert (plan.policy(task).keeps, judged.keeps) == (True, False)
    assert judged.price == task.price


@pytest.mark.parametrize("kind", SlotKind)
def test_calendars_of_a_kind_are_all_different(kind: SlotKind) -> None:
    plans = calendars(kind)
    assert len(plans) == len(set(plans)) == 2 * 2 * 3 * 4


def table(best: dict[str, int]) -> dict[str, Any]:
    """Return what tuning finds if a calendar of each kind is the best with plenty of events."""
    values = {}
    for kind in SlotKind:
        for number in range(3):
            values[str(kind), True, number] = [0.1, -0.1 * number]
            values[str(kind), False, number] = [0.0, 0.4 if number == best[kind] else 0.1]
    return tuned(values)


def test_the_calendar_with_the_largest_mean_is_chosen_for_each_kind_and_regime() -> None:
    found = table({"dense": 2, "feature_map": 1, "sequence": 0})
    assert set(found) == {
        f"{kind}/{regime}" for kind in SlotKind for regime in ("scarce", "plentiful")
    }
    for kind, number in (("dense", 2), ("feature_map", 1), ("sequence", 0)):
        chosen = dict(found[f"{kind}/plentiful"])
        assert (chosen.pop("net_gain"), chosen.pop("tasks")) == (pytest.approx(0.2), 2)
        assert Calendar(**chosen) == calendars(SlotKind(kind))[number]
        scarce = dict(found[f"{kind}/scarce"])
        assert (scarce.pop("net_gain"), scarce.pop("tasks")) == (pytest.approx(0.05), 2)
        assert Calendar(**scarce) == calendars(SlotKind(kind))[0]


def test_the_best_calendars_go_on_by_kind_and_regime() -> None:
    values = {
        ("dense", True, 0): [0.1, 0.3],
        ("dense", True, 1): [0.5],
        ("dense", True, 2): [0.0],
        ("dense", False, 2): [-1.0],
    }
    assert leading(values, 2) == {("dense", True): [1, 0], ("dense", False): [2]}


def test_calendars_run_on_the_tasks_of_their_regime(tmp_path: Path) -> None:
    cells = Cells(tmp_path / "cells.json", "command")
    keys = ["600/dense/3", "602/dense/3", "601/dense/4", "603/dense/4"]
    cells.results.update(zip(keys, [0.1, 0.2, 0.3, 0.4], strict=True))
    found = measured(cells, {("dense", True): [3], ("dense", False): [4]}, 4, 1)
    assert found == {("dense", True, 3): [0.1, 0.2], ("dense", False, 4): [0.3, 0.4]}


def test_tuned_calendars_are_read_from_their_file(tmp_path: Path) -> None:
    path = tmp_path / "calendars.json"
    path.write_text(json.dumps({"calendars": table(dict.fromkeys(map(str, SlotKind), 1))}))
    found = load_calendars(path)
    assert found["dense/plentiful"] == calendars(SlotKind.DENSE)[1]
    assert len(found) == 6


def test_a_cell_is_the_net_gain_of_its_calendar(monkeypatch: pytest.MonkeyPatch) -> None:
    task = small_task(600, events=2, epochs=8)
    monkeypatch.setattr(module, "draw_task", lambda index, kind: task)
    found = run_cell(600, "dense", 5)
    never = Episode(task, 0, policy="never").finish()
    grown = Episode(task, 0, policy=calendars(SlotKind.DENSE)[5].policy(task)).finish()
    assert grown.events == 2
    assert found == net_gain(grown, never, task.price)
