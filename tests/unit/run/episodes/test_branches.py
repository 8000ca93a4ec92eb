"""The value of a germination is the difference of two whole runs."""

import math
from dataclasses import replace

import pytest

from esper.run.episodes.branches import Branches, BranchPlan, measure_branches
from esper.run.episodes.episode import Episode, EpisodeResult
from esper.run.episodes.scripted import Event, Scripted
from esper.run.episodes.task import EpisodeTask
from esper.safety.options import Safety
from tests.unit.run.episodes.small_tasks import small_task


def tiny_task(index: int) -> EpisodeTask:
    """Return a task with a host of two slots."""
    return replace(small_task(index, epochs=12), hidden=(4, 8), residual=(True, False), samples=64)


def grown(task: EpisodeTask, events: tuple[Event, ...]) -> EpisodeResult:
    policy = Scripted(events=events)
    return Episode(task, 0, policy=policy, safety=Safety(max_cost=100.0)).finish()


@pytest.fixture(scope="module")
def measured() -> list[Branches]:
    return [measure_branches(tiny_task(index), 0) for index in (0, 3)]


def test_a_branch_is_worth_what_two_whole_runs_say(measured: list[Branches]) -> None:
    for each in measured:
        base = grown(each.task, each.prefix)
        assert base.loss == each.loss
        for branch in each.branches:
            run = grown(each.task, (*each.prefix, branch.event))
            assert run.events == base.events + 1
            assert branch.gain == math.log(base.loss / run.loss)
            assert branch.added_flops == run.flops / base.flops - 1
    assert all(branch.gain != 0 for branch in measured[1].branches)


def test_branches_differ_by_a_kernel_in_the_slots_that_can_grow(measured: list[Branches]) -> None:
    for each in measured:
        epochs = {branch.event.epoch for branch in each.branches}
        assert epochs <= {each.observation.epoch}
        slots = {branch.event.slot for branch in each.branches}
        # A host of two slots has three blueprints in each: six branches, where all can grow.
        assert len({branch.event for branch in each.branches}) == 3 * len(slots)
        keeping = {event.slot for event in each.prefix if event.epoch == each.observation.epoch - 4}
        assert keeping.isdisjoint(slots), "a slot that keeps a kernel cannot grow in that epoch"
        assert all(event.epoch < each.observation.epoch for event in each.prefix)
        assert len({event.slot for event in each.prefix}) == len(each.prefix)
        for branch in each.branches:
            assert branch.event.blueprint in each.observation.slot(branch.event.slot).spec.catalogue
            # If the network before the growth is the best, it is the end of both runs.
            assert (branch.added_flops > 0) == (branch.gain != 0)
    assert [len(each.prefix) for each in measured] == [1, 0]
    assert [len(each.branches) for each in measured] == [3, 6]


def test_a_host_of_six_slots_has_a_branch_in_each() -> None:
    plan = BranchPlan(small_task(3, epochs=12), 0)
    episode = Episode(plan.task, 0, **plan.base)
    while episode.grower.epoch < plan.start:
        observation = episode.step().observation
    slots = [event.slot for event in plan.events(observation)]
    assert len(slots) == len(set(slots)) == plan.task.num_slots == 6
