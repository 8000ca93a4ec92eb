"""The data sets of growth tasks: small, drawn from the task's index, and split into three.

Shapes: N samples, D features, T positions, C channels, H height, W width.
"""

from collections.abc import Callable
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from esper.contracts.data import DataSpec, InputKind
from esper.contracts.slot import SlotKind
from esper.data.base import DataSet, Split
from esper.run.episodes.task import EpisodeTask

FEATURES = 32
"""Features of a sample of dense data."""
POSITIONS = 12
"""Tokens of a sequence."""
TOKENS = 12
"""Size of the vocabulary."""
VALIDATION_SAMPLES, TEST_SAMPLES = 256, 512

Samples = tuple[NDArray[np.floating] | NDArray[np.integer], NDArray[np.integer]]


def load(task: EpisodeTask) -> DataSet:
    """Return the data of a task; its labels are noisy in the training split only.

    Features have torch's default type.
    """
    rng = np.random.default_rng([11, task.index])
    total = task.samples + VALIDATION_SAMPLES + TEST_SAMPLES
    x, y = _SOURCES[task.kind, task.data](task, total, rng)
    noisy = rng.uniform(size=task.samples) < task.label_noise
    y[: task.samples][noisy] = rng.integers(task.classes, size=int(noisy.sum()))
    is_text = task.kind is SlotKind.SEQUENCE
    inputs = torch.as_tensor(x, dtype=torch.int64 if is_text else torch.get_default_dtype())
    targets = torch.as_tensor(y, dtype=torch.int64)
    ends = (0, task.samples, task.samples + VALIDATION_SAMPLES, total)
    parts = [Split(x=inputs[a:b], y=targets[a:b]) for a, b in pairwise(ends)]
    spec = DataSpec(kind=_KINDS[task.kind], input_shape=inputs.shape[1:], num_classes=task.classes)
    return DataSet(spec=spec, train=parts[0], val=parts[1], test=parts[2])


_KINDS = {
    SlotKind.DENSE: InputKind.VECTOR,
    SlotKind.FEATURE_MAP: InputKind.IMAGE,
    SlotKind.SEQUENCE: InputKind.TOKENS,
}


@cache
def _digits() -> Samples:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return (bunch.images - 8) / 6, bunch.target


def _chosen_digits(task: EpisodeTask, total: int, rng: Generator) -> Samples:
    """Return images of some classes; no image is in two splits, though some occur twice in one."""
    images, labels = _digits()
    classes = rng.permutation(10)[: task.classes]
    found = rng.permutation(np.flatnonzero(np.isin(labels, classes)))
    ends = np.cumsum([task.samples, VALIDATION_SAMPLES, TEST_SAMPLES]) / total * len(found)
    parts = np.split(found, ends[:-1].astype(int))
    sizes = (task.samples, VALIDATION_SAMPLES, TEST_SAMPLES)
    pick = np.concatenate([np.resize(part, size) for part, size in zip(parts, sizes, strict=True)])
    x = images[pick] + rng.normal(0, rng.choice([0, 0.3, 0.8]), (total, 8, 8))
    return x, np.searchsorted(np.sort(classes), labels[pick])


def _flat_digits(task: EpisodeTask, total: int, rng: Generator) -> Samples:
    x, y = _chosen_digits(task, total, rng)
    mix = np.linalg.qr(np.random.default_rng(5).normal(size=(64, FEATURES)))[0]
    return x.reshape(total, -1) @ mix, y


def _digit_images(task: EpisodeTask, total: int, rng: Generator) -> Samples:
    x, y = _chosen_digits(task, total, rng)
    return x[:, None], y


def _teacher(task: EpisodeTask, total: int, rng: Generator) -> Samples:
    """Return the classes that a random network with two hidden layers gives."""
    size, width = int(rng.integers(6, 17)), int(rng.integers(4, 17))
    z = rng.normal(size=(total, size))
    hidden = np.tanh(z @ rng.normal(0, 2 / np.sqrt(size), (size, width)))
    hidden = np.tanh(hidden @ rng.normal(0, 2 / np.sqrt(width), (width, width)))
    logits = hidden @ rng.normal(size=(width, task.classes))
    x = np.zeros((total, FEATURES))
    x[:, :size] = z
    return x, (logits - logits.mean(0)).argmax(1)


