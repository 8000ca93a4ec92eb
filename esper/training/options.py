"""Options of training: optimizer, learning rate and its schedule, clipping."""

import math
from dataclasses import dataclass

from esper.contracts.checks import require, require_one_of
from esper.training.schedule import SCHEDULES

OPTIMIZERS = ("adamw", "adam", "sgd")


@dataclass(frozen=True)
class Training:
    """How the host is trained, the same for every arm of a comparison.

    lr: highest learning rate of the schedule.
    schedule: `wsd` is constant until `decay_from` of the budget, then falls linearly to 0;
        `cosine` falls from the start.  None for `wsd`, and `constant` where the budget is unknown.
    decay_from: share of the budget after which `wsd` falls, in [0, 1].
    warmup_epochs: in which the learning rate rises linearly from 0; for a host that is trained.
    freeze_host: whether the host keeps its weights and statistics, and only kernels learn.
    clip_norm: largest gradient norm of each parameter group; 0 turns clipping off.
    steps_per_epoch: optimizer steps in an epoch; None for one pass over the data.
    threads: CPU threads of torch; more than one slows small networks if other processes run.
    """

    optimizer: str = "adamw"
    lr: float = 0.01
    weight_decay: float = 0.01
    momentum: float = 0.9
    schedule: str | None = None
    decay_from: float = 0.6
    warmup_epochs: float = 0.0
    freeze_host: bool = False
    clip_norm: float = 1.0
    steps_per_epoch: int | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        require_one_of("training.optimizer", self.optimizer, OPTIMIZERS)
        if self.schedule is not None:
            require_one_of("training.schedule", self.schedule, SCHEDULES)
        require(0 < self.lr < math.inf, "training.lr", "> 0 and finite", self.lr)
        for key in ("weight_decay", "clip_norm", "warmup_epochs"):
            value = getattr(self, key)
            require(0 <= value < math.inf, f"training.{key}", ">= 0 and finite", value)
        require(0 <= self.momentum < 1, "training.momentum", "in [0, 1)", self.momentum)
        require(0 <= self.decay_from <= 1, "training.decay_from", "in [0, 1]", self.decay_from)
        require(self.threads >= 1, "training.threads", ">= 1", self.threads)
        steps = self.steps_per_epoch
        require(steps is None or steps >= 1, "training.steps_per_epoch", ">= 1 or null", steps)
