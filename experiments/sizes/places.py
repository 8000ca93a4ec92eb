"""The tasks, the hosts of each size, and what a budget is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esper.config import RunConfig
from esper.data.cifar10 import CIFAR10
from esper.data.digits import Digits
from esper.data.spirals import Spirals
from esper.data.text import Text
from esper.logger.none import NoLogger
from esper.model.cnn import CNN
from esper.model.mlp import MLP
from esper.model.transformer import Transformer
from esper.policy.never import Never
from esper.training.options import Training

FACTORS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Widths of the fixed hosts, relative to the one that grows."""
BUDGETS = (0.125, 0.25, 0.5, 1.0, 2.0)
"""In units of `REFERENCE_EPOCHS` epochs of the host of `REFERENCE_FACTOR`."""
REFERENCE_EPOCHS, REFERENCE_FACTOR = {"digits": 40, "dense": 40, "text": 10, "cifar10": 20}, 4.0
RATES = (0.003, 0.01, 0.03, 0.1)
"""Learning rates that each size, and each way of growing, is tuned among."""
TUNING_SEEDS = (100, 101)
SPLIT_SEED = 1
"""Of the splits; those of seed 0 served to choose hosts."""
TASKS = ("digits", "dense", "text")
CIFAR, CIFAR_SAMPLES, CIFAR_IMAGE_SIZE = "cifar10", 5000, 8


@dataclass(frozen=True)
class Place:
    """A task, and the folder of CIFAR-10 if it is that."""

    task: str
    cifar: str | None = None

    def data(self) -> Any:
        """Return the options of the data."""
        match self.task:
            case "digits":
                return Digits(split_seed=SPLIT_SEED)
            case "dense":
                return Spirals(turns=2.0, split_seed=SPLIT_SEED)
            case "text":
                return Text()
        return CIFAR10(
            path=str(Path(self.cifar or "")),
            max_samples=CIFAR_SAMPLES,
            image_size=CIFAR_IMAGE_SIZE,
            split_seed=SPLIT_SEED,
        )

    def model(self, factor: float) -> Any:
        """Return the options of a host of so many times the width of the one that grows."""

        def times(width: int) -> int:
            return round(factor * width)

        match self.task:
            case "dense":
                return MLP(hidden=(times(8), times(8)), width=times(8))
            case "text":
                return Transformer(width=times(16), mlp_ratio=2.0)
        return CNN(hidden=(times(2), times(4)), channels=(times(8), times(16)))

    def config(self, factor: float, rate: float, rng_seed: int, **changes: Any) -> RunConfig:
        """Return the configuration of a run without a number of epochs."""
        plain: dict[str, Any] = {
            "epochs": "auto",
            "policy": Never(),
            "logger": NoLogger(),
            "training": Training(lr=rate),
            "data": self.data(),
            "model": self.model(factor),
        }
        return RunConfig(rng_seed=rng_seed, **{**plain, **changes})
