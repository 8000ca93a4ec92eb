"""Parameter groups that come and go with kernels, in an optimizer that keeps everything else.

A kernel's group carries `esper_seed = (slot, seed)`.  All other groups are the host's and are never
touched.  A kernel has no weight decay: it starts at zero and must not be pulled back there.
"""

from typing import Any

from torch import nn
from torch.optim import Optimizer

TAG = "esper_seed"


def host_group(optimizer: Optimizer) -> dict[str, Any]:
    """Return the host's first group, whose learning rate the kernels follow."""
    for group in optimizer.param_groups:
        if TAG not in group:
            return group
    raise ValueError("the optimizer holds no parameter group of the host")


def kernel_groups(optimizer: Optimizer) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the kernels' groups by (slot, seed)."""
    return {group[TAG]: group for group in optimizer.param_groups if TAG in group}


def add_group(optimizer: Optimizer, slot: str, seed: int, kernel: nn.Module) -> None:
    """Add the trainable parameters of a kernel; a kernel without any adds nothing."""
    parameters = [p for p in kernel.parameters() if p.requires_grad]
    if not parameters:
        return
    settings = {
        k: v for k, v in host_group(optimizer).items() if k not in ("params", "param_names")
    }
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

    A kernel's group must hold parameters that the model holds, each once, and the optimizer must
    keep no state of a parameter that is in none of its groups.
    """
    in_model = {id(p) for p in model.parameters()}
    in_groups = [id(p) for group in optimizer.param_groups for p in group["params"]]
    problems = []
    if len(set(in_groups)) < len(in_groups):
        problems.append("a parameter is in two groups")
    for (slot, seed), group in kernel_groups(optimizer).items():
        if not {id(p) for p in group["params"]} <= in_model:
            problems.append(f"the group of slot '{slot}' seed {seed} has left the model")
    if not {id(p) for p in optimizer.state} <= set(in_groups):
        problems.append("the optimizer keeps state of a parameter in none of its groups")
    return problems
