"""Add and remove the kernels' parameter groups in an optimizer, without other changes.

A kernel's group carries `esper_seed = (slot, seed)`; all other groups are the host's.  Kernels have
no weight decay: they start at zero and must not be pulled back there.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import LBFGS, Optimizer, SparseAdam
from torch.optim.lr_scheduler import LRScheduler

from esper.growth.bank import KernelBank

TAG = "esper_seed"
SCHEDULED = ("lr", "momentum", "betas")
"""Options of a group that learning-rate schedulers change."""

_UNFIT = (LBFGS, SparseAdam, getattr(torch.optim, "Muon", LBFGS))
"""Optimizers of torch that cannot train the dense parameters of any shape that kernels have."""

ScheduleState = list[dict[str, Any]]
"""The `SCHEDULED` options of each of the host's groups at one step."""


class _HostGroups:
    """View of an optimizer for schedulers, with the host's groups alone."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._optimizer, name)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return host_groups(self._optimizer)


def unwrapped(optimizer: Optimizer) -> Optimizer:
    """Return the optimizer in a wrapper that takes no hooks, such as that of `accelerate`."""
    inner = getattr(optimizer, "optimizer", None)
    if isinstance(inner, Optimizer) and not hasattr(optimizer, "_optimizer_step_pre_hooks"):
        return unwrapped(inner)
    return optimizer


def unwrapped_schedulers(schedulers: Sequence[Any]) -> Sequence[Any]:
    """Return schedulers without wrappers such as those of `accelerate`."""
    return [getattr(scheduler, "scheduler", scheduler) for scheduler in schedulers]


def optimizer_of(scheduler: LRScheduler) -> Optimizer:
    """Return the optimizer of a scheduler, from which kernels may be hidden already."""
    optimizer: Any = scheduler.optimizer
    return optimizer._optimizer if isinstance(optimizer, _HostGroups) else optimizer


def hide_kernels(schedulers: Sequence[LRScheduler]) -> None:
    """Hide the kernels' groups from schedulers, many of which raise if groups are added.

    Kernels need no scheduler: their learning rates follow the host's.
    """
    for scheduler in schedulers:
        if not isinstance(scheduler.optimizer, _HostGroups):
            scheduler.optimizer = _HostGroups(scheduler.optimizer)  # type: ignore[assignment]
        hide_kernels(getattr(scheduler, "_schedulers", ()))


def why_unfit(optimizer: Optimizer, *, has_schedulers: bool) -> str | None:
    """Return why an optimizer cannot train kernels beside its host, None if it can."""
    kind = type(optimizer).__name__
    if isinstance(optimizer, _UNFIT):
        return (
            f"{kind} takes no further group of dense parameters of any shape (most others do: "
            "Adam, SGD, ...)"
        )
    if any("lr" not in group for group in optimizer.param_groups):
        return f"a group of {kind} has no 'lr', which the kernels' follows"
    if hasattr(optimizer.step, "_wrapped_by_lr_sched") and not has_schedulers:
        return f"{kind} has a scheduler that is not named: add schedulers=[scheduler]"
    return None


def host_groups(optimizer: Optimizer) -> list[dict[str, Any]]:
    """Return the groups of the host."""
    return [group for group in optimizer.param_groups if TAG not in group]


def host_group(optimizer: Optimizer) -> dict[str, Any]:
    """Return the host's first group, whose learning rate the kernels follow."""
    group = next((group for group in optimizer.param_groups if TAG not in group), None)
    if group is None:
        raise ValueError("the optimizer holds no parameter group of the host")
    return group


def schedule_state(optimizer: Optimizer) -> ScheduleState:
    """Return copies of the options that schedulers set, for each of the host's groups."""
    return [
        {key: _kept(group[key]) for key in SCHEDULED if key in group}
        for group in host_groups(optimizer)
    ]


