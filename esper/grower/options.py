"""What a grower is made of: options by name or as objects, checked before anything is built."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from typing import Any

from torch.optim.lr_scheduler import LRScheduler

from esper.blueprint.options import Blueprints
from esper.contracts.errors import ConfigError
from esper.growth.options import Growth
from esper.growth.prepare import HostSetup
from esper.kernels.options import Kernels, Recover
from esper.model.base import HostOptions
from esper.options import OPTIONS
from esper.safety.governor import GovernorOptions
from esper.safety.review import Safety
from esper.signals.options import Signals
from esper.strategy.viability import Viability

GROUPS = {
    "strategy": "ucb",
    "orchestrator": "auto",
    "policy": "heuristic",
    "reward": "multi_metric",
    "store": "memory",
}
"""The config groups that a grower draws on, and the option it takes where none is named."""

NODES: dict[str, type[Any]] = {
    "blueprint": Blueprints,
    "viability": Viability,
    "safety": Safety,
    "governor": GovernorOptions,
    "recovery": Recover,
    "signals": Signals,
    "growth": Growth,
    "kernels": Kernels,
}
"""The other options that are objects."""


@dataclass(frozen=True, kw_only=True)
class GrowerOptions:
    """The options of a grower.

    slots: `auto`, or the module paths that get a slot.
    placement: `series`, `parallel`, or `auto`.
    grow_until: share of the budget in which seeds may germinate, in [0, 1].
    run_id: key of this run in a store; drawn at random when not given.
    chance_loss: what the loss is where the network knows nothing, ln(classes) for classification;
        without it the governor sees a rise of the loss alone.
    schedulers: torch's learning rate schedulers of the optimizer, if there are any: they go on
        seeing the host's groups alone.
    """

    strategy: Any
    orchestrator: Any
    policy: Any
    reward: Any
    store: Any
    blueprint: Blueprints = field(default_factory=Blueprints)
    slots: str | tuple[str, ...] = "auto"
    placement: str = "auto"
    num_seeds: int = 4
    viability: Viability = field(default_factory=Viability)
    safety: Safety = field(default_factory=Safety)
    governor: GovernorOptions = field(default_factory=GovernorOptions)
    recovery: Recover = field(default_factory=Recover)
    signals: Signals = field(default_factory=Signals)
    growth: Growth = field(default_factory=Growth)
    kernels: Kernels = field(default_factory=Kernels)
    grow_until: float = 0.6
    run_id: str | None = None
    chance_loss: float | None = None
    schedulers: Sequence[LRScheduler] = ()

    def __post_init__(self) -> None:
        host = HostOptions(self.slots, self.num_seeds, self.placement)
        object.__setattr__(self, "slots", "auto" if host.slots == ("auto",) else host.slots)
        if not 0 <= self.grow_until <= 1:
            raise ValueError(f"grow_until must be in [0, 1], got {self.grow_until}")
        for key, kind in NODES.items():
            if not isinstance(getattr(self, key), kind):
                raise ValueError(
                    f"{key} must be a {kind.__module__}.{kind.__name__}, got {getattr(self, key)!r}"
                )

    @property
    def setup(self) -> HostSetup:
        """What of this decides where the model can grow."""
        return HostSetup(
            slots=self.slots,
            placement=self.placement,
            num_seeds=self.num_seeds,
            selection=self.blueprint.selection,
            growth=self.growth,
            parameter_budget=self.safety.parameter_budget,
            schedulers=self.schedulers,
        )

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "GrowerOptions":
        """Return the choices that keyword arguments name.

        Raises:
            ConfigError: naming the key, the value and what is allowed.
        """
        allowed = {f.name for f in fields(cls)}
        for key in given:
            if key not in allowed:
                near = get_close_matches(key, allowed, n=1) or [", ".join(sorted(allowed))]
                raise ConfigError(f"Grower has no option '{key}' (did you mean: {near[0]})")
        groups = {key: option_of(key, given.get(key, name)) for key, name in GROUPS.items()}
        others = {key: value for key, value in given.items() if key not in GROUPS}
        try:
            if isinstance(others.get("blueprint"), str):
                others["blueprint"] = Blueprints((others["blueprint"],))
            if isinstance(others.get("blueprint"), list | tuple):
                others["blueprint"] = Blueprints(tuple(others["blueprint"]))
            return cls(**groups, **others)
        except ValueError as error:
            raise ConfigError(str(error)) from error


def option_of(group: str, value: Any) -> Any:
    """Return the option that a name stands for; an option itself is handed back."""
    if isinstance(value, str):
        if value not in OPTIONS[group]:
            raise ConfigError(f"{group} must be one of {', '.join(OPTIONS[group])}, got {value!r}")
        return OPTIONS[group][value]()
    if not is_dataclass(value):
        raise ConfigError(f"{group} must be a name or an option object, got {value!r}")
    return value
