"""The runs of a task, and the regret of every arm."""

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from experiments.cells import Cell, Cells
from experiments.sizes.fixed import curve
from experiments.sizes.grown import grown, pace
from experiments.sizes.places import FACTORS, RATES, TUNING_SEEDS
from experiments.sizes.regret import Array, Fixed, regret_at_equal_time, regrets

BIRTHS = ("shrink_perturb", "restart", "preserving")
NORMED = ("text",)
"""Tasks whose hosts have norms over the width, so that no wider one computes the same."""
SIZES = tuple(f"{factor:g}" for factor in FACTORS)
TUNED_AT = 0.5
Regrets = dict[str, dict[str, list[float]]]
"""By budget and arm, a number for each rng seed."""


def cell(cifar: str | None, task: str, way: str, rate: float, seeds: str, most: float) -> Any:
    """Return the curve of a fixed size, named by its factor, or a run that grows by its birth."""
    torch.set_num_threads(1)
    first, end = map(int, seeds.split("-"))
    if way in BIRTHS:
        return grown(task, cifar, way, rate, first, most)
    return curve(task, cifar, float(way), rate, list(range(first, end)), most)


def pace_cell(cifar: str | None, task: str, _: str, size: str, rate: float) -> float:
    """Return the processor seconds a FLOP of a size."""
    torch.set_num_threads(1)
    return pace(task, cifar, float(size), rate)


class Table:
    """The cells of a task.

    num_seeds: rng seeds that are reported, from 0 on.
    """

    def __init__(self, cells: Cells, task: str, num_seeds: int, given: argparse.Namespace) -> None:
        folder = None if given.cifar is None else str(given.cifar.resolve())
        self.cells, self.task, self.num_seeds = cells, task, num_seeds
        self.most, self.processes = given.most, given.processes
        self._run, self._pace = partial(cell, folder), partial(pace_cell, folder)

    @property
    def births(self) -> tuple[str, ...]:
        """The ways of growing that the host allows."""
        return BIRTHS[:2] if self.task in NORMED else BIRTHS

    def tuned(self) -> dict[str, float]:
        """Return the best learning rate of each size and way of growing."""
        first, *_, last = TUNING_SEEDS
        wanted: list[Cell] = [
            (size, rate, f"{first}-{last + 1}") for size in SIZES for rate in RATES
        ]
        for way in self.births:
            wanted += [(way, rate, each) for rate in RATES for each in _alone(TUNING_SEEDS)]
        results = self._fill(wanted, min(TUNED_AT, self.most))
        scores: dict[str, dict[float, list[float]]] = {}
        for (way, rate, *_), found in zip(wanted, results, strict=True):
            is_grown = way in BIRTHS
            losses = [found[-1]["val_loss"]] if is_grown else found["losses"][-1]
            scores.setdefault(way, {}).setdefault(rate, []).extend(losses)
        return {way: min(own, key=lambda rate: np.mean(own[rate])) for way, own in scores.items()}

    def measured(self, rates: Mapping[str, float]) -> tuple[Regrets, Regrets]:
        """Return the regret of every arm at every budget, and at equal processor time.

        The latter is that of the arms that grow, up to the budget 1: for what they cost, a fixed
        size may be trained longer than its curve.
        """
        seeds = range(self.num_seeds)
        curves = self._fill([(size, rates[size], f"0-{len(seeds)}") for size in SIZES], self.most)
        fixed = Fixed({float(size): each for size, each in zip(SIZES, curves, strict=True)})
        wanted = [(way, rates[way], each) for way in self.births for each in _alone(seeds)]
        runs = dict(zip(wanted, self._fill(wanted, self.most), strict=True))
        ways = {way: [runs[each] for each in wanted if each[0] == way] for way in self.births}
        accuracies = {way: _by_budget(own) for way, own in ways.items()}
        found: Regrets = {}
        for budget in accuracies[BIRTHS[0]]:
            each = regrets(fixed, accuracies, budget)
            found[f"{budget:g}"] = {name: values.tolist() for name, values in each.items()}
        return found, self._at_equal_time(fixed, rates, ways, accuracies)

    def _at_equal_time(
        self, fixed: Fixed, rates: Mapping[str, float], ways: Any, accuracies: Any
    ) -> Regrets:
        rows = [(self.task, "pace", size, rates[size]) for size in SIZES]
        paces = self.cells.fill(self._pace, rows, self.processes)
        by_size = dict(zip(map(float, SIZES), paces, strict=True))
        found: Regrets = {}
        for place, budget in enumerate(accuracies[BIRTHS[0]]):
            if budget > 1:
                break
            found[f"{budget:g}"] = {
                way: regret_at_equal_time(
                    fixed,
                    by_size,
                    accuracies[way][budget],
                    np.array([run[place]["processor_s"] for run in ways[way]]),
                ).tolist()
                for way in self.births
            }
        return found

    def _fill(self, wanted: Sequence[Cell], most: float) -> list[Any]:
        rows = [(self.task, *each, most) for each in wanted]
        return self.cells.fill(self._run, rows, self.processes)


def _alone(seeds: Sequence[int]) -> list[str]:
    return [f"{seed}-{seed + 1}" for seed in seeds]


def _by_budget(runs: Sequence[Sequence[Mapping[str, Any]]]) -> dict[float, Array]:
    """Return the test accuracies of runs by budget, for each seed."""
    return {
        each["budget"]: np.array([run[place]["test_accuracy"] for run in runs])
        for place, each in enumerate(runs[0])
    }
