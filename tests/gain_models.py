"""Gain models of a few known weights, and growth tasks that take a fraction of a second."""

from dataclasses import replace
from pathlib import Path

from esper.learning.gain_model import GainModel
from esper.run.episodes.task import EpisodeTask
from esper.signals.gain_features import FEATURES
from tests.unit.learning.gain_models import gain_model
from tests.unit.run.episodes.small_tasks import small_task


def full_model(bias: float = 0.0, **weights: float) -> GainModel:
    """Return a model of all features, with two members that differ in the bias, by +-0.01."""
    every = {**dict.fromkeys(FEATURES, 0.0), **weights}
    return gain_model(every, bias - 0.01, bias + 0.01)


def write_gain_model(path: Path, bias: float = 0.0, **weights: float) -> None:
    """Write the files of such a model."""
    full_model(bias, **weights).save(path, {"command": "written by a test"})


def tiny_task(index: int) -> EpisodeTask:
    """Return a task with a host of three slots."""
    return replace(
        small_task(index, epochs=12),
        hidden=(4, 8, 8),
        residual=(True, False, True),
        samples=400,
        label_noise=0.0,
    )
