"""Keep the last good weights of a host, and go back to them without the kernels that are open.

What comes back is the host with its fossilized kernels, bit for bit, and the optimizer's moments of
both; live seeds are culled, for they are what may have done the harm.  Epochs are not turned back.
"""

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from esper.contracts.event import LifecycleMove
from esper.contracts.stage import BLENDED, LIVE
from esper.growth import attach, groups
from esper.growth.host import Host
from esper.growth.host_state import laid_out
from esper.growth.lifecycle import uproot
from esper.growth.tensors import Tensors, copied, put_tensors, tensors_of

_Moments = dict[str, list[dict[str, Any]]]
"""The optimizer's state of each parameter of a group, by the group's key."""


@dataclass(frozen=True)
class Snapshot:
    """Copies of what a rollback restores.

    epoch: the epoch after which it was taken, 0 before the first.
    blended: the seeds whose kernels had their part in the network, `slot/seed` with the stage.
    tensors: weights and buffers of host and fossilized kernels by name.
    moments: the optimizer's state of their parameters.
    """

    epoch: int
    blended: dict[str, str]
    tensors: Tensors
    moments: _Moments

    @classmethod
    def take(cls, host: Host, epoch: int) -> "Snapshot":
        """Return copies of a host as it stands."""
        live = _live_names(host)
        tensors = copied({k: v for k, v in tensors_of(host.model).items() if k not in live})
        moments = {
            key: [_copied(host.optimizer.state.get(p, {})) for p in group["params"]]
            for key, group in _kept_groups(host).items()
        }
        return cls(epoch, _blended(host), tensors, moments)

    def is_grown(self, host: Host) -> bool:
        """Return whether a kernel that is open, or came or went since then, may have done harm."""
        now = _blended(host)
        return now != self.blended or any(stage in LIVE for stage in now.values())

    def without_live(self) -> "Snapshot":
        """Return what stands after a rollback: the same network without the kernels culled."""
        stayed = {key: stage for key, stage in self.blended.items() if stage not in LIVE}
        return replace(self, blended=stayed)

    def state_dict(self) -> dict[str, Any]:
        """Return all of it as plain values and tensors."""
        return {
            "epoch": self.epoch,
            "blended": self.blended,
            "tensors": self.tensors,
            "moments": self.moments,
        }


def roll_back(host: Host, snapshot: Snapshot, epoch: int, reason: str) -> list[LifecycleMove]:
    """Cull every live seed and restore what the snapshot holds; return the moves.

    A kernel that was fossilized after the snapshot keeps its weights as they are.
    """
    moves: list[LifecycleMove] = []
    felt = {(seed.slot, seed.index) for seed in host.seeds() if seed.stage in BLENDED}
    for seed in host.seeds():
        if seed.stage in LIVE:
            moves += uproot(host, seed, epoch, reason)
    host.closed = [
        replace(closed, rolled_back=(closed.slot, closed.seed) in felt) for closed in host.closed
    ]
    put_tensors(host.model, snapshot.tensors)
    for key, group in _kept_groups(host).items():
        for parameter, moments in zip(group["params"], snapshot.moments.get(key, ()), strict=False):
            if moments:
                host.optimizer.state[parameter] = {
                    name: laid_out(moment, parameter) for name, moment in moments.items()
                }
            else:
                host.optimizer.state.pop(parameter, None)
    return moves


def _blended(host: Host) -> dict[str, str]:
    return {
        f"{seed.slot}/{seed.index}": seed.stage.value
        for seed in host.seeds()
        if seed.stage in BLENDED
    }


def _kept_groups(host: Host) -> dict[str, dict[str, Any]]:
    """Return the groups of the host and of its fossilized kernels by a key of each."""
    kept: dict[str, dict[str, Any]] = {}
    for position, group in enumerate(groups.host_groups(host.optimizer)):
        kept[str(position)] = group
    for (slot, index), group in groups.kernel_groups(host.optimizer).items():
        if host.seed(slot, index).stage not in LIVE:
            kept[f"{slot}/{index}"] = group
    return kept


def _live_names(host: Host) -> set[str]:
    """Return the names of the tensors of live kernels, their alphas included."""
    found: set[str] = set()
    for seed in host.seeds():
        if seed.stage in LIVE:
            bank = attach.bank_of(host.slots[seed.slot].module)
            assert bank is not None, "a live seed has a kernel"
            path = ".".join(part for part in (seed.slot, attach.BANK) if part)
            kernel = tensors_of(bank.kernels[str(seed.index)])
            found |= {f"{path}.kernels.{seed.index}.{name}" for name in kernel}
            found.add(f"{path}.alpha_{seed.index}")
    return found


def _copied(moments: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value.clone() if isinstance(value, Tensor) else value for key, value in moments.items()
    }
