"""Tune a calendar on training tasks: the growth plan that looks at nothing.

    python -m experiments.calendars

A calendar germinates one kernel after given epochs, in a fixed order of slots, with one blueprint
for each kind of host.  It is the control for policies that look: what a blind plan brings.  Each
calendar runs on the same training tasks, never on those of the evaluation; for each kind of host,
and for scarce and plentiful events, the one with the largest mean net gain is chosen.

Writes `experiments/results/calendars.json`.  A stopped command goes on where it was.
"""

import argparse
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
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


def tuned(values: Mapping[tuple[str, bool, int], Sequence[float]]) -> dict[str, Any]:
    """Return the best calendar of each kind of host, for scarce and for plentiful events."""
    best: dict[str, Any] = {}
    for kind in SlotKind:
        for is_scarce in (True, False):
            means = {n: fmean(v) for (k, s, n), v in values.items() if (k, s) == (kind, is_scarce)}
            number = max(means, key=lambda each: means[each])
            key = f"{kind}/{'scarce' if is_scarce else 'plentiful'}"
            best[key] = {**asdict(calendars(kind)[number]), "net_gain": means[number]}
    return best


def load_calendars(path: Path = RESULT) -> dict[str, Calendar]:
    """Return the tuned calendars by kind and regime."""
    import json

    table = json.loads(path.read_text(encoding="utf-8"))["calendars"]
    return {
        key: Calendar(**{name: value for name, value in each.items() if name != "net_gain"})
        for key, each in table.items()
    }


def main() -> None:
    """Tune, write and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=8, help="of each kind, half of them scarce")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    cells = Cells(given.out, f"python -m experiments.calendars --tasks {given.tasks}")
    wanted = [
        (index, str(kind), number)
        for kind in SlotKind
        for index in range(FIRST_TASK, FIRST_TASK + given.tasks)
        for number in range(len(calendars(kind)))
    ]
    found = cells.fill(run_cell, wanted, given.processes)
    values: dict[tuple[str, bool, int], list[float]] = {}
    for (index, kind, number), value in zip(wanted, found, strict=True):
        is_scarce = draw_task(index, SlotKind(kind)).is_scarce
        values.setdefault((kind, is_scarce, number), []).append(value)
    best = tuned(values)
    cells.write(calendars=best)
    for key, each in best.items():
        print(key, each)


if __name__ == "__main__":
    main()
