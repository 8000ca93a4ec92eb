"""The data of growth tasks: functions of the task, split into three, noisy in training only."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from esper.contracts.slot import SlotKind
from esper.data.base import DataSet, Split
from esper.run.episodes.data import (
    POSITIONS,
    TEST_SAMPLES,
    TOKENS,
    VALIDATION_SAMPLES,
    load,
)
from esper.run.episodes.task import DATA, EpisodeTask, draw_task

SOURCES = [(kind, data) for kind, names in DATA.items() for data in names]


def task_of(kind: SlotKind, data: str, index: int = 0, **changes: Any) -> EpisodeTask:
    """Return the first task from `index` on with a kind of host and data."""
    while (task := draw_task(index, kind)).data != data:
        index += 1
    return replace(task, **changes)


def splits(data: DataSet) -> tuple[Split, Split, Split]:
    return data.train, data.val, data.test


def same(one: Split, other: Split) -> bool:
    return torch.equal(one.x, other.x) and torch.equal(one.y, other.y)


@pytest.mark.parametrize(("kind", "name"), SOURCES)
def test_data_are_a_function_of_the_task_in_three_parts(kind: SlotKind, name: str) -> None:
    task = task_of(kind, name)
    data, again, other = load(task), load(task), load(task_of(kind, name, task.index + 1))
    assert all(map(same, splits(data), splits(again)))
    assert not same(data.val, other.val)
    assert [len(part) for part in splits(data)] == [task.samples, VALIDATION_SAMPLES, TEST_SAMPLES]
    shape = {SlotKind.DENSE: (32,), SlotKind.FEATURE_MAP: (1, 8, 8), SlotKind.SEQUENCE: (12,)}
    assert tuple(data.spec.input_shape) == shape[kind]
    assert data.spec.num_classes == task.classes
    for part in splits(data):
        assert part.x.shape == (len(part), *shape[kind])
        assert set(part.y.tolist()) <= set(range(task.classes))
        assert len(set(part.y.tolist())) >= 2


@pytest.mark.parametrize(("kind", "name"), SOURCES)
def test_only_training_labels_are_noisy(kind: SlotKind, name: str) -> None:
    task = task_of(kind, name, samples=2000, classes=4, label_noise=0.3)
    noisy, clean = load(task), load(replace(task, label_noise=0.0))
    assert same(noisy.val, clean.val)
    assert same(noisy.test, clean.test)
    assert torch.equal(noisy.train.x, clean.train.x)
    # A quarter of the drawn labels are the true ones; five standard errors.
    wrong = (noisy.train.y != clean.train.y).float().mean().item()
    assert wrong == pytest.approx(0.3 * 3 / 4, abs=0.05)


def test_no_digit_is_in_two_splits() -> None:
    num_clean = 0
    for index in range(12):
        data = load(task_of(SlotKind.FEATURE_MAP, "digits", 20 * index))
        levels = data.val.x * 6 + 8
        if not torch.allclose(levels, levels.round(), atol=1e-3):
            continue  # noise hides which image it is
        num_clean += 1
        images = [{tuple(image.flatten().tolist()) for image in part.x} for part in splits(data)]
        assert all(len(part) > 50 for part in images)
        assert sum(map(len, images)) == len(set.union(*images))
    assert num_clean >= 2


def test_the_most_frequent_token_of_a_sequence_is_its_class() -> None:
    task = task_of(SlotKind.SEQUENCE, "majority", label_noise=0.0)
    data = load(task)
    for x, label in zip(data.test.x.tolist(), data.test.y.tolist(), strict=True):
        counts = [x.count(token) for token in range(task.classes)]
        assert counts[label] == max(counts)


def test_the_key_that_comes_last_is_looked_up_by_hand() -> None:
    data = load(task_of(SlotKind.SEQUENCE, "recall", label_noise=0.0))
    for x, label in zip(data.test.x.tolist(), data.test.y.tolist(), strict=True):
        assert len(x) == POSITIONS
        assert max(x) < TOKENS
        keys, values = x[0:10:2], x[1:10:2]
        found = {value for key, value in zip(keys, values, strict=True) if key == x[-1]}
        assert found == {4 + label}, "values follow the 4 keys in the vocabulary"