def _kept(value: Any) -> Any:
    """Return a copy of a value that can change in place, any other value itself."""
    parts = value if isinstance(value, tuple) else (value,)
    # A deep copy of such numbers takes longer than all else that a step records.
    return value if all(type(part) is float for part in parts) else copy.deepcopy(value)


def set_schedule_state(optimizer: Optimizer, settings: ScheduleState) -> None:
    """Set the options that `schedule_state` returned for an optimizer with equal groups."""
    for group, options in zip(host_groups(optimizer), settings, strict=True):
        group.update(copy.deepcopy(options))


def kernel_groups(optimizer: Optimizer) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the kernels' groups by (slot, seed)."""
    return {group[TAG]: group for group in optimizer.param_groups if TAG in group}


def groups_by_key(optimizer: Optimizer) -> dict[str, dict[str, Any]]:
    """Return the host's groups by their position among themselves, the kernels' by `slot/seed`.

    The keys are the same in a twin and after a resume.
    """
    own = {str(position): group for position, group in enumerate(host_groups(optimizer))}
    kernels = kernel_groups(optimizer).items()
    return own | {f"{slot}/{seed}": group for (slot, seed), group in kernels}


def add_group(optimizer: Optimizer, slot: str, seed: int, kernel: nn.Module) -> None:
    """Add a group of a kernel's trainable parameters, if it has any."""
    parameters = [(name, p) for name, p in kernel.named_parameters() if p.requires_grad]
    if not parameters:
        return
    own = host_group(optimizer)
    settings = {key: copy.deepcopy(own[key]) for key in own if key != "params"}
    # An optimizer with named parameters refuses groups without names.
    has_names = settings.pop("param_names", None) is not None
    params = [(f"{slot}/{seed}/{name}", p) if has_names else p for name, p in parameters]
    if "weight_decay" in settings:
        settings["weight_decay"] = 0.0
    optimizer.add_param_group({**settings, "params": params, TAG: (slot, seed)})


def remove_group(optimizer: Optimizer, slot: str, seed: int) -> None:
    """Remove a kernel's group and the optimizer's state of its parameters."""
    group = kernel_groups(optimizer).get((slot, seed), {"params": []})
    for parameter in group["params"]:
        optimizer.state.pop(parameter, None)
    optimizer.param_groups[:] = [each for each in optimizer.param_groups if each is not group]


def stale_entries(optimizer: Optimizer, model: nn.Module) -> list[str]:
    """Return the inconsistencies between an optimizer and a grown model, as text.

    Each parameter of a kernel's group must be in the model, and in no other group.  Each trainable
    parameter of a kernel must be in a group.  The optimizer must have no state of other parameters.
    """
    in_model = {id(p) for p in model.parameters()}
    in_groups = [id(p) for group in optimizer.param_groups for p in group["params"]]
    problems = []
    if len(set(in_groups)) < len(in_groups):
        problems.append("a parameter is in two groups")
    for (slot, seed), group in kernel_groups(optimizer).items():
        if not {id(p) for p in group["params"]} <= in_model:
            problems.append(f"the group of slot '{slot}' seed {seed} has left the model")
    banks = [module for module in model.modules() if isinstance(module, KernelBank)]
    learning = {id(p) for bank in banks for p in bank.parameters() if p.requires_grad}
    if not learning <= set(in_groups):
        problems.append("a kernel's parameter is in no group")
    if not {id(p) for p in optimizer.state} <= set(in_groups):
        problems.append("the optimizer keeps state of a parameter in none of its groups")
    return problems


def copy_of(optimizer: Optimizer, memo: dict[int, Any]) -> Optimizer:
    """Return a copy without hooks; attributes besides groups and state are copied too."""
    other = copy.deepcopy(optimizer, memo)
    for key, value in vars(optimizer).items():
        # Skip torch's own hooks, and a step that a scheduler has wrapped.
        if key not in vars(other) and not key.startswith("_optimizer_") and key != "step":
            setattr(other, key, copy.deepcopy(value, memo))
    return other
