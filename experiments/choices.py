"""Measure whether rewards and strategies decide which kernels default runs try.

    python -m experiments.choices --seeds 20

Every choice of a default run is made again at once, with the same first-order scores and random
numbers: by each strategy, and without the rewards of this run (`blind`; those of other runs and of
a prior stay).  Without them the seeds that have rested are bound anew too, as the product binds
them; a blueprint that was not measured then has its last first-order score, if it has one.  A
choice is the set of blueprints that one plan germinates; those that the plan itself names do not
count.  Shares are over the choices after the third settled trial, with Wilson's interval, and as
the mean over runs with a bootstrap over rng seeds.

Then whole runs are compared: with each reward model, and with exploration constants 0.5 and 8.  The
kinds of change that default runs made are counted.

Writes `experiments/results/choices.json` and prints the table.  A stopped command goes on where it
was.
"""

import argparse
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

from esper.contracts.plan import Plan
from esper.contracts.slot import free_bindings
from esper.contracts.stage import SeedStage
from esper.reward.gain import Gain
from esper.reward.sparse import Sparse
from esper.strategy.epsilon_greedy import EpsilonGreedy
from esper.strategy.ledger import Ledger
from esper.strategy.performance_weighted import PerformanceWeighted
from esper.strategy.selector import Selector
from esper.strategy.thompson import Thompson
from esper.strategy.ucb import UCB
from esper.strategy.viability import SelectionInputs
from experiments.cells import Cell, Cells
from experiments.choosers import CHOOSE, choosing_by
from experiments.measured import measure
from experiments.stats import bootstrap, rate
from experiments.tasks import TUNING_SPLIT_SEED, Place

RESULT = Path(__file__).parent / "results" / "choices.json"
SETTLED = 3
"""Settled trials of a run after which its choices count."""

STRATEGIES = (UCB(), Thompson(), EpsilonGreedy(), PerformanceWeighted())
PLANS = ("diversify", "ensemble", "specialize", "replace")
"""The plans of add_neurons, add_layer, remove_neurons and replace."""

DEFAULT = "default"
CHANGES: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    "reward=gain": {"reward": Gain()},
    "reward=sparse": {"reward": Sparse()},
    "c=0.5": {"strategy": UCB(exploration_constant=0.5)},
    "c=8": {"strategy": UCB(exploration_constant=8.0)},
}
_REWARDS = ("scale", "arms", "pools", "latest", "entries")
"""Parts of a ledger's state that rewards change."""

Row = dict[str, Any]


class Replay:
    """Makes every choice of a run again; `choices` has a row for each."""

    def __init__(self) -> None:
        self.choices: list[Row] = []
        self._start: dict[str, Any] | None = None
        self._scores: dict[tuple[str, str], float] = {}

    def note(self, selector: Selector, plan: Plan, inputs: SelectionInputs) -> None:
        """Add the choice that a selector is about to make; its state does not change."""
        ledger = selector.ledger
        self._start = self._start or ledger.state_dict()
        if all(change.seed is not None and not change.offered for change in plan.changes):
            return
        blank = Ledger(ledger.task_family, ledger.reward_model)
        known = {**ledger.state_dict(), **{part: self._start[part] for part in _REWARDS}}
        blank.load_state_dict(known)
        for seed, score in inputs.first_order.items():
            self._scores[plan.slot, inputs.state.seeds[seed].bound] = score
        others = {each.name: replace(selector, strategy=each) for each in STRATEGIES}
        arms = {"chosen": selector, **others}
        made = {name: _chosen(arm, plan, inputs) for name, arm in arms.items()}
        unrewarded = replace(selector, ledger=blank, rng=_copy(selector.rng))
        made["blind"] = _chosen(unrewarded, plan, self._bound_anew(ledger, unrewarded, inputs))
        if made["chosen"]:
            settled = len(ledger.entries_of_run())
            self.choices.append({"epoch": inputs.epoch, "settled": settled, **made})

    def _bound_anew(
        self, ledger: Ledger, unrewarded: Selector, inputs: SelectionInputs
    ) -> SelectionInputs:
        """Return the inputs with rested seeds bound by a selector that knows no rewards."""
        spec, seeds = inputs.state.spec, list(inputs.state.seeds)
        last = {
            entry.seed: entry.blueprint
            for entry in ledger.entries_of_run()
            if entry.slot == spec.name
        }
        for index, seed in enumerate(seeds):
            if seed.stage is SeedStage.DORMANT and index in last:
                bound = [each.bound for each in seeds]
                bound[index] = last[index]
                free = free_bindings(spec.catalogue, bound, index)
                best = next(iter(unrewarded.expected(spec, index, free)))
                seeds[index] = replace(seed, bound=best)
        known = {
            index: self._scores[spec.name, seeds[index].bound]
            for index in inputs.first_order
            if (spec.name, seeds[index].bound) in self._scores
        }
        state = replace(inputs.state, seeds=tuple(seeds))
        return replace(inputs, state=state, first_order=known)


