"""Gain models whose weights a test writes down."""

import math

import numpy as np

from esper.learning.gain_model import RUN_NOISE, GainModel


def gain_model(weights: dict[str, float], *biases: float, expected_error: float = 0.1) -> GainModel:
    """Return a model of a member for each bias; all have the same weights, features are as is.

    Clipping leaves features in [-3, 3] as they are.  The error of expected gains is as given.
    """
    number = max(1, len(biases))
    row = np.array(list(weights.values()), dtype=np.float64)
    return GainModel(
        names=tuple(weights),
        centre=np.zeros(len(row)),
        spread=np.ones(len(row)),
        weights=np.tile(row, (number, 1)),
        biases=np.array(biases or (0.0,), dtype=np.float64),
        error=math.hypot(expected_error, RUN_NOISE),
        doubts=np.array([0.1, 0.2, 0.3, 0.4]),
    )
