"""What a grower is made of: options by name or as objects, checked before anything is built."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from esper.blueprint import catalogue
from esper.blueprint.options import Blueprints
from esper.contracts.errors import ConfigError
from esper.contracts.slot import SlotSpec
from esper.growth import groups
from esper.growth.host import Host
from esper.growth.options import Growth, Recover
from esper.growth.pipeline.options import Kernels
from esper.growth.places import Places
from esper.model.base import HostOptions
from esper.options import OPTIONS
from esper.policy.safety import Safety
from esper.signals.options import Signals
from esper.strategy.viability import Viability
from esper.training.governor import Governor

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
    "governor": Governor,
    "recovery": Recover,
    "signals": Signals,
    "growth": Growth,
    "kernels": Kernels,
}
"""The other options that are objects."""


@dataclass(frozen=True, kw_only=True)
class Choices:
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
    governor: Governor = field(default_factory=Governor)
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

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Choices":
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


_TAKEN = "_esper_has_grower"


def option_of(group: str, value: Any) -> Any:
    """Return the option that a name stands for; an option itself is handed back."""
    if isinstance(value, str):
        if value not in OPTIONS[group]:
            raise ConfigError(f"{group} must be one of {', '.join(OPTIONS[group])}, got {value!r}")
        return OPTIONS[group][value]()
    if not is_dataclass(value):
        raise ConfigError(f"{group} must be a name or an option object, got {value!r}")
    return value


def _places(
    model: nn.Module, example_input: Tensor, choices: Choices, selection: str | tuple[str, ...]
) -> list[SlotSpec]:
    """Return the slots that are asked for, with what a selection of blueprints offers there."""

    def fitting(*site: Any) -> tuple[str, ...]:
        return catalogue.fitting(selection, *site)

    places = Places(model, example_input, fitting)
    named = () if choices.slots == "auto" else choices.slots
    return places.listed(named, choices.placement) if named else places.auto(choices.placement)


def prepare(
    model: nn.Module, optimizer: Optimizer, example_input: Tensor, choices: Choices
) -> Host:
    """Return the model as a host with its slots attached; nothing else of it changes.

    Raises:
        ConfigError: if no slot can be placed, a named one cannot be, no blueprint fits them, or the
            model alone is over the parameter budget.
    """
    selection = choices.blueprint.selection
    try:
        specs = _places(model, example_input, choices, selection)
    except ConfigError as error:
        # Where the blueprints are not to blame, this raises the same once more.
        possible = _places(model, example_input, choices, "all")
        fitting = dict.fromkeys(name for spec in possible for name in spec.catalogue)
        raise ConfigError(
            f"blueprint.names=[{','.join(choices.blueprint.names)}] does not fit the slots of the "
            f"host (what does: {', '.join(fitting)})"
        ) from error
    _check_budget(model, choices.safety.parameter_budget)
    unfit = groups.why_unfit(optimizer, has_schedulers=bool(choices.schedulers))
    if unfit is not None:
        raise ConfigError(f"the optimizer cannot train a growing network: {unfit}")
    if hasattr(optimizer, _TAKEN):
        raise ConfigError("the optimizer has a grower already (one model has one grower)")
    setattr(optimizer, _TAKEN, True)
    groups.hide_kernels(choices.schedulers)
    host = Host(model, optimizer, choices.growth)
    host.measure_flops(example_input)
    host.place(specs, choices.num_seeds)
    return host


def _check_budget(model: nn.Module, budget: int | None) -> None:
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    if budget is not None and num_parameters > budget:
        raise ConfigError(
            f"safety.parameter_budget={budget} is less than the {num_parameters} parameters of the "
            "model: nothing could grow (allowed: its size and more, or null)"
        )
