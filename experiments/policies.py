"""Compare policies on growth tasks that none of them was trained or tuned on.

    python -m experiments.policies

Each task of `esper.run.episodes.task` with an index under 500 is a held-out one.  Every policy runs
on each of them, with the same host, data, order and price: the product's `never`, `heuristic`,
`schedule`, `random` and `planner`, and the tuned calendars of `experiments.calendars`, which keep
every kernel (`calendar`) or judge it by the usual priced verdict (`calendar_judged`).  Even tasks
have scarce events (one for three slots), odd ones plentiful (one for each slot).

Writes `experiments/results/policy.json` and prints the table: mean net gain (see
`esper.run.episodes.episode`), and the planner's advantage over each other policy with the
bootstrap's 95 % interval over tasks; the share of the tried kernels that were kept (success), and
the share of the runs that kept some and ended above the never-grown loss (false positives).

A stopped command goes on where it was.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from types import MappingProxyType
from typing import Any

import torch

from esper.contracts.slot import SlotKind
from esper.policy.actor_critic import ActorCritic
from esper.policy.gnn import GNN
from esper.policy.heuristic import Heuristic
from esper.policy.hierarchical import Hierarchical
from esper.policy.planner import Planner
from esper.policy.random import Random
from esper.policy.schedule import Schedule
from esper.run.episodes.episode import Episode, EpisodeResult, net_gain
from esper.run.episodes.task import EpisodeTask, draw_task
from experiments.calendars import load_calendars
from experiments.cells import Cells
from experiments.stats import bootstrap

RESULT = Path(__file__).parent / "results" / "policy.json"
POLICIES = (
    "never",
    "planner",
    "gnn",
    "hierarchical",
    "actor_critic",
    "heuristic",
    "schedule",
    "random",
    "calendar",
    "calendar_judged",
)
REGIMES = {"scarce": True, "plentiful": False}
DEEP = 8
"""Slots beyond which a host is a deep one."""


LEARNED = {"gnn": GNN, "hierarchical": Hierarchical, "actor_critic": ActorCritic}


def policy_of(
    name: str,
    task: EpisodeTask,
    path: str | None = None,
    networks: Mapping[str, str] = MappingProxyType({}),
) -> Any:
    """Return a policy for a task, with the task's price; see `main` for the rest."""
    if name in LEARNED:
        policy = LEARNED[name](price=task.price, path=path)
        return replace(policy, pretrained=networks[name]) if name in networks else policy
    if name.startswith("calendar"):
        regime = "scarce" if task.is_scarce else "plentiful"
        plan = load_calendars()[f"{task.kind}/{regime}"]
        return replace(plan, keeps=name == "calendar").policy(task)
    if name == "planner":
        return Planner(price=task.price, path=path)
    if name == "random":
        return Random(price=task.price, events=task.events)
    return {"heuristic": Heuristic, "schedule": Schedule}[name](price=task.price)


