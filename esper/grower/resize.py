"""Carry what a grower knows to a host of another width.

Seeds, ledger, policy, costs and the best network stay as they are; weights are embedded in wider
ones or taken from the best network, kept kernels are built for the new shapes.  The optimizer's
moments, averages, what the governor and the observer know of the losses begin anew.
"""

from typing import Any

import torch

from esper.contracts.stage import LIVE
from esper.grower.grower import Grower
from esper.growth import attach
from esper.growth.host import Host
from esper.growth.host_state import rebuild_kernel
from esper.growth.widen import widened
from esper.kernels.request import recipe_of
from esper.probe.tensors import Tensors, copied

ANEW = ("observer", "governor")
"""Parts of a grower whose state speaks of the losses of the former host."""


def widen(old: Grower, new: Grower, fresh: Host, noise: Host, shrink: float) -> None:
    """Give a fresh grower of a wider host the state of another one, with its weights embedded.

    Args:
        old: without live kernels, between two steps.
        new: has taken no step.
        fresh, noise: further hosts like that of `new`, with untrained weights of their own.
        shrink: see `growth.widen`.

    Raises:
        ConfigError: if the host of `new` is not a wider one of the same architecture.
    """
    assert not has_trials(old.host), "trials are settled before"
    for host in (fresh, noise):
        for seed in old.host.seeds():
            if seed.current is not None:
                rebuild_kernel(host, seed.slot, seed.index, seed.current.blueprint)
    state = old.state_dict()
    tensors = state["trials"]["host"]["tensors"]
    _load(new, state, widened(tensors, fresh.model, noise.model, shrink))


def go_back(old: Grower, new: Grower) -> None:
    """Give a fresh grower of the width of the best network that network, and another one's state.

    Kernels that are not part of the best network leave.

    Args:
        old: between two steps or after the last; it cannot be used any more.
        new: has taken no step.
    """
    best = old.best.state_dict()["tensors"]
    for seed in old.host.seeds():
        is_there = any(attach.is_of_seed(name, seed.slot, seed.index) for name in best)
        if seed.current is not None and not is_there:
            old.host.leave_out(seed)
    state = old.state_dict()
    state["trials"]["open"] = []
    _load(new, state, copied(best))


def has_trials(host: Host) -> bool:
    """Return whether a kernel of a host waits for its verdict."""
    return any(seed.stage in LIVE for seed in host.seeds())


def _load(new: Grower, state: dict[str, Any], tensors: Tensors) -> None:
    fresh, host = new.state_dict(), state["trials"]["host"]
    for name, slot in host["slots"].items():
        for seed in slot["seeds"]:
            if seed["current"] is not None:
                spec = new.host.slots[name].spec
                cost = recipe_of(spec, seed["index"], seed["current"]["blueprint"])[1]
                for key in ("parameters", "trainable", "flops"):
                    seed["current"][key] = getattr(cost, key)
    host["tensors"], host["average"], host["waiting"] = tensors, {}, 0.0
    host["moments"] = {key: [{} for _ in own] for key, own in host["moments"].items()}
    state |= {part: fresh[part] for part in ANEW}
    new.load_state_dict(state)
    new.governor.keep(new.epoch)
    with torch.no_grad():
        new.host.average.reset()
