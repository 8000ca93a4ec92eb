"""Gain models of a few known weights, and growth tasks that take a fraction of a second."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from esper.learning.gain_model import GainModel
from esper.policy.gain_features import FEATURES
from esper.run.episodes.task import EpisodeTask
from tests.unit.run.episodes.small_tasks import small_task


def gain_model(bias: float = 0.0, names: tuple[str, ...] = FEATURES, **weights: float) -> GainModel:
    """Return a model of two members that differ in the bias, by +-0.01; features are not scaled."""
    row = np.array([weights.get(name, 0.0) for name in names])
    return GainModel(
        names=names,
        centre=np.zeros(len(names)),
        spread=np.ones(len(names)),
        weights=np.stack([row, row]),
        biases=np.array([bias - 0.01, bias + 0.01]),
        error=0.1,
        doubts=np.array([0.5, 1.0]),
    )


def write_gain_model(path: Path, bias: float = 0.0, **weights: float) -> None:
    """Write the files of such a model."""
    gain_model(bias, **weights).save(path, {"command": "written by a test"})


def tiny_task(index: int) -> EpisodeTask:
    """Return a task with a host of three slots."""
    return replace(
        small_task(index, epochs=12),
        hidden=(4, 8, 8),
        residual=(True, False, True),
        samples=400,
        label_noise=0.0,
    )
