"""The configuration of a run: its keys, their types and values, and what must hold among them."""

import re
from dataclasses import dataclass, field
from typing import Any

from esper.blueprint.options import Blueprints
from esper.data.digits import Digits
from esper.growth.options import Growth
from esper.kernels.options import Kernels, Recover
from esper.logger.wandb import Wandb
from esper.model.cnn import CNN
from esper.options import OPTIONS, option_name
from esper.orchestrator.auto import Auto
from esper.policy.heuristic import Heuristic
from esper.reward.multi_metric import MultiMetric
from esper.safety.governor import GovernorOptions
from esper.safety.review import Safety
from esper.signals.options import Signals
from esper.store.memory import Memory
from esper.strategy.ucb import UCB
from esper.strategy.viability import Viability
from esper.training.options import Training

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
_NAME = re.compile(r"[\w][\w.+=,-]*")


@dataclass(frozen=True)
class RunConfig:
    """Everything that a run is a function of.

    The groups (data to store) hold an option of `OPTIONS`, hence `Any`; `experiment` names the file
    of `conf/experiment` that set the others.  `name` is the folder under `runs/` and `sweeps/`.
    """

    epochs: int = 40
    rng_seed: int = 0
    device: str = "auto"
    name: str = "train"
    experiment: str | None = None
    data: Any = field(default_factory=Digits)
    model: Any = field(default_factory=CNN)
    blueprint: Any = field(default_factory=Blueprints)
    strategy: Any = field(default_factory=UCB)
    orchestrator: Any = field(default_factory=Auto)
    policy: Any = field(default_factory=Heuristic)
    reward: Any = field(default_factory=MultiMetric)
    training: Any = field(default_factory=Training)
    logger: Any = field(default_factory=Wandb)
    store: Any = field(default_factory=Memory)
    viability: Viability = field(default_factory=Viability)
    signals: Signals = field(default_factory=Signals)
    growth: Growth = field(default_factory=Growth)
    kernels: Kernels = field(default_factory=Kernels)
    safety: Safety = field(default_factory=Safety)
    governor: GovernorOptions = field(default_factory=GovernorOptions)
    recovery: Recover = field(default_factory=Recover)

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"epochs must be >= 1, got {self.epochs}")
        if not 0 <= self.rng_seed < 2**32:
            raise ValueError(f"rng_seed must be in [0, 2**32), got {self.rng_seed}")
        if not _DEVICE.fullmatch(self.device):
            raise ValueError(
                f"device must be auto, cpu, cuda, cuda:<number> or mps, got '{self.device}'"
            )
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name must be a plain folder name, got '{self.name}'")
        for group in OPTIONS:
            option_name(group, getattr(self, group))
        if self.viability.max_concurrent_seeds > self.model.num_seeds:
            raise ValueError(
                f"viability.max_concurrent_seeds must be <= model.num_seeds "
                f"({self.model.num_seeds}), got {self.viability.max_concurrent_seeds}"
            )
