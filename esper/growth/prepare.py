"""Make a host of a model: find its slots, check that it can grow, attach."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from esper.blueprint import catalogue
from esper.contracts.errors import ConfigError
from esper.contracts.slot import SlotSpec
from esper.growth import param_groups
from esper.growth.find_slots import SlotFinder
from esper.growth.host import Host
from esper.growth.options import Growth

_TAKEN = "_esper_has_grower"


@dataclass(frozen=True, kw_only=True)
class HostSetup:
    """The options that decide where a model can grow.

    slots: `auto`, or the module paths that get a slot.
    placement: `series`, `parallel`, or `auto`.
    selection: a word or the names of the blueprints on offer.
    parameter_budget: most parameters of the network, None without a limit.
    schedulers: torch's learning rate schedulers of the optimizer.
    """

    slots: str | tuple[str, ...] = "auto"
    placement: str = "auto"
    num_seeds: int = 4
    selection: str | tuple[str, ...] = "standard"
    growth: Growth = field(default_factory=Growth)
    parameter_budget: int | None = None
    schedulers: Sequence[LRScheduler] = ()


def prepare(
    model: nn.Module, optimizer: Optimizer, example_input: Tensor, setup: HostSetup
) -> Host:
    """Return a host of the model, with slots of dormant seeds; the model does not change.

    Raises:
        ConfigError: if no slot can be placed, a named one cannot be, no blueprint fits them, or the
            model alone is over the parameter budget.
    """
    try:
        specs = _find_slots(model, example_input, setup)
    except ConfigError as error:
        names = setup.selection if isinstance(setup.selection, str) else ",".join(setup.selection)
        # If the selection of blueprints is not the cause, this raises the same error again.
        possible = _find_slots(model, example_input, replace(setup, selection="all"))
        fitting = dict.fromkeys(name for spec in possible for name in spec.catalogue)
        raise ConfigError(
            f"blueprint.names=[{names}] does not fit the slots of the "
            f"host (what does: {', '.join(fitting)})"
        ) from error
    _check_budget(model, setup.parameter_budget)
    unfit = param_groups.why_unfit(optimizer, has_schedulers=bool(setup.schedulers))
    if unfit is not None:
        raise ConfigError(f"the optimizer cannot train a growing network: {unfit}")
    if hasattr(optimizer, _TAKEN):
        raise ConfigError("the optimizer has a grower already (one model has one grower)")
    setattr(optimizer, _TAKEN, True)
    param_groups.hide_kernels(setup.schedulers)
    host = Host(model, optimizer, setup.growth)
    host.measure_flops(example_input)
    host.place(specs, setup.num_seeds)
    return host


def _find_slots(model: nn.Module, example_input: Tensor, setup: HostSetup) -> list[SlotSpec]:
    """Return the slots, each with the blueprints of the selection that fit it."""
    finder = SlotFinder(model, example_input, partial(catalogue.fitting, setup.selection))
    named = () if setup.slots == "auto" else setup.slots
    return finder.listed(named, setup.placement) if named else finder.auto(setup.placement)


def _check_budget(model: nn.Module, budget: int | None) -> None:
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    if budget is not None and num_parameters > budget:
        raise ConfigError(
            f"safety.parameter_budget={budget} is less than the {num_parameters} parameters of the "
            "model: nothing could grow (allowed: its size and more, or null)"
        )
