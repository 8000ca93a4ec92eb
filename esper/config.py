"""The configuration of a run: its keys, their types and defaults, and the checks on them."""

import re
from dataclasses import dataclass, field, replace
from typing import Any

from esper.contracts.budget import AUTO, NONE, Budget, epochs_at
from esper.contracts.checks import is_whole, require
from esper.data.digits import Digits
from esper.growth.options import NEVER
from esper.logger.wandb import Wandb
from esper.model.cnn import CNN
from esper.options import OPTIONS, ControlOptions, option_name
from esper.training.options import Training
from esper.training.schedule import USUAL

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
_NAME = re.compile(r"[\w][\w.+=,-]*")


@dataclass(frozen=True)
class Job:
    """Data, model, training, logger, budget and device of a run.

    epochs: number of them, or `auto` for a run that ends with its budget, or when it is stopped.
    budget: with `epochs=auto`, a time such as `10m`, FLOPs such as `5GFLOPs`, or `none`.
    name: the folder under `runs/` and `sweeps/`.
    experiment: name of the file in `conf/experiment` that set other keys.
    """

    epochs: Any = 40
    budget: str = NONE
    rng_seed: int = 0
    device: str = "auto"
    name: str = "train"
    experiment: str | None = None
    data: Any = field(default_factory=Digits)
    model: Any = field(default_factory=CNN)
    training: Any = field(default_factory=Training)
    logger: Any = field(default_factory=Wandb)

    def __post_init__(self) -> None:
        is_number = is_whole(self.epochs) and self.epochs >= 1
        valid = is_number or self.epochs == AUTO
        require(valid, "epochs", "a whole number >= 1, or auto", self.epochs)
        Budget.parse(self.budget)
        if is_number and self.budget != NONE:
            raise ValueError(
                f"budget={self.budget} needs epochs=auto: a run of epochs={self.epochs} ends with "
                "them"
            )
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
        self._resolve()
        self.attribution.check_stages(self.growth)
        self.attribution.check_epochs(epochs_at(self.epochs, 0))
        most, live = self.model.num_seeds, self.viability.max_concurrent_seeds
        fits = live is None or live <= most
        require(fits, "viability.max_concurrent_seeds", f"<= model.num_seeds ({most})", live)

    def _resolve(self) -> None:
        """Set the options whose default depends on whether the number of epochs is known."""
        is_open = self.epochs == AUTO
        if self.training.schedule is None:
            schedule = "constant" if is_open else USUAL
            object.__setattr__(self, "training", replace(self.training, schedule=schedule))
        if is_open and self.training.schedule != "constant":
            raise ValueError(
                f"training.schedule={self.training.schedule} falls towards the end of a run, which "
                "epochs=auto does not know (allowed: constant)"
            )
        if self.growth.widen is None:
            widen = AUTO if is_open and not self.training.freeze_host else NEVER
            object.__setattr__(self, "growth", replace(self.growth, widen=widen))
        if self.growth.widen == AUTO and self.training.freeze_host:
            raise ValueError("growth.widen=auto changes the host, which training.freeze_host keeps")
