"""The configuration of a run: its keys, their types and values, and what must hold among them."""

import re
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from esper.blueprint.options import Blueprints
from esper.contracts.errors import ConfigError
from esper.data.digits import Digits
from esper.explain import explain, unknown_key
from esper.growth.options import Growth, Recover
from esper.growth.pipeline.options import Kernels
from esper.model.cnn import CNN
from esper.options import OPTIONS, option_name
from esper.orchestrator.auto import Auto
from esper.policy.heuristic import Heuristic
from esper.policy.safety import Safety
from esper.reward.multi_metric import MultiMetric
from esper.signals.options import Signals
from esper.strategy.store.memory import Memory
from esper.strategy.ucb import UCB
from esper.strategy.viability import Viability
from esper.telemetry.wandb import Wandb
from esper.training.governor import Governor
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
    governor: Governor = field(default_factory=Governor)
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


def register() -> None:
    """Store the schemas of all groups where Hydra looks them up; doing it again changes nothing."""
    store = ConfigStore.instance()
    run = writable(OmegaConf.structured(RunConfig))
    for group, options in OPTIONS.items():
        run[group] = "???"  # the defaults list of `train.yaml` chooses
        for name, option in options.items():
            schema = writable(OmegaConf.structured(option))
            store.store(group=group, name=f"{name}_schema", node=schema)
    store.store(name="train_schema", node=run)


def to_run_config(cfg: DictConfig) -> RunConfig:
    """Return the checked configuration of a composed one.

    Raises:
        ConfigError: naming the key, its value and what is allowed.
    """
    try:
        _refuse_unknown_keys(cfg, RunConfig, "")
        config = OmegaConf.to_object(cfg)
    except OmegaConfBaseException as error:
        raise ConfigError(explain(error)) from error
    except ValueError as error:
        raise ConfigError(str(error)) from error
    assert isinstance(config, RunConfig)
    return config


def to_raw(cfg: DictConfig, config: RunConfig) -> dict[str, Any]:
    """Return a composed configuration as plain values, each group with its option's `name`."""
    raw = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(raw, dict)
    names = {group: option_name(group, getattr(config, group)) for group in OPTIONS}
    return {str(key): _named(value, names.get(str(key))) for key, value in raw.items()}


def _named(value: Any, name: str | None) -> Any:
    return value if name is None else {"name": name, **value}


def writable(node: DictConfig) -> DictConfig:
    """Return `node` open for overrides: Hydra refuses them in what a frozen dataclass gave."""
    OmegaConf.set_readonly(node, False)
    for child in node.values():
        if isinstance(child, DictConfig):
            writable(child)
    return node


def _refuse_unknown_keys(cfg: DictConfig, schema: type[Any], prefix: str) -> None:
    """Raise `ConfigError` for a key that was added with `+` and that no field would take."""
    known = [option.name for option in fields(schema)]
    for key, child in cfg.items_ex(resolve=False):
        if key not in known:
            raise ConfigError(unknown_key(f"{prefix}{key!s}", schema))
        kind = OmegaConf.get_type(child) if isinstance(child, DictConfig) else None
        if kind is not None and is_dataclass(kind):
            _refuse_unknown_keys(child, kind, f"{prefix}{key!s}.")
