"""Tune a calendar on training tasks: the growth plan that looks at nothing.

    python -m experiments.calendars

A calendar germinates one kernel after given epochs, in a fixed order of slots, with one blueprint
for each kind of host.  It is the control for policies that look: what a blind plan brings.  Each
calendar runs on the same training tasks, never on those of the evaluation.  For each kind of host,
and for scarce and plentiful events, the best ones of the first tasks go on to more of them, and the
one with the largest mean net gain on all of these is chosen.

Writes `experiments/results/calendars.json`.  A stopped command goes on where it was.
"""

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from esper.blueprint.catalogue import STANDARD
from esper.contracts.slot import Placement, SlotKind
from esper.run.episodes.episode import Episode, EpisodeResult, net_gain, slot_names
from esper.run.episodes.scripted import Event, Scripted
from esper.run.episodes.task import EpisodeTask, draw_task
from experiments.cells import Cells

RESULT = Path(__file__).parent / "results" / "calendars.json"
FIRST_TASK = 600
"""Index of the first task; tasks from 1,000 on train the gain model, those under 500 evaluate."""
ORDERS = ("first", "last", "spread")

Plans = dict[tuple[str, bool], Sequence[int]]
"""Numbers of calendars by kind of host and whether events are scarce."""
Values = dict[tuple[str, bool, int], list[float]]
"""Net gains by kind of host, whether events are scarce, and number of the calendar."""


@dataclass(frozen=True)
class Calendar:
    """A plan of growth.

    start: epoch of the first event.
    every: epochs between two events; 0 stands for two events an epoch.
    order: of the slots: from the first, from the last, or evenly spread.
    blueprint: of all kernels.
    keeps: whether every kernel is kept; otherwise the usual priced verdict decides.
    """

    start: int
    every: int
    order: str
    blueprint: str
    keeps: bool = True

    def policy(self, task: EpisodeTask) -> Scripted:
        """Return the policy of a task."""
        slots = self._slots(task)
        events = tuple(
            Event(
                self.start + (number // 2 if self.every == 0 else number * self.every),
                slot,
                self.blueprint,
            )
            for number, slot in enumerate(slots)
        )
        return Scripted(events=events, keeps=self.keeps, price=task.price)

    def _slots(self, task: EpisodeTask) -> Sequence[str]:
        names = slot_names(task)
        if self.order == "spread":
            step = len(names) / task.events
            return [names[int(number * step)] for number in range(task.events)]
        ordered = names if self.order == "first" else names[::-1]
        return ordered[: task.events]


def calendars(kind: SlotKind) -> list[Calendar]:
    """Return the calendars that are compared for a kind of host."""
    blueprints = STANDARD[kind, Placement.PARALLEL][:4]
    return [
        Calendar(start, every, order, blueprint)
        for start, every, order, blueprint in itertools.product((1, 2), (0, 1), ORDERS, blueprints)
    ]


def run_cell(index: int, kind: str, number: int) -> float:
    """Return the net gain of a calendar, by its number, on a task."""
    torch.set_num_threads(1)
    task = draw_task(index, SlotKind(kind))
    plan = calendars(task.kind)[number]
    run = Episode(task, 0, policy=plan.policy(task)).finish()
    return net_gain(run, _never(index, kind), task.price)


@cache
def _never(index: int, kind: str) -> EpisodeResult:
    return Episode(draw_task(index, SlotKind(kind)), 0, policy="never").finish()


def every_plan() -> Plans:
    """Return the numbers of all calendars."""
    return {
        (str(kind), is_scarce): range(len(calendars(kind)))
        for kind in SlotKind
        for is_scarce in (True, False)
    }


def measured(cells: Cells, plans: Plans, tasks: int, processes: int) -> Values:
    """Return the net gains of calendars on the first tasks, of which half have scarce events."""
    wanted = [
        (index, kind, number)
        for (kind, is_scarce), numbers in plans.items()
        for index in range(FIRST_TASK, FIRST_TASK + tasks)
        if draw_task(index, SlotKind(kind)).is_scarce is is_scarce
        for number in numbers
    ]
    values: Values = {}
    for (index, kind, number), gain in zip(
        wanted, cells.fill(run_cell, wanted, processes), strict=True
    ):
        is_scarce = draw_task(index, SlotKind(kind)).is_scarce
        values.setdefault((kind, is_scarce, number), []).append(gain)
    return values


def leading(values: Values, most: int) -> Plans:
    """Return the calendars with the largest means, the best one first."""
    plans: dict[tuple[str, bool], list[int]] = {}
    for kind, is_scarce, number in sorted(values, key=lambda key: -fmean(values[key])):
        plans.setdefault((kind, is_scarce), []).append(number)
    return {key: numbers[:most] for key, numbers in plans.items()}


def tuned(values: Values) -> dict[str, Any]:
    """Return the best calendar of each kind of host, for scarce and for plentiful events."""
    best: dict[str, Any] = {}
    for (kind, is_scarce), (number,) in sorted(leading(values, 1).items()):
        gains = values[kind, is_scarce, number]
        best[f"{kind}/{'scarce' if is_scarce else 'plentiful'}"] = {
            **asdict(calendars(SlotKind(kind))[number]),
            "net_gain": fmean(gains),
            "tasks": len(gains),
        }
    return best


def load_calendars(path: Path = RESULT) -> dict[str, Calendar]:
    """Return the tuned calendars by kind and regime."""
    import json

    table = json.loads(path.read_text(encoding="utf-8"))["calendars"]
    return {
        key: Calendar(**{each.name: plan[each.name] for each in fields(Calendar)})
        for key, plan in table.items()
    }


def main() -> None:
    """Tune, write and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=8, help="first tasks of each kind of host")
    parser.add_argument("--best", type=int, default=16, help="calendars that go on")
    parser.add_argument("--all", type=int, default=40, help="tasks of each kind that those run on")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    command = f"--tasks {given.tasks} --best {given.best} --all {given.all}"
    cells = Cells(given.out, f"python -m experiments.calendars {command}")
    first = measured(cells, every_plan(), given.tasks, given.processes)
    best = tuned(measured(cells, leading(first, given.best), given.all, given.processes))
    cells.write(calendars=best)
    for key, each in best.items():
        print(key, each)


if __name__ == "__main__":
    main()
