"""Foresee rewards with a small network of which the last layer is Bayesian.

    h     = (1, tanh(W x + c)), fitted to the rewards of all known trials by least squares
    theta ~ normal(A^-1 b, noise^2 A^-1), A = RIDGE * I + sum w h h^T, b = sum w h r

This is the neural-linear bandit of Riquelme, Tucker and Snoek 2018 (arXiv:1802.09127).  x names the
kind and placement of a slot and the blueprint, and holds the context of the germination (see
`regression`), so that what is learned of one blueprint or slot tells of others.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esper.contracts.ledger import CONTEXT_SIZES, NEUTRAL, LedgerEntry

UNITS = 8
"""Hidden units."""
DECAY = 0.1
"""Weight of the squared weights of the hidden layer, beside the squared errors."""
RIDGE = 1.0
"""Weight of the prior of the last layer, in trials."""
LEAST_TRIALS = 4
"""Trials under which nothing is foreseen."""
MOST_TRIALS = 300
"""Number of the latest trials that it is fitted on."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trial:
    """A settled trial: where, of what, in which context, and its raw reward."""

    place: tuple[str, ...]
    context: tuple[float, ...]
    reward: float
    weight: float


def trials_of(entries: Iterable[LedgerEntry]) -> list[Trial]:
    """Return the trials of entries whose reward and context are known."""
    return [
        Trial(place_of(each), each.context, each.reward, each.weight)
        for each in entries
        if each.reward is not None and each.context
    ]


def place_of(entry: LedgerEntry) -> tuple[str, str, str]:
    """Return what names the pool of an entry."""
    return str(entry.slot_kind), str(entry.placement), entry.blueprint


class Foresight:
    """The network of a ledger, fitted when it is asked and trials have changed.

    former: trials of other runs, the latest of them last.
    """

    def __init__(self) -> None:
        self.former: list[Trial] = []
        self._fitted_on: tuple[Any, ...] | None = None
        self._net: _Net | None = None

    def predict(
        self,
        entries: Iterable[LedgerEntry],
        unit: Callable[[float], float],
        place: tuple[str, ...],
        context: Sequence[float],
    ) -> tuple[float, float]:
        """Return the reward that is foreseen, mapped, and its variance relative to one reward's.

        Args:
            entries: of this run.
            unit: maps a raw reward to [0, 1].
            place: as `place_of`.
            context: of the germination.
        """
        trials = [*self.former, *trials_of(entries)][-MOST_TRIALS:]
        if len(trials) < LEAST_TRIALS:
            return 0.5, 1 / RIDGE
        rewards = [unit(each.reward) for each in trials]
        asked = (tuple(trials), tuple(rewards))
        if self._net is None or self._fitted_on != asked:
            self._net, self._fitted_on = _Net(trials, rewards), asked
        return self._net.predict(place, context)

    def state_dict(self) -> list[list[Any]]:
        """Return the former trials, ready for JSON."""
        return [list(astuple(each)) for each in self.former]

    def load_state_dict(self, state: Iterable[Sequence[Any]]) -> None:
        """Replace the former trials by what `state_dict` returned."""
        self.former = [Trial(tuple(p), tuple(c), reward, weight) for p, c, reward, weight in state]


class _Net:
    """A network that was fitted to trials."""

    def __init__(self, trials: Sequence[Trial], rewards: Sequence[float]) -> None:
        self.names = tuple(dict.fromkeys((at, n) for t in trials for at, n in enumerate(t.place)))
        rows = np.array([self._row(each.place, each.context) for each in trials])
        excess = np.array(rewards) - 0.5
        self.weights, self.biases = _hidden_layer(rows, excess)
        h, w = self._hidden(rows), np.array([each.weight for each in trials])
        self.inverse = np.linalg.inv(RIDGE * np.eye(h.shape[1]) + (h.T * w) @ h)
        self.theta = self.inverse @ (h.T @ (w * excess))

    def predict(self, place: tuple[str, ...], context: Sequence[float]) -> tuple[float, float]:
        h = self._hidden(np.array([self._row(place, context)]))[0]
        return 0.5 + float(h @ self.theta), float(h @ self.inverse @ h)

    def _row(self, place: tuple[str, ...], context: Sequence[float]) -> list[float]:
        named = set(enumerate(place))
        padding = (NEUTRAL,) * (max(CONTEXT_SIZES) - len(context))
        return [*(float(each in named) for each in self.names), *context, *padding]

    def _hidden(self, rows: Array) -> Array:
        hidden = np.tanh(rows @ self.weights + self.biases)
        return np.concatenate([np.ones((len(rows), 1)), hidden], axis=1)


def _hidden_layer(rows: Array, targets: Array) -> tuple[Array, Array]:
    """Return weights and biases of the hidden layer of a network that is fitted to targets."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    net = MLPRegressor(
        hidden_layer_sizes=(UNITS,),
        activation="tanh",
        solver="lbfgs",
        alpha=DECAY,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 200 steps are enough for features
        net.fit(rows, targets)
    return net.coefs_[0], net.intercepts_[0]
