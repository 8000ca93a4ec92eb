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
from esper.growth.coin import Coin
from esper.growth.data_flow import data_flow
from esper.growth.find_slots import SlotFinder
from esper.growth.host import Host
from esper.growth.options import Growth
from esper.growth.refusals import check_example, check_model, check_optimizer, check_owner
from esper.probe.flops import forward_flops

_TAKEN = "_esper_has_grower"


@dataclass(frozen=True, kw_only=True)
class HostSetup:
    """Options of the slots of a model; `GrowerOptions` explains those not listed here.

    selection: a word or the names of the blueprints on offer.
    parameter_budget: most parameters of the network, None without a limit.
    coin: draws which kernels on trial a training step leaves out.
    average_epochs: length of the average of the weights.
    follows_data: whether to find out how the data flow between the slots, by a forward pass.
    """

    slots: str | tuple[str, ...] = "auto"
    placement: str = "auto"
    num_seeds: int = 4
    selection: str | tuple[str, ...] = "standard"
    growth: Growth = field(default_factory=Growth)
    parameter_budget: int | None = None
    schedulers: Sequence[LRScheduler] = ()
    coin: Coin = field(default_factory=Coin)
    average_epochs: float = 1.0
    follows_data: bool = False


def prepare(
    model: nn.Module, optimizer: Optimizer, example_input: Tensor, setup: HostSetup
) -> Host:
    """Return a host with slots of dormant seeds; the model does not change.

    Raises:
        ConfigError: if the model cannot grow in this process, no slot or a named one cannot be
            placed, no blueprint fits the slots, the optimizer cannot train kernels or is of
            another model, or the model alone exceeds the parameter budget.
    """
    optimizer = param_groups.unwrapped(optimizer)
    schedulers = param_groups.unwrapped_schedulers(setup.schedulers)
    check_model(model)
    check_example(example_input)
    check_optimizer(optimizer, schedulers)
    try:
        specs = _find_slots(model, example_input, setup)
    except ConfigError as error:
        names = setup.selection if isinstance(setup.selection, str) else ",".join(setup.selection)
        # Raises the same error again if the selection of blueprints is not the cause.
        possible = _find_slots(model, example_input, replace(setup, selection="all"))
        fitting = dict.fromkeys(name for spec in possible for name in spec.catalogue)
        raise ConfigError(
            f"blueprint.names=[{names}] does not fit the slots of the "
            f"host (what does: {', '.join(fitting)})"
        ) from error
    _check_budget(model, setup.parameter_budget)
    check_owner(optimizer, model)
    unfit = param_groups.why_unfit(optimizer, has_schedulers=bool(schedulers))
    if unfit is not None:
        raise ConfigError(f"the optimizer cannot train a growing network: {unfit}")
    if hasattr(optimizer, _TAKEN):
        raise ConfigError("the optimizer has a grower already (one model has one grower)")
    setattr(optimizer, _TAKEN, True)
    param_groups.hide_kernels(schedulers)
    host = Host(model, optimizer, setup.growth, setup.coin, setup.average_epochs)
    host.base_flops = forward_flops(model, example_input)
    host.place(specs, setup.num_seeds)
    if setup.follows_data:
        host.data_flow = data_flow(model, example_input, list(host.slots))
    return host


def _find_slots(model: nn.Module, example_input: Tensor, setup: HostSetup) -> list[SlotSpec]:
    """Return the slots, each with the selected blueprints that fit it."""
    finder = SlotFinder(model, example_input, partial(catalogue.fitting, setup.selection))
    named = () if setup.slots == "auto" else setup.slots
    specs = finder.listed(named, setup.placement) if named else finder.auto(setup.placement)
    order = [name for name, _ in model.named_modules()]
    ranked = sorted((spec.name for spec in specs), key=order.index)
    late = {name for n, name in enumerate(ranked) if 2 * n >= len(ranked) > 1}
    return [replace(spec, is_late=spec.name in late) for spec in specs]


def _check_budget(model: nn.Module, budget: int | None) -> None:
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    if budget is not None and num_parameters > budget:
        raise ConfigError(
            f"safety.parameter_budget={budget} is less than the {num_parameters} parameters of the "
            "model: nothing could grow (allowed: its size and more, or null)"
        )
