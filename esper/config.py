"""The configuration of a run: its keys, their types and defaults, and the checks on them."""

import re
from dataclasses import dataclass, field
from typing import Any

from esper.contracts.checks import require
from esper.data.digits import Digits
from esper.logger.wandb import Wandb
from esper.model.cnn import CNN
from esper.options import OPTIONS, ControlOptions, option_name
from esper.training.options import Training

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
_NAME = re.compile(r"[\w][\w.+=,-]*")


@dataclass(frozen=True)
class Job:
    """Data, model, training, logger, budget and device of a run.

    epochs: budget of the run.
    name: the folder under `runs/` and `sweeps/`.
    experiment: name of the file in `conf/experiment` that set other keys.
    """

    epochs: int = 40
    rng_seed: int = 0
    device: str = "auto"
    name: str = "train"
    experiment: str | None = None
    data: Any = field(default_factory=Digits)
    model: Any = field(default_factory=CNN)
    training: Any = field(default_factory=Training)
    logger: Any = field(default_factory=Wandb)

    def __post_init__(self) -> None:
        require(self.epochs >= 1, "epochs", ">= 1", self.epochs)
        require(0 <= self.rng_seed < 2**32, "rng_seed", "in [0, 2**32)", self.rng_seed)
        devices = "auto, cpu, cuda, cuda:<number> or mps"
        require(bool(_DEVICE.fullmatch(self.device)), "device", devices, repr(self.device))
        require(bool(_NAME.fullmatch(self.name)), "name", "a plain folder name", repr(self.name))


# A dataclass lists the fields of its last base first, so `epochs` heads a printed configuration.
@dataclass(frozen=True)
class RunConfig(ControlOptions, Job):
    """All options of a run."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for group in OPTIONS:
            option_name(group, getattr(self, group))
        self.attribution.check_stages(self.growth)
        self.attribution.check_epochs(self.epochs)
        most, live = self.model.num_seeds, self.viability.max_concurrent_seeds
        fits = live is None or live <= most
        require(fits, "viability.max_concurrent_seeds", f"<= model.num_seeds ({most})", live)
