"""Predict what a germination brings: linear models of standardised features.

    z         = clip((feature - centre) / spread, -LIMIT, LIMIT); 0 if the feature is unmeasured
    gain      = mean over the members of (bias + weights . z)
    deviation = their standard deviation

The members are fitted on resampled tasks, so that they differ where tasks were few (bagging;
Breiman 1996).  The gain is ln(loss without the kernel / loss with it) at the end of a run.
Shapes: N offers, F features, M members.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RUN_NOISE = 0.1
"""Standard deviation of a germination's gain over rng seeds, which no prediction can know.

Source: `python -m experiments.slot_choice --first 500 --tasks 50` (0.099).
"""
LEAST_SHARE = 0.3
"""Least part of a model's error that is not put down to `RUN_NOISE`."""
LIMIT = 3.0
"""Largest standardised feature: far from what it was fitted on, the model does not extrapolate."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class GainModel:
    """A fitted model.

    names: of the features, in the order of the arrays.
    centre, spread: of each feature (F,); spreads are > 0.
    weights: (M, F); biases: (M,).
    error: standard deviation of the gains of single runs about the predicted ones, on tasks not
        fitted, > 0.
    doubts: ascending doubts of predictions for such tasks, whose ranks state uncertainty.
    """

    names: tuple[str, ...]
    centre: Array
    spread: Array
    weights: Array
    biases: Array
    error: float
    doubts: Array

    @property
    def expected_error(self) -> float:
        """The standard deviation of expected gains, over rng seeds, about the predicted ones.

        It is `error` without the noise of a single run.
        """
        least = LEAST_SHARE * self.error
        return math.sqrt(max(least**2, self.error**2 - RUN_NOISE**2))

    def predict(self, features: Sequence[Mapping[str, float]]) -> tuple[Array, Array]:
        """Return the gains and their deviations, each (N,)."""
        return self.predict_rows(self.standardised(features))

    def predict_rows(self, z_NF: Array) -> tuple[Array, Array]:
        """Return what `predict` does, of features that are standardised."""
        gains_NM = z_NF @ self.weights.T + self.biases
        return gains_NM.mean(1), gains_NM.std(1)

    def uncertainty(self, gain: float, deviation: float) -> float:
        """Return the share of known predictions of a gain that had less doubt, in [0, 1].

        It is 1 if none is known.
        """
        if not len(self.doubts):
            return 1.0
        rank = np.searchsorted(self.doubts, doubt(np.array(gain), np.array(deviation)))
        return float(rank / len(self.doubts))

    def reasons(self, features: Mapping[str, float], number: int = 3) -> list[tuple[str, float]]:
        """Return the features that move the prediction most, with what each adds to the gain."""
        parts = self.standardised([features])[0] * self.weights.mean(0)
        order = np.argsort(-np.abs(parts), kind="stable")[:number]
        return [(self.names[place], float(parts[place])) for place in order]

    def parts(self, features: Sequence[Mapping[str, float]], groups: Sequence[int]) -> Array:
        """Return what each group of features adds to the gain, (N, G).

        Args:
            features: of N offers.
            groups: the group of each of the model's features, from 0 to G - 1.
        """
        is_of_group = np.eye(max(groups) + 1)[list(groups)]
        parts_NG: Array = (self.standardised(features) * self.weights.mean(0)) @ is_of_group
        return parts_NG

    def standardised(self, features: Sequence[Mapping[str, float]]) -> Array:
        """Return features in standard deviations from their centres, (N, F); 0 if unmeasured."""
        rows = [[each.get(name, np.nan) for name in self.names] for each in features]
        values_NF = np.asarray(rows, dtype=np.float64).reshape(len(rows), len(self.names))
        z_NF = np.clip((values_NF - self.centre) / self.spread, -LIMIT, LIMIT)
        return np.where(np.isnan(z_NF), 0.0, z_NF)

    def save(self, path: Path, facts: Mapping[str, Any]) -> None:
        """Write `path`.safetensors and `path`.json, which holds `facts` too."""
        from safetensors.numpy import save_file

        arrays = {name: getattr(self, name) for name in _ARRAYS}
        arrays_path, values_path = _files(path)
        save_file(arrays, arrays_path)
        values = {"names": list(self.names), "error": self.error, **facts}
        values_path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "GainModel":
        """Return the model that `save` wrote.

        Raises:
            OSError: if a file is missing or cannot be read.
            ValueError, KeyError, TypeError: if it holds something else.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        arrays_path, values_path = _files(path)
        values = json.loads(values_path.read_text(encoding="utf-8"))
        try:
            arrays = load_file(arrays_path)
        except SafetensorError as error:
            raise ValueError(str(error)) from error
        model = cls(names=tuple(values["names"]), error=float(values["error"]), **arrays)
        model.check()
        return model

    def check(self) -> None:
        """Raise ValueError if a value is not finite, out of range, or of another shape."""
        features, members = len(self.names), max(1, self.biases.size)
        shapes = {
            "centre": (features,),
            "spread": (features,),
            "weights": (members, features),
            "biases": (members,),
            "doubts": (self.doubts.size,),
        }
        for name, shape in shapes.items():
            array = getattr(self, name)
            if not np.isfinite(array).all():
                raise ValueError(f"{name} holds a value that is not finite")
            if array.shape != shape:
                raise ValueError(f"{name} must have the shape {shape}, got {array.shape}")
        if not (self.spread > 0).all():
            raise ValueError("spread must be > 0")
        if not 0 < self.error < math.inf:
            raise ValueError(f"error must be > 0 and finite, got {self.error}")

    @property
    def digest(self) -> str:
        """A number in hexadecimal digits that tells models apart."""
        content = hashlib.sha256(repr((self.names, self.error)).encode())
        for name in _ARRAYS:
            content.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        return content.hexdigest()[:16]


def _files(path: Path) -> tuple[Path, Path]:
    """Return the files of the arrays and of the values; a path may have dots in its name."""
    return path.with_name(path.name + ".safetensors"), path.with_name(path.name + ".json")


LEAST_GAIN = 0.02
"""Gains under it are not acted on, so that doubts about them count for nothing."""


def doubt(gains: Array, deviations: Array) -> Array:
    """Return how much the members disagree about gains, relative to these."""
    doubts: Array = deviations / np.maximum(gains, LEAST_GAIN)
    return doubts


_ARRAYS = ("centre", "spread", "weights", "biases", "doubts")
