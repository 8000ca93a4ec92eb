"""Does the planner point at the right slot, and does it predict what a kernel there gains?

    python -m experiments.slot_choice

Part one, held-out tasks: after epoch `START` of a never-grown run, the planner's model predicts the
gain of one blueprint in every slot.  Runs that grow there and nowhere else, and keep the kernel,
measure it, for two rng seeds.  The table says how often the slot with the largest predicted net
gain is the best one where that leads by `LEAD` in the mean of the seeds; the correlation of
predicted and measured gains, and the largest one that their noise allows (its ceiling: the square
root of the reliability of the mean of two, Spearman 1910); the standard deviation of a gain over
rng seeds (its noise), and of the expected gain about the predicted one; and what the policies did
on the tasks that are best left alone, in which no slot's mean net gain exceeds `LEAST` (from the
runs of `experiments.policies`).

Part two, 200 hosts with one damaged block: how often the damaged block is the slot of the largest
predicted net gain.

Writes `experiments/results/slot_choice.json`.  A stopped command goes on where it was.
"""

import argparse
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import count, islice
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

from esper.contracts.observation import Observation
from esper.learning.gain_fit import GAINS
from esper.policy.planner import Planner
from esper.run.episodes.episode import Episode, EpisodeResult, net_gain
from esper.run.episodes.scripted import Event, Scripted
from esper.run.episodes.task import EpisodeTask, Scenario, draw_task
from esper.safety.options import Safety
from experiments.cells import Cells
from experiments.policies import RESULT as POLICIES_RESULT
from experiments.stats import bootstrap, rate

RESULT = Path(__file__).parent / "results" / "slot_choice.json"
START = 2
"""Epoch after which the kernels germinate."""
LEAD, LEAST = 0.05, 0.03
DAMAGED_FROM = 100_000
"""Index from which hosts with a damaged block are drawn."""


def observed(task: EpisodeTask, rng_seed: int) -> tuple[Episode, Observation]:
    """Return a never-grown run after epoch `START`, and what a policy sees of it."""
    policy = Scripted(events=(), probes=True)
    episode = Episode(task, rng_seed, policy=policy)
    while episode.grower.epoch < START:
        report = episode.step()
    return episode, report.observation


def task_cell(_: str, index: int, rng_seed: int, path: str | None = None) -> dict[str, Any]:
    """Return predicted and measured gains of one blueprint in every slot of a task."""
    torch.set_num_threads(1)
    task = draw_task(index)
    episode, observation = observed(task, rng_seed)
    blueprint = blueprint_of(index, observation)
    forecasts = Planner(price=task.price, path=path).build(0).every_forecast(observation)
    predicted = {f.offer.slot: f.gain for f in forecasts if f.offer.birth.blueprint == blueprint}
    never = episode.finish()
    measured: dict[str, float] = {}
    flops: dict[str, float] = {}
    for slot in predicted:
        policy = Scripted(events=(Event(START, slot, blueprint),))
        branch = Episode(task, rng_seed, policy=policy, safety=Safety(max_cost=100.0)).finish()
        measured[slot] = net_gain(branch, never, 0.0)
        flops[slot] = math.log2(branch.flops)
    return {"predicted": predicted, "measured": measured, "log2_flops": flops}


def damaged_cell(_: str, index: int, path: str | None = None) -> bool:
    """Return whether the planner points at the damaged block of a task's host."""
    torch.set_num_threads(1)
    task = draw_task(index)
    observation = observed(task, 0)[1]
    best = Planner(price=task.price, path=path).build(0).every_forecast(observation)[0]
    return best.offer.slot == f"blocks.{task.place}"


def damaged_tasks() -> Iterator[int]:
    """Yield the indices of tasks with a damaged block, beyond all others in use."""
    for index in count(DAMAGED_FROM):
        if draw_task(index).scenario is Scenario.DAMAGED:
            yield index


def blueprint_of(index: int, observation: Observation) -> str:
    """Return the blueprint that is measured in every slot of a task."""
    offered = [birth.blueprint for birth in observation.slots[0].births]
    return str(np.random.default_rng([17, index]).choice(offered))


def net(rows: Sequence[Mapping[str, Any]], key: str, price: float) -> dict[str, float]:
    """Return the mean net gain of each slot over the rng seeds, predicted or measured."""
    return {
        slot: fmean(row[key][slot] - price * row["log2_flops"][slot] for row in rows)
        for slot in rows[0][key]
    }


