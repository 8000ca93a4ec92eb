"""Everything that a run changes in a host, as a tree of plain values and tensors.

    tensors    parameters and buffers by name (`probe.tensors`)
    moments    the optimizer's state of each parameter, by the key of its group
    groups     the optimizer's options of each group, by its key
    slots      the records of the seeds, and the bookkeeping of the banks
    counts     numbers of steps, and the schedule that twins follow
    average    averaged parameters and buffers by name
    waiting    share of the steps that the averages have yet to take in
    inputs     the last training inputs, while they are recorded

A checkpoint holds the whole tree.  A rollback restores tensors and moments alone, the weights, and
a network takes them over from a twin.  A tree holds the host's own tensors; loading copies them.
"""

import copy
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from esper.blueprint import catalogue
from esper.contracts.errors import CheckpointError
from esper.contracts.outcome import GainPoint
from esper.contracts.slot import Look
from esper.contracts.stage import SeedStage
from esper.growth import attach, param_groups
from esper.growth.host import Host
from esper.growth.ramp import Ramp
from esper.growth.slot import Activation, GradientHealth, Seed, Slot
from esper.probe.tensors import check_names, put_tensors, tensors_of

_COUNTS = (
    "global_step",
    "muted_flops",
    "steps_in_epoch",
    "steps_per_epoch",
    "is_followed",
    "looks_again",
    "schedule_state",
    "last_schedule",
)


def host_state(host: Host) -> dict[str, Any]:
    """Return the state of a host between two control steps."""
    assert not host.op_log, "a control step is not over"
    assert not host.closed, "an outcome is not settled"
    groups = param_groups.groups_by_key(host.optimizer)
    return {
        **weights_of(host),
        "groups": {key: _options(group) for key, group in groups.items()},
        "slots": {name: _slot_state(slot) for name, slot in host.slots.items()},
        "counts": {name: getattr(host, name) for name in _COUNTS},
        "average": dict(host.average.mean),
        "waiting": host.average.waiting,
        "inputs": host.inputs.state(),
    }


def load_host_state(host: Host, state: dict[str, Any]) -> None:
    """Restore a state into a fresh host, which has no kernels yet.

    Raises:
        CheckpointError: if the state has other slots, another network or another optimizer.
    """
    assert all(seed.activations == 0 for seed in host.seeds()), "the host has grown already"
    if set(state["slots"]) != set(host.slots):
        raise CheckpointError(
            f"the checkpoint has the slots {', '.join(state['slots'])}, "
            f"the host has {', '.join(host.slots)}"
        )
    for name, slot in state["slots"].items():
        _load_slot(host, name, slot)
    check_names(host.model, state["tensors"])
    _load_groups(host, state)
    put_weights(host, state)
    for name, value in state["counts"].items():
        setattr(host, name, value)
    host.average.load(state["average"], state["waiting"])
    host.steps.stages_changed()
    host.begin_epoch()
    host.inputs.load(state["inputs"])


def weights_of(host: Host) -> dict[str, Any]:
    """Return `tensors` and `moments` of a host."""
    moments = host.optimizer.state
    return {
        "tensors": tensors_of(host.model),
        "moments": {
            key: [dict(moments.get(parameter, {})) for parameter in group["params"]]
            for key, group in param_groups.groups_by_key(host.optimizer).items()
        },
    }


def put_weights(host: Host, weights: dict[str, Any]) -> None:
    """Copy `tensors` and `moments` into a host; names and groups that they lack do not change.

    Parameters without moments in a group of `moments` lose those that they have.

    Raises:
        CheckpointError: if a parameter has another shape or type.
    """
    put_tensors(host.model, weights["tensors"])
    for key, group in param_groups.groups_by_key(host.optimizer).items():
        saved = weights["moments"].get(key, ())
        for parameter, moments in zip(group["params"], saved, strict=False):
            host.optimizer.state.pop(parameter, None)
            if moments:
                host.optimizer.state[parameter] = {
                    name: _placed(name, value, parameter, group) for name, value in moments.items()
                }


