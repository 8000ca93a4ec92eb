"""Judge a gain model by cross-validation over tasks: each is predicted by a fit without it.

The net value of a germination is its measured gain - price * log2(1 + added FLOPs), with the price
of its task; waiting is worth 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from esper.learning.gain_fit import GAINS, GainData, GainFit, fit_gain_model
from esper.learning.gain_model import Array
from esper.policy.planner import Planner
from esper.policy.rules.verdict import flops_price
from esper.run.policy_training.rows import Record, as_features, branch_data, chosen, joined

FOLDS = 5
"""Most parts of the tasks, each of which is predicted by a fit of the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Predictions of measured branches of tasks that were not fitted.

    correlation: of predicted and measured gain; None if one of them does not vary.
    error: root mean square error of the predicted gain.
    chosen: mean net value of the germination with the largest cautious net gain (see `Planner`), or
        of waiting where that is not above the threshold.
    best, random: mean net value of the best germination or of waiting, and of a random germination.
    top_1: share of the tasks in which that germination is the best one.
    """

    correlation: float | None
    error: float
    chosen: float
    best: float
    random: float
    top_1: float


@dataclass(frozen=True, slots=True)
class _Choice:
    """One task: net values of the action that the predictions choose, of the best, the mean."""

    chosen: float
    best: float
    random: float
    is_best: bool


def evaluate(
    records: Sequence[Record], settled: GainData, options: GainFit, rng_seed: int, policy: Planner
) -> Evaluation:
    """Return how well fits to some tasks, and to all settled trials, predict the others."""
    data = branch_data(records)
    gains_N = np.clip(data.gains, *GAINS)
    predicted_N, deviations_N = _predicted(data, settled, options, rng_seed)
    cautious_N = predicted_N - policy.caution * deviations_N
    choices, start = [], 0
    for record in records:
        if branches := record["branches"]:
            end = start + len(branches)
            choices.append(_choice(record, cautious_N[start:end].tolist(), policy.threshold))
            start = end
    varies = min(gains_N.std(), predicted_N.std()) > 0
    return Evaluation(
        correlation=float(np.corrcoef(gains_N, predicted_N)[0, 1]) if varies else None,
        error=float(np.sqrt(np.mean((gains_N - predicted_N) ** 2))),
        chosen=_mean([each.chosen for each in choices]),
        best=_mean([each.best for each in choices]),
        random=_mean([each.random for each in choices]),
        top_1=_mean([float(each.is_best) for each in choices]),
    )


def _predicted(
    data: GainData, settled: GainData, options: GainFit, rng_seed: int
) -> tuple[Array, Array]:
    """Return the gains (N,) that fits without a branch's task predict, and their deviations."""
    tasks = np.unique(data.tasks)
    folds = min(FOLDS, len(tasks))
    fold_N = np.searchsorted(tasks, data.tasks) % folds
    predicted_N, deviations_N = np.zeros(len(data.gains)), np.zeros(len(data.gains))
    for fold in range(folds):
        out_N = fold_N == fold
        model = fit_gain_model(joined(chosen(data, ~out_N), settled), options, rng_seed)
        rows = [as_features(row) for row in data.features[out_N]]
        predicted_N[out_N], deviations_N[out_N] = model.predict(rows)
    return predicted_N, deviations_N


def _choice(record: Record, cautious: Sequence[float], threshold: float) -> _Choice:
    prices = [flops_price(record["price"], 1.0, b["added_flops"]) for b in record["branches"]]
    net = [b["gain"] - price for b, price in zip(record["branches"], prices, strict=True)]
    expected = [gain - price for gain, price in zip(cautious, prices, strict=True)]
    place = int(np.argmax(expected))
    return _Choice(
        chosen=net[place] if expected[place] > threshold else 0.0,
        best=max(0.0, *net),
        random=_mean(net),
        is_best=net[place] == max(net),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
