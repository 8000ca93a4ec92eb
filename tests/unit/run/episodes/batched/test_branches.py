"""Branches of many tasks at once."""

from dataclasses import replace

import pytest

from esper.contracts.stage import SeedStage
from esper.run.episodes.batched.branches import measure_branches_batched
from esper.run.episodes.branches import Branches, measure_branches
from experiments.benchmarks.batched import in_double
from tests.unit.run.episodes.small_tasks import small_task


def records(measured: Branches) -> list[tuple[str, SeedStage, str, int]]:
    seeds = [seed for slot in measured.observation.slots for seed in slot.seeds]
    return [(seed.slot, seed.stage, seed.bound, seed.activations) for seed in seeds]


def test_branches_are_those_of_single_runs() -> None:
    with in_double():
        short = small_task(3, epochs=10), small_task(5, epochs=10)
        tasks = [replace(task, hidden=(8, 5, 9), residual=(True, False, True)) for task in short]
        for task, mine in zip(tasks, measure_branches_batched(tasks, 104), strict=True):
            theirs = measure_branches(task, 104)
            assert mine.prefix == theirs.prefix
            assert [each.event for each in mine.branches] == [
                each.event for each in theirs.branches
            ]
            assert len(mine.branches) >= 2
            assert mine.loss == pytest.approx(theirs.loss, abs=1e-6)
            assert records(mine) == records(theirs)
            assert all(slot.health is not None for slot in mine.observation.slots)
            for one, two in zip(mine.branches, theirs.branches, strict=True):
                assert one.gain == pytest.approx(two.gain, abs=1e-6)
                assert one.added_flops == pytest.approx(two.added_flops)
