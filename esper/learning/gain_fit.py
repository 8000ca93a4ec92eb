"""Fit a gain model on measured gains: ridge regressions on resampled tasks.

Shapes: N measured gains, F features, M members.
"""

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esper.contracts.checks import require
from esper.contracts.errors import DataError
from esper.learning.gain_model import LEAST_GAIN, LIMIT, Array, GainModel, doubt

GAINS = (-0.5, 1.0)
"""Gains are clipped to this range, so that a few tasks do not decide the fit."""
LEAST_SPREAD = 1e-3


@dataclass(frozen=True)
class GainData:
    """Measured gains.

    names: of the features.
    features: (N, F), NaN where unmeasured.
    gains: (N,), log losses.
    tasks: (N,), the task of each; gains of one task are not independent.
    """

    names: tuple[str, ...]
    features: Array
    gains: Array
    tasks: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class GainFit:
    """How a gain model is fitted.

    members: number of regressions, each on tasks drawn with replacement, >= 2.
    penalty: of the squared weights (ridge), > 0.
    """

    members: int = 20
    penalty: float = 500.0

    def __post_init__(self) -> None:
        require(self.members >= 2, "learning.members", ">= 2", self.members)
        require(0 < self.penalty < math.inf, "learning.penalty", "> 0", self.penalty)


def fit_gain_model(data: GainData, options: GainFit, rng_seed: int) -> GainModel:
    """Return the model fitted on all tasks; its error is that on tasks which members left out.

    Raises:
        DataError: if the tasks are too few for two members to leave one out.
    """
    with warnings.catch_warnings():
        # A feature that is measured nowhere has no mean; it counts as 0.
        warnings.simplefilter("ignore", RuntimeWarning)
        centre = np.nan_to_num(np.nanmean(data.features, axis=0))
        spread = np.nan_to_num(np.nanstd(data.features, axis=0)) + LEAST_SPREAD
    z_NF = np.clip((data.features - centre) / spread, -LIMIT, LIMIT)
    z_NF = np.where(np.isnan(z_NF), 0.0, z_NF)
    gains_N = np.clip(data.gains, *GAINS)
    rng, tasks = np.random.default_rng(rng_seed), np.unique(data.tasks)
    weights, biases, counts = [], [], []
    for _ in range(options.members):
        drawn = rng.choice(tasks, len(tasks))
        numbers = np.bincount(np.searchsorted(tasks, drawn), minlength=len(tasks))
        weight_N = numbers[np.searchsorted(tasks, data.tasks)]
        weight, bias = _ridge(z_NF, gains_N, weight_N, options.penalty)
        weights.append(weight)
        biases.append(bias)
        counts.append(weight_N)
    left_out = _left_out(z_NF @ np.array(weights).T + np.array(biases), np.array(counts).T)
    if not left_out.known.any():
        raise DataError(f"{len(tasks)} tasks are too few to fit {options.members} members on")
    return GainModel(
        names=data.names,
        centre=centre,
        spread=spread,
        weights=np.array(weights),
        biases=np.array(biases),
        error=float(np.sqrt(np.mean((gains_N[left_out.known] - left_out.gains) ** 2))),
        doubts=np.sort(doubt(left_out.gains, left_out.deviations)[left_out.gains > LEAST_GAIN]),
    )


@dataclass(frozen=True)
class LeftOut:
    """Predictions by the members that were not fitted on a task.

    known: which gains have at least two such members, (N,).
    gains, deviations: mean and standard deviation over those members, of the known ones.
    """

    known: NDArray[np.bool_]
    gains: Array
    deviations: Array


def _left_out(gains_NM: Array, counts_NM: NDArray[np.int64]) -> LeftOut:
    out_NM = counts_NM == 0
    known = out_NM.sum(1) >= 2
    values = np.where(out_NM, gains_NM, np.nan)[known]
    return LeftOut(known, np.nanmean(values, 1), np.nanstd(values, 1))


def _ridge(
    z_NF: Array, gains_N: Array, weight_N: NDArray[np.int64], penalty: float
) -> tuple[Array, float]:
    """Return weights (F,) and bias; the bias is not penalised."""
    from sklearn.linear_model import Ridge

    model = Ridge(alpha=penalty, solver="cholesky").fit(z_NF, gains_N, sample_weight=weight_N)
    return np.asarray(model.coef_, dtype=np.float64), float(model.intercept_)
