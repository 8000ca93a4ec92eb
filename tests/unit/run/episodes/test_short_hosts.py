"""Training tasks with short hosts."""

from esper.contracts.slot import SlotKind
from esper.run.episodes.episode import Episode
from esper.run.episodes.short_hosts import training_task
from esper.run.episodes.task import Scenario, draw_task

TASKS = {index: training_task(index) for index in range(1000, 1600)}
SHORT = [task for index, task in TASKS.items() if index % 3 == 0]


def test_two_of_three_tasks_are_of_the_family() -> None:
    assert all(task == draw_task(index) for index, task in TASKS.items() if index % 3)


def test_short_hosts_have_1_to_5_slots_and_those_of_transformers_2_to_6() -> None:
    for is_sequence, sizes in ((False, {1, 2, 3, 4, 5}), (True, {2, 4, 6})):
        found = {t.num_slots for t in SHORT if (t.kind is SlotKind.SEQUENCE) == is_sequence}
        assert found == sizes


def test_the_weak_block_stays() -> None:
    for task in SHORT:
        assert len(task.hidden) == len(task.residual)
        if task.place is None:
            continue
        assert task.place < task.num_slots
        assert not task.residual[task.place]
        assert (task.hidden[task.place] <= 2) == (task.scenario is Scenario.BOTTLENECK)
        assert task.kind is not SlotKind.SEQUENCE or task.place % 2 == 1


def test_budgets_are_longer_and_there_is_an_event_at_least() -> None:
    for task in SHORT:
        assert task.epochs == draw_task(task.index).epochs * 1.5
        plentiful = 3 * task.num_slots
        assert task.events == (max(1, task.num_slots // 3) if task.is_scarce else plentiful)


def test_a_short_host_trains() -> None:
    for kind in SlotKind:
        task = next(task for task in SHORT if task.kind is kind and task.num_slots <= 2)
        episode = Episode(task, 0, policy="never")
        episode.step()
        assert len(episode.grower.host.slots) == task.num_slots