def _spirals(task: EpisodeTask, total: int, rng: Generator) -> Samples:
    """Return points of spirals in a plane, and some waves of their coordinates."""
    y = rng.integers(task.classes, size=total)
    radius = np.sqrt(rng.uniform(0, 1, total))
    angle = 2 * np.pi * (rng.uniform(0.5, 1.25) * radius + y / task.classes)
    plane = 2 * np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    plane += rng.normal(0, 0.08, plane.shape)
    x = np.zeros((total, FEATURES))
    x[:, :2], x[:, 2:10] = plane, np.sin(plane @ rng.normal(size=(2, 8)))
    return x, y


def _textures(task: EpisodeTask, total: int, rng: Generator) -> Samples:
    """Return noisy waves; the class is their frequency and direction, the phase is random."""
    y = rng.integers(task.classes, size=total)
    waves = rng.uniform(0.4, 2.2, (task.classes, 2)) * rng.choice([-1, 1], (task.classes, 2))
    rows, columns = np.mgrid[:8, :8]
    phase = rng.uniform(0, 2 * np.pi, total)[:, None, None]
    angle = waves[y, 0, None, None] * rows + waves[y, 1, None, None] * columns + phase
    noise = rng.normal(0, rng.uniform(0.3, 1.2), angle.shape)
    return (np.sin(angle) + noise)[:, None], y


def _majority(task: EpisodeTask, total: int, rng: Generator) -> Samples:
    """Return sequences whose class is the most frequent of the first tokens of the vocabulary."""
    x = rng.integers(TOKENS, size=(total, POSITIONS))
    counts = np.stack([(x == each).sum(1) for each in range(task.classes)], 1)
    return x, (counts + rng.uniform(0, 0.5, counts.shape)).argmax(1)


def _recall(task: EpisodeTask, total: int, rng: Generator) -> Samples:
    """Return sequences of keys and values; the class is the value of the key that comes last."""
    keys, pairs = 4, (POSITIONS - 1) // 2
    values = rng.integers(task.classes, size=(total, keys))
    order = np.concatenate(
        [np.tile(range(keys), (total, 1)), rng.integers(keys, size=(total, pairs - keys))], 1
    )
    order = rng.permuted(order, axis=1)
    x = np.zeros((total, POSITIONS), dtype=np.int64)
    x[:, : 2 * pairs : 2] = order
    x[:, 1 : 2 * pairs : 2] = keys + np.take_along_axis(values, order, 1) % (TOKENS - keys)
    asked = rng.integers(keys, size=total)
    x[:, -1] = asked
    return x, values[np.arange(total), asked]


def _source(task: EpisodeTask, total: int, rng: Generator) -> Samples:
    """Return Markov chains; the class is the matrix of transitions that drew them."""
    y = rng.integers(task.classes, size=total)
    sharpness = rng.uniform(1.2, 2.2)
    matrices = np.exp(sharpness * rng.normal(size=(task.classes, TOKENS, TOKENS)))
    limits = np.cumsum(matrices / matrices.sum(2, keepdims=True), axis=2)
    x = np.zeros((total, POSITIONS), dtype=np.int64)
    x[:, 0] = rng.integers(TOKENS, size=total)
    for place in range(1, POSITIONS):
        drawn = rng.uniform(size=(total, 1))
        x[:, place] = (drawn > limits[y, x[:, place - 1]]).sum(1).clip(max=TOKENS - 1)
    return x, y


_SOURCES: dict[tuple[SlotKind, str], Callable[[EpisodeTask, int, Generator], Samples]] = {
    (SlotKind.DENSE, "digits"): _flat_digits,
    (SlotKind.DENSE, "teacher"): _teacher,
    (SlotKind.DENSE, "spirals"): _spirals,
    (SlotKind.FEATURE_MAP, "digits"): _digit_images,
    (SlotKind.FEATURE_MAP, "textures"): _textures,
    (SlotKind.SEQUENCE, "majority"): _majority,
    (SlotKind.SEQUENCE, "recall"): _recall,
    (SlotKind.SEQUENCE, "source"): _source,
}