def run_cell(
    index: int,
    rng_seed: int,
    name: str,
    path: str | None = None,
    networks: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the result of a policy on a task."""
    torch.set_num_threads(1)
    task = draw_task(index)
    policy = "never" if name == "never" else policy_of(name, task, path, networks)
    return asdict(Episode(task, rng_seed, policy=policy).finish())


def net_gains(
    rows: Mapping[tuple[int, int, str], Mapping[str, Any]],
) -> dict[tuple[int, str], float]:
    """Return the net gain by task and policy, the mean over the rng seeds."""
    found: dict[tuple[int, str], list[float]] = {}
    for (index, seed, name), row in rows.items():
        never = EpisodeResult(**rows[index, seed, "never"])
        gain = net_gain(EpisodeResult(**row), never, draw_task(index).price)
        found.setdefault((index, name), []).append(gain)
    return {key: fmean(gains) for key, gains in found.items()}


def table_of(rows: Mapping[tuple[int, int, str], Mapping[str, Any]]) -> dict[str, Any]:
    """Return the means of each policy, and the planner's advantage, by regime."""
    gains = net_gains(rows)
    table: dict[str, Any] = {}
    for regime, is_scarce in REGIMES.items():
        tasks = sorted({t for t, _ in gains if draw_task(t).is_scarce is is_scarce})
        table[regime] = {
            name: _row(name, tasks, gains, rows) for name in POLICIES if (tasks[0], name) in gains
        }
    return table


def _row(
    name: str,
    tasks: Sequence[int],
    gains: Mapping[tuple[int, str], float],
    rows: Mapping[tuple[int, int, str], Mapping[str, Any]],
) -> dict[str, Any]:
    cells = [cell for cell in rows if cell[2] == name and cell[0] in set(tasks)]
    mine = [rows[cell] for cell in cells]
    changed = [cell for cell in cells if rows[cell]["kept"]]
    worse = [rows[cell]["loss"] > rows[*cell[:2], "never"]["loss"] for cell in changed]
    trials = sum(row["kept"] + row["culled"] for row in mine)
    over = bootstrap([gains[task, "planner"] - gains[task, name] for task in tasks])
    own = bootstrap([gains[task, name] for task in tasks])
    means = ("flops", "train_flops", "events", "kept", "processor_s")
    return {
        "net_gain": [own.value, own.low, own.high],
        "planner_minus": [over.value, over.low, over.high],
        "success": sum(row["kept"] for row in mine) / trials if trials else None,
        "false_positives": fmean(worse) if worse else None,
        **{key: fmean(row[key] for row in mine) for key in means},
    }


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=150)
    parser.add_argument("--first", type=int, default=0, help="index of the first task")
    parser.add_argument("--seeds", type=int, default=2, help="rng seeds of each task")
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=POLICIES)
    parser.add_argument("--planner", help="files of another planner, without their endings")
    parser.add_argument("--networks", nargs="+", default=[], help="other networks: POLICY=FILES")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    command = f"python -m experiments.policies --tasks {given.tasks} --seeds {given.seeds}"
    networks = dict(each.split("=", 1) for each in given.networks)
    # Of the networks' files only the names are kept; where they lie says nothing.
    cells = Cells(given.out, command, {"networks": sorted(networks)} if networks else None)
    # Every figure is over never-grown runs, and the planner's advantage.
    names = tuple(dict.fromkeys(("never", "planner", *given.policies)))
    tasks = range(given.first, given.first + given.tasks)
    wanted = [
        (index, seed, name) for index in tasks for seed in range(given.seeds) for name in names
    ]
    found = cells.fill(
        partial(run_cell, path=given.planner, networks=networks), wanted, given.processes
    )
    rows = dict(zip(wanted, found, strict=True))
    table = table_of(rows)
    kinds = {str(kind): [t for t in tasks if draw_task(t).kind == kind] for kind in SlotKind}
    deep = [t for t in tasks if draw_task(t).num_slots > DEEP]
    parts = {**kinds, f"deeper_than_{DEEP}_slots": deep}
    by_host = {
        name: table_of({key: row for key, row in rows.items() if key[0] in part})
        for name, part in parts.items()
        if {draw_task(t).is_scarce for t in part} == {True, False}
    }
    cells.write(table=table, by_host=by_host)
    print_table(table)


def print_table(table: Mapping[str, Any]) -> None:
    """Print a row for each policy and regime."""
    for regime, rows in table.items():
        print(
            f"{regime}: net gain, planner minus policy [95 % interval], size, cost, events, kept, "
            "success, false positives"
        )
        for name, row in rows.items():
            value, low, high = row["planner_minus"]
            print(
                f"  {name:16s} {row['net_gain'][0]:+.4f}  {value:+.4f} [{low:+.4f}, {high:+.4f}]"
                f"  {row['flops']:.2f}  {row['train_flops'] / 3:.2f}  {row['events']:.1f}"
                f"  {row['kept']:.1f}  {_share(row['success'])}  {_share(row['false_positives'])}"
                f"  {row['processor_s']:.2f} s"
            )


def _share(value: float | None) -> str:
    return "  - " if value is None else f"{value:4.0%}"


if __name__ == "__main__":
    main()