def choices(tasks: Mapping[int, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Return how often the planner's slot is the best one, where there is a clear one."""
    hits = []
    for index, rows in tasks.items():
        price = draw_task(index).price
        found, wanted = net(rows, "measured", price), net(rows, "predicted", price)
        first, second = sorted(found.values(), reverse=True)[:2]
        if first - second >= LEAD:
            hits.append(max(wanted, key=lambda s: wanted[s]) == max(found, key=lambda s: found[s]))
    share = rate(sum(hits), len(hits))
    return {"tasks": len(hits), "top_1": [share.value, share.low, share.high]}


def values(tasks: Mapping[int, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Return the net gain of one kernel by how its slot is chosen, for each regime.

    planner: by the largest predicted net gain.  repeat: by the largest one of the other rng seed,
    which is what a measurement as noisy as a whole run can tell.  random: the mean of all slots.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for index, rows in tasks.items():
        task = draw_task(index)
        one, two = (net([row], "measured", task.price) for row in rows)
        wanted = net(rows, "predicted", task.price)
        best = max(wanted, key=lambda slot: wanted[slot])
        group = found.setdefault("scarce" if task.is_scarce else "plentiful", {})
        for name, each in (
            ("planner", (one[best], two[best])),
            ("repeat", (one[max(two, key=two.__getitem__)], two[max(one, key=one.__getitem__)])),
            ("random", (*one.values(), *two.values())),
        ):
            group.setdefault(name, []).append(fmean(each))
    return {
        regime: {name: _interval(v) for name, v in each.items()} for regime, each in found.items()
    }


def _interval(given: Sequence[float]) -> list[float]:
    found = bootstrap(given)
    return [found.value, found.low, found.high]


def agreement(tasks: Mapping[int, Sequence[Mapping[str, Any]]]) -> dict[str, float]:
    """Return the correlation of predicted and measured gains, and its ceiling."""
    columns = [
        (fmean(row["predicted"][s] for row in rows), *(row["measured"][s] for row in rows))
        for rows in tasks.values()
        for s in rows[0]["predicted"]
    ]
    predicted, one, two = np.clip(np.array(columns).T, *GAINS)
    between = float(np.corrcoef(one, two)[0, 1])
    misses = float(np.mean((one - predicted) * (two - predicted)))
    return {
        "gains": len(columns),
        "correlation": float(np.corrcoef(predicted, (one + two) / 2)[0, 1]),
        "between_seeds": between,
        "ceiling": math.sqrt(max(0.0, 2 * between / (1 + between))),
        "noise": float(np.sqrt(np.mean((one - two) ** 2) / 2)),
        "expected_error": math.sqrt(max(0.0, misses)),
    }


def left_alone(
    tasks: Mapping[int, Sequence[Mapping[str, Any]]], runs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what each policy did on the tasks in which no slot is worth its price."""
    indices = [
        index
        for index, rows in tasks.items()
        if max(net(rows, "measured", draw_task(index).price).values()) <= LEAST
    ]
    table: dict[str, Any] = {"tasks": len(indices)}
    for name in dict.fromkeys(key.split("/")[2] for key in runs):
        gains, events = [], []
        for index in indices:
            for seed in range(2):
                run = EpisodeResult(**runs[f"{index}/{seed}/{name}"])
                never = EpisodeResult(**runs[f"{index}/{seed}/never"])
                gains.append(net_gain(run, never, draw_task(index).price))
                events.append(run.events)
        table[name] = {
            "net_gain": _interval(gains),
            "untouched": fmean(each == 0 for each in events),
        }
    return table


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=150)
    parser.add_argument("--first", type=int, default=0, help="index of the first task")
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--planner", help="files of another planner, without their endings")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    cells = Cells(given.out, f"python -m experiments.slot_choice --tasks {given.tasks}")
    hosts = [("damaged", index) for index in islice(damaged_tasks(), given.hosts)]
    found = cells.fill(partial(damaged_cell, path=given.planner), hosts, given.processes)
    pointed = rate(sum(found), len(found))
    table: dict[str, Any] = {"damaged": [pointed.value, pointed.low, pointed.high]}
    wanted = [
        ("task", index, seed)
        for index in range(given.first, given.first + given.tasks)
        for seed in range(2)
    ]
    rows = cells.fill(partial(task_cell, path=given.planner), wanted, given.processes)
    tasks: dict[int, list[Any]] = {}
    for (_, index, _), row in zip(wanted, rows, strict=True):
        tasks.setdefault(index, []).append(row)
    table |= {"choices": choices(tasks), "values": values(tasks), "agreement": agreement(tasks)}
    if POLICIES_RESULT.exists():
        runs = json.loads(POLICIES_RESULT.read_text(encoding="utf-8"))["cells"]
        table["left_alone"] = left_alone(tasks, runs)
    cells.write(table=table)
    print(json.dumps(table, indent=2))


if __name__ == "__main__":
    main()
