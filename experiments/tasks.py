"""The tasks of the experiments: data, the host that grows on them, and hosts of other sizes.

digits   the default convolutional host; a partition of the images that no choice was based on
text     a transformer on the default text, which has one partition
spirals  a dense host
cifar10  the convolutional host on a subset of small images; needs the data set's folder
"""

from dataclasses import dataclass, replace
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

SPLIT_SEED = 1
"""Seed of the splits that are reported; no choice was based on them."""

TUNING_SPLIT_SEED = 0
"""Seed of the splits on which hosts, learning rate and sizes were chosen."""

SIZES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Hidden widths of the static hosts, relative to the host that grows."""

CIFAR_SAMPLES = 5000
CIFAR_IMAGE_SIZE = 8
WITHOUT_FILES = ("digits", "text", "spirals")
CIFAR = "cifar10"


@dataclass(frozen=True)
class Place:
    """Where an experiment runs.

    task: name of the task.
    epochs: budget of the grown run.
    split_seed: partition of the data.
    cifar: folder of CIFAR-10, None without it.
    """

    task: str
    epochs: int = 40
    split_seed: int = SPLIT_SEED
    cifar: Path | None = None

    def config(self, rng_seed: int, **changes: Any) -> RunConfig:
        """Return the default configuration of the task, with changes."""
        data, model = _data_and_model(self)
        plain: dict[str, Any] = {"data": data, "model": model, "logger": NoLogger()}
        return RunConfig(**{"epochs": self.epochs, "rng_seed": rng_seed, **plain, **changes})


def task_names(cifar: Path | None) -> tuple[str, ...]:
    """Return the tasks that can run; print a line for one that cannot."""
    if cifar is None:
        print("cifar10 is skipped: --cifar names the folder of the data set")
        return WITHOUT_FILES
    return (*WITHOUT_FILES, CIFAR)


def sized(model: Any, factor: float) -> Any:
    """Return a host with `factor` times the hidden widths, each at least 1.

    Raises:
        TypeError: if the host has no hidden widths.
    """
    if isinstance(model, CNN | MLP):
        return replace(model, hidden=tuple(max(1, round(h * factor)) for h in model.hidden))
    if isinstance(model, Transformer):
        return replace(model, mlp_ratio=model.mlp_ratio * factor)
    raise TypeError(f"{type(model).__name__} has no hidden widths")


def _data_and_model(place: Place) -> tuple[Any, Any]:
    match place.task:
        case "digits":
            return Digits(split_seed=place.split_seed), CNN()
        case "text":
            return Text(), Transformer()
        case "spirals":
            return Spirals(split_seed=place.split_seed), MLP()
        case "cifar10" if place.cifar is not None:
            data = CIFAR10(
                path=str(place.cifar),
                max_samples=CIFAR_SAMPLES,
                image_size=CIFAR_IMAGE_SIZE,
                split_seed=place.split_seed,
            )
            return data, CNN()
    raise ValueError(f"no task '{place.task}' (allowed: {', '.join(WITHOUT_FILES)}, cifar10)")