def _placed(name: str, value: Any, parameter: Tensor, group: dict[str, Any]) -> Any:
    """Return a copy of a moment with its parameter's device and memory layout."""
    if not isinstance(value, Tensor):
        return copy.deepcopy(value)
    if value.shape == parameter.shape and value.dim():
        return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    # As in `Optimizer.load_state_dict`: a step count stays on the cpu if the update allows it.
    if name == "step" and not (group.get("capturable") or group.get("fused")):
        return value.clone()
    return value.to(parameter.device, copy=True)


def _options(group: dict[str, Any]) -> dict[str, Any]:
    """Return a group's options, with NumPy numbers converted to Python's."""
    return {
        key: value.item() if isinstance(value, np.generic) else value
        for key, value in group.items()
        if key != "params"
    }


def _load_groups(host: Host, state: dict[str, Any]) -> None:
    for options in state["groups"].values():
        if param_groups.TAG in options:
            slot, index = options[param_groups.TAG]
            kernel = attach.kernels_of(host.slots[slot].module).kernels[str(index)]
            param_groups.add_group(host.optimizer, slot, index, kernel)
    groups = param_groups.groups_by_key(host.optimizer)
    sizes = {key: len(group["params"]) for key, group in groups.items()}
    saved_sizes = {key: len(moments) for key, moments in state["moments"].items()}
    if sizes != saved_sizes:
        raise CheckpointError(
            "the checkpoint is of another optimizer: it has groups of "
            f"{', '.join(map(str, saved_sizes.values()))} parameters, "
            f"the host's has {', '.join(map(str, sizes.values()))}"
        )
    for key, group in groups.items():
        group.update(copy.deepcopy(state["groups"][key]))


def _slot_state(slot: Slot) -> dict[str, Any]:
    bank = attach.bank_of(slot.module)
    return {
        "rests_until": slot.rests_until,
        "last_cull_epoch": slot.last_cull_epoch,
        "seeds": [{**asdict(seed), "stage": seed.stage.value} for seed in slot.seeds],
        "bank": None if bank is None else bank.bookkeeping(),
    }


def _load_slot(host: Host, name: str, state: dict[str, Any]) -> None:
    slot = host.slots[name]
    slot.rests_until, slot.last_cull_epoch = state["rests_until"], state["last_cull_epoch"]
    if len(state["seeds"]) != len(slot.seeds):
        raise CheckpointError(
            f"the checkpoint has {len(state['seeds'])} seeds in slot '{name}', "
            f"the host has {len(slot.seeds)}"
        )
    slot.seeds = [_seed(saved) for saved in state["seeds"]]
    for seed in slot.seeds:
        if seed.current is not None:
            rebuild_kernel(host, name, seed.index, seed.current.blueprint)
    if state["bank"] is not None:
        attach.kernels_of(slot.module).take_bookkeeping(state["bank"])


def _seed(saved: dict[str, Any]) -> Seed:
    current = saved["current"]
    if current is not None:
        ramp = current["ramp"]
        current = Activation(
            **{
                **current,
                "ramp": ramp and Ramp(**ramp),
                "gradient": GradientHealth(**current["gradient"]),
                "look": current["look"] and Look(**current["look"]),
                "gains": [GainPoint(**point) for point in current["gains"]],
                "features": tuple(current["features"]),
            }
        )
    return Seed(**{**saved, "stage": SeedStage(saved["stage"]), "current": current})


def rebuild_kernel(host: Host, slot: str, index: int, blueprint: str) -> None:
    """Put a kernel into a slot, to be filled with saved weights; draws no global random numbers.

    Raises:
        CheckpointError: if the kernel cannot be built.
    """
    spec = host.slots[slot].spec
    try:
        with torch.random.fork_rng(devices=[]):
            kernel = catalogue.get(blueprint).build(spec.kind, spec.in_shape, spec.out_shape)
    except (ValueError, TypeError, RuntimeError) as error:
        raise CheckpointError(
            f"the checkpoint's kernel '{blueprint}' in slot '{slot}' cannot be built: {error}"
        ) from error
    host.put_kernel(slot, index, kernel, blueprint)
