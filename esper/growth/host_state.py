"""A host as a tree of plain values and tensors, and a host that stands where such a tree says.

The tree holds what a run changes: weights and buffers, kernels and their seeds' lives, alphas, the
optimizer's groups and moments, step counts.  Tensors in it are the host's own, not copies.
"""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from esper.blueprint import catalogue
from esper.contracts.errors import CheckpointError
from esper.contracts.outcome import GainPoint
from esper.contracts.slot import SlotSpec
from esper.contracts.stage import SeedStage
from esper.growth import attach, param_groups
from esper.growth.host import Host
from esper.growth.ramp import Ramp
from esper.growth.slot import Activation, GradientHealth, Seed
from esper.probe.tensors import load_tensors, tensors_of

_COUNTS = (
    "global_step",
    "steps_in_epoch",
    "steps_per_epoch",
    "is_followed",
    "schedule_state",
    "last_schedule",
)


def host_state(host: Host) -> dict[str, Any]:
    """Return where a host stands; call it when its journal is empty, between control steps."""
    open_business = [*host.op_log, *host.closed]
    assert not open_business, "a control step is not over"
    return {
        "tensors": tensors_of(host.model),
        "optimizer": _optimizer_state(host.optimizer),
        "slots": {name: _slot_state(host, name) for name in host.slots},
        **{name: getattr(host, name) for name in _COUNTS},
    }


def load_host_state(host: Host, state: dict[str, Any]) -> None:
    """Make a host, fresh and without kernels, stand where `state` says.

    Raises:
        CheckpointError: if it is the state of another host.
    """
    assert all(seed.activations == 0 for seed in host.seeds()), "the host has grown already"
    if set(state["slots"]) != set(host.slots):
        raise CheckpointError(
            f"the checkpoint has the slots {', '.join(state['slots'])}, "
            f"the host has {', '.join(host.slots)}"
        )
    for name, slot in state["slots"].items():
        _load_slot(host, name, slot)
    for group in state["optimizer"]["param_groups"]:
        if param_groups.TAG in group:
            slot_name, index = group[param_groups.TAG]
            kernel = _bank(host, slot_name).kernels[str(index)]
            param_groups.add_group(host.optimizer, slot_name, index, kernel)
    load_tensors(host.model, state["tensors"])
    _load_optimizer(host.optimizer, state["optimizer"])
    for name in _COUNTS:
        setattr(host, name, state[name])


def _slot_state(host: Host, name: str) -> dict[str, Any]:
    slot = host.slots[name]
    bank = attach.bank_of(slot.module)
    return {
        "rests_until": slot.rests_until,
        "last_cull_epoch": slot.last_cull_epoch,
        "seeds": [_seed_state(seed) for seed in slot.seeds],
        "bank": None if bank is None else bank.bookkeeping(),
    }


def _seed_state(seed: Seed) -> dict[str, Any]:
    return {
        "bound": seed.bound,
        "stage": seed.stage.value,
        "epochs_in_stage": seed.epochs_in_stage,
        "activations": seed.activations,
        "last_used_epoch": seed.last_used_epoch,
        "alpha": seed.alpha,
        "current": None if seed.current is None else asdict(seed.current),
    }


def _load_slot(host: Host, name: str, state: dict[str, Any]) -> None:
    slot = host.slots[name]
    slot.rests_until, slot.last_cull_epoch = state["rests_until"], state["last_cull_epoch"]
    if len(state["seeds"]) != len(slot.seeds):
        raise CheckpointError(
            f"the checkpoint has {len(state['seeds'])} seeds in slot '{name}', "
            f"the host has {len(slot.seeds)}"
        )
    for seed, saved in zip(slot.seeds, state["seeds"], strict=True):
        activation = saved["current"]
        values = {
            **saved,
            "stage": SeedStage(saved["stage"]),
            "current": activation and _life(activation),
        }
        for field, value in values.items():
            setattr(seed, field, value)
        if seed.current is not None:
            host.put_kernel(name, seed.index, _module(seed.current.blueprint, slot.spec))
    if state["bank"] is not None:
        _bank(host, name).take_bookkeeping(state["bank"])


def _life(saved: dict[str, Any]) -> Activation:
    ramp = saved["ramp"]
    return Activation(
        **{
            **saved,
            "ramp": ramp and Ramp(**ramp),
            "gradient": GradientHealth(**saved["gradient"]),
            "gains": [GainPoint(**point) for point in saved["gains"]],
        }
    )


def _module(blueprint: str, spec: SlotSpec) -> nn.Module:
    """Return a kernel whose weights are about to be overwritten; no generator is moved."""
    try:
        with torch.random.fork_rng(devices=[]):
            return catalogue.get(blueprint).build(spec.kind, spec.in_shape, spec.out_shape)
    except (ValueError, TypeError, RuntimeError) as error:
        raise CheckpointError(
            f"the checkpoint's kernel '{blueprint}' in slot '{spec.name}' cannot be built: {error}"
        ) from error


def _bank(host: Host, slot: str) -> Any:
    bank = attach.bank_of(host.slots[slot].module)
    assert bank is not None, "the slot's kernels were just put in"
    return bank


def _optimizer_state(optimizer: Optimizer) -> dict[str, Any]:
    """Return the optimizer's own state; parameters are numbered in the order of the groups."""
    state = optimizer.state_dict()
    return {
        "state": {str(number): values for number, values in state["state"].items()},
        "param_groups": [
            {key: _plain(value) for key, value in group.items()} for group in state["param_groups"]
        ],
    }


def _plain(value: Any) -> Any:
    """Return numpy's numbers, which a learning rate may be, as Python's; the same number."""
    return value.item() if isinstance(value, np.generic) else value


def _load_optimizer(optimizer: Optimizer, state: dict[str, Any]) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    values = {
        int(number): {key: laid_out(value, parameters[int(number)]) for key, value in found.items()}
        for number, found in state["state"].items()
    }
    try:
        optimizer.load_state_dict({"state": values, "param_groups": state["param_groups"]})
    except ValueError as error:
        raise CheckpointError(f"the checkpoint is of another optimizer: {error}") from error


def laid_out(value: Any, parameter: Tensor) -> Any:
    """Return a copy of a moment on the device of its parameter, and laid out in memory as it is."""
    if not isinstance(value, Tensor):
        return value
    if value.shape == parameter.shape and value.dim():
        return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    return value.clone()
