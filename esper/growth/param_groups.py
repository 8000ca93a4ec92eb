"""Parameter groups that come and go with kernels, in an optimizer that keeps everything else.

A kernel's group carries `esper_seed = (slot, seed)`.  All other groups are the host's and are never
touched.  A kernel has no weight decay: it starts at zero and must not be pulled back there.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer, SparseAdam
from torch.optim.lr_scheduler import LRScheduler

from esper.growth.bank import KernelBank

TAG = "esper_seed"
PACE = ("lr", "momentum", "betas")
"""Settings of a group that schedulers change."""

ScheduleState = list[dict[str, Any]]
"""Those settings of each of the host's groups, at one step."""


class _HostGroups:
    """What a scheduler sees of an optimizer: the host's groups alone."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._optimizer, name)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return host_groups(self._optimizer)


def hide_kernels(schedulers: Sequence[LRScheduler]) -> None:
    """Keep schedulers from seeing the kernels' groups.

    Many of them count the groups once and raise when there are more; kernels follow the host's
    learning rate by themselves.
    """
    for scheduler in schedulers:
        if not isinstance(scheduler.optimizer, _HostGroups):
            scheduler.optimizer = _HostGroups(scheduler.optimizer)  # type: ignore[assignment]
        hide_kernels(getattr(scheduler, "_schedulers", ()))


def why_unfit(optimizer: Optimizer, *, has_schedulers: bool) -> str | None:
    """Return why an optimizer could not train kernels beside its host, None when it can."""
    kind = type(optimizer).__name__
    if isinstance(optimizer, LBFGS | SparseAdam):
        return f"{kind} takes no further group of dense parameters (most others do: Adam, SGD, ...)"
    if any("lr" not in group for group in optimizer.param_groups):
        return f"a group of {kind} has no 'lr', which the kernels' follows"
    if hasattr(optimizer.step, "_wrapped_by_lr_sched") and not has_schedulers:
        return f"{kind} has a scheduler that is not named: add schedulers=[scheduler]"
    return None


def host_groups(optimizer: Optimizer) -> list[dict[str, Any]]:
    """Return the groups that are not a kernel's."""
    return [group for group in optimizer.param_groups if TAG not in group]


def host_group(optimizer: Optimizer) -> dict[str, Any]:
    """Return the host's first group, whose learning rate the kernels follow."""
    for group in optimizer.param_groups:
        if TAG not in group:
            return group
    raise ValueError("the optimizer holds no parameter group of the host")


def schedule_state(optimizer: Optimizer) -> ScheduleState:
    """Return what a schedule may have set in each of the host's groups."""
    return [
        {key: _copied(group[key]) for key in PACE if key in group}
        for group in host_groups(optimizer)
    ]


def set_schedule_state(optimizer: Optimizer, settings: ScheduleState) -> None:
    """Take over what `schedule_state` gave of an optimizer with the same groups."""
    for group, wanted in zip(host_groups(optimizer), settings, strict=True):
        group.update({key: _copied(value) for key, value in wanted.items()})


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def kernel_groups(optimizer: Optimizer) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the kernels' groups by (slot, seed)."""
    return {group[TAG]: group for group in optimizer.param_groups if TAG in group}


def groups_by_key(optimizer: Optimizer) -> dict[str, dict[str, Any]]:
    """Return all groups: the host's by their position among each other, a kernel's by `slot/seed`.

    Keys are the same for a twin, and after a resume.
    """
    own = {str(position): group for position, group in enumerate(host_groups(optimizer))}
    kernels = kernel_groups(optimizer).items()
    return own | {f"{slot}/{seed}": group for (slot, seed), group in kernels}


def add_group(optimizer: Optimizer, slot: str, seed: int, kernel: nn.Module) -> None:
    """Add the trainable parameters of a kernel; a kernel without any adds nothing."""
    named = [(f"{slot}/{seed}/{name}", p) for name, p in kernel.named_parameters()]
    named = [(name, p) for name, p in named if p.requires_grad]
    if not named:
        return
    settings = {key: _copied(value) for key, value in host_group(optimizer).items()}
    # An optimizer that knows names of its parameters takes no group without them.
    parameters = named if "param_names" in settings else [p for _, p in named]
    settings.pop("param_names", None)
    if "weight_decay" in settings:
        settings["weight_decay"] = 0.0
    optimizer.add_param_group({**settings, "params": parameters, TAG: (slot, seed)})


def remove_group(optimizer: Optimizer, slot: str, seed: int) -> None:
    """Remove a kernel's parameters together with their state."""
    for position, group in enumerate(optimizer.param_groups):
        if group.get(TAG) == (slot, seed):
            for parameter in group["params"]:
                optimizer.state.pop(parameter, None)
            del optimizer.param_groups[position]
            return


def stale_entries(optimizer: Optimizer, model: nn.Module) -> list[str]:
    """Return what is wrong between an optimizer and a grown model; empty when nothing is.

    A kernel's group must hold parameters that the model holds, each once; what a kernel can learn
    must be in a group; and the optimizer must keep no state of a parameter in none of its groups.
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