def _chosen(selector: Selector, plan: Plan, inputs: SelectionInputs) -> list[str]:
    """Return the blueprints that a selector would choose, sorted; its rng does not advance."""
    filled, _ = CHOOSE(replace(selector, rng=_copy(selector.rng)), plan, inputs)
    return sorted(blueprint for _, blueprint in filled.germinations)


def _copy(rng: Random) -> Random:
    copy = Random()
    copy.setstate(rng.getstate())
    return copy


@contextmanager
def replayed() -> Iterator[Replay]:
    """Replay the choices of the runs inside the `with` block."""
    replay = Replay()

    def choose(selector: Selector, plan: Plan, inputs: SelectionInputs) -> Any:
        replay.note(selector, plan, inputs)
        return CHOOSE(selector, plan, inputs)

    with choosing_by(choose):
        yield replay


def cell(change: str, rng_seed: int) -> Row:
    """Return the choices of a default run with a change, and its number of trials."""
    place = Place("digits", split_seed=TUNING_SPLIT_SEED)
    with replayed() as replay:
        run = measure(place.config(rng_seed, **CHANGES[change]))
    kinds = [e["plan_kind"] for e in run.events if e["kind"] == "plan" and e["changes"]]
    return {
        "change": change,
        "rng_seed": rng_seed,
        "trials": run.summary["seeds_germinated"],
        "plans": {kind: kinds.count(kind) for kind in PLANS},
        "choices": replay.choices,
    }


def table(rows: Sequence[Row]) -> dict[str, Any]:
    """Return what the runs tell."""
    runs = {(row["change"], row["rng_seed"]): row for row in rows}
    plain = [row for row in rows if row["change"] == DEFAULT]
    late = [[c for c in row["choices"] if c["settled"] >= SETTLED] for row in plain]
    pairs = [("chosen", "blind"), *combinations([each.name for each in STRATEGIES], 2)]
    return {
        "median_trials": statistics.median(row["trials"] for row in plain),
        "late_choices": [len(choices) for choices in late],
        "plans": {kind: [row["plans"][kind] for row in plain] for kind in PLANS},
        "differ": {" / ".join(pair): _differing(late, *pair) for pair in pairs},
        "runs_changed": {change: _changed(runs, change) for change in list(CHANGES)[1:]},
    }


def _changed(runs: Mapping[tuple[str, int], Row], change: str) -> list[int]:
    """Return how many runs choose otherwise with a change, and of how many."""
    seeds = [seed for name, seed in runs if name == change and (DEFAULT, seed) in runs]
    made = {key: [(c["epoch"], c["chosen"]) for c in row["choices"]] for key, row in runs.items()}
    return [sum(made[change, s] != made[DEFAULT, s] for s in seeds), len(seeds)]


def _differing(late: Sequence[Sequence[Row]], one: str, other: str) -> Mapping[str, Any]:
    """Return the share of choices that differ, and its mean over runs that have any."""
    differ = [[choice[one] != choice[other] for choice in choices] for choices in late if choices]
    found = {"of": sum(map(len, differ)), "are": sum(map(sum, differ))}
    if not differ:
        return found
    shares = {
        "share": rate(found["are"], found["of"]),
        "by_run": bootstrap([statistics.fmean(run) for run in differ]),
    }
    return {**found, **{name: [s.value, s.low, s.high] for name, s in shares.items()}}


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--changes", nargs="+", choices=CHANGES, default=list(CHANGES))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.seeds)
    command = f"python -m experiments.choices --seeds {given.seeds} --first {given.first}"
    cells = Cells(given.out, command)
    wanted: list[Cell] = [(change, seed) for change in given.changes for seed in seeds]
    cells.fill(cell, wanted, given.processes)
    found = table(list(cells.results.values()))
    cells.write(table=found)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
