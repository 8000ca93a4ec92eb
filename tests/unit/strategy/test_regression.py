"""The regression on contexts: against the textbook's normal equations."""

import json
import math
from dataclasses import asdict
from random import Random

import numpy as np
import pytest

from esper.contracts.metrics import EpochMetrics
from esper.contracts.observation import Observation
from esper.strategy.regression import Regression, context_of


def _seen(epoch: int, loss: float) -> Observation:
    return Observation(
        metrics=EpochMetrics(epoch=epoch, global_step=1, val_loss=loss),
        epochs=20,
        may_grow=True,
        plateau_epochs=0,
        loss_delta=None,
        accuracy_delta=None,
        best_val_accuracy=None,
        best_val_loss=None,
        train_losses=(),
        val_losses=(),
        val_accuracies=(),
        slots=(),
    )


def test_the_context_by_hand() -> None:
    assert context_of(_seen(5, 3.0), 1e-3) == pytest.approx((1.0, 0.75, 0.5, 0.25))
    assert context_of(_seen(20, math.nan), 0.0) == (1.0, 1.0, 0.0, 1.0)
    assert context_of(_seen(0, -2.0), 100.0) == (1.0, 0.0, 1.0, 0.0)


def test_it_equals_the_normal_equations() -> None:
    rng = Random(3)
    trials = [([1.0, rng.random(), rng.random(), rng.random()], rng.gauss(0, 1)) for _ in range(50)]
    regression = Regression()
    for context, reward in trials:
        regression.add(context, reward)
    contexts = np.array([context for context, _ in trials])
    rewards = np.array([reward for _, reward in trials])
    matrix = np.eye(4) + contexts.T @ contexts
    x = [1.0, 0.2, 0.9, 0.4]
    reward, weight, variance = regression.predict(x)
    assert reward == pytest.approx(x @ np.linalg.solve(matrix, contexts.T @ rewards))
    assert weight == pytest.approx(x @ np.linalg.solve(matrix, contexts.T @ np.ones(50)))
    assert variance == pytest.approx(x @ np.linalg.solve(matrix, x))


def test_longer_contexts_make_it_larger_as_if_shorter_ones_said_nothing() -> None:
    rng = Random(5)
    short = [(1.0, rng.random(), 0.5, rng.random()) for _ in range(6)]
    long = [(1.0, rng.random(), 0.5, rng.random(), *(rng.random() for _ in "abc")) for _ in short]
    grown, whole = Regression(), Regression()
    for context in (*short, *long, *short):
        grown.add(context, sum(context))
        whole.add((*context, 0.5, 0.5, 0.5)[:7], sum(context))
    assert grown.predict(long[0]) == pytest.approx(whole.predict(long[0]))
    assert grown.predict(short[0]) == pytest.approx(whole.predict((*short[0], 0.5, 0.5, 0.5)))
    assert len(grown.inverse) == 7
    # Of what no trial had, the prior knows: its variance is that of the numbers themselves.
    fresh = Regression()
    for context in short:
        fresh.add(context, 1.0)
    known = fresh.predict(short[0])[2]
    assert fresh.predict((*short[0], 0.5, 0.0, 1.0))[2] == pytest.approx(known + 0.5)


def test_without_a_trial_it_expects_nothing() -> None:
    assert Regression().predict([1.0, 0.5, 0.0, 0.0]) == (0.0, 0.0, 1.25)


def test_it_stays_exact_and_small_over_many_trials() -> None:
    rng = Random(4)
    regression = Regression()
    for _ in range(20_000):
        context = [1.0, rng.random(), rng.random(), rng.random()]
        regression.add(context, 2.0 + context[3])
    reward, weight, variance = regression.predict([1.0, 0.5, 0.5, 1.0])
    assert reward == pytest.approx(3.0, abs=1e-2)
    assert weight == pytest.approx(1.0, abs=1e-3)
    assert 0 < variance < 1e-3
    assert len(json.dumps(asdict(regression), separators=(",", ":"))) <= 1024
