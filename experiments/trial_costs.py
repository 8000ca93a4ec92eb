"""What each trial of a run cost, from the run's records.

The FLOPs of an epoch beyond those of the host are those of its kernels: their training, and the
looks at those on trial.  They are divided among the kernels by the FLOPs of a forward pass; a kept
kernel counts twice, because one on trial is muted in half of the steps.  A trial costs what falls
to its kernel from germination to verdict.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]
Key = tuple[str, int, int]
"""Slot, seed, and epoch of germination."""

_ENDS = ("CULLED", "FOSSILIZED")
_KEPT_WEIGHT = 2


@dataclass
class _Kernel:
    flops: float
    verdict: int | None = None
    is_kept: bool = False
    cost: float = field(default=0.0)

    def weight(self, germinated: int, epoch: int) -> float:
        if epoch <= germinated:
            return 0.0
        if self.verdict is None or epoch <= self.verdict:
            return self.flops
        return _KEPT_WEIGHT * self.flops if self.is_kept else 0.0


def trial_shares(lines: Sequence[Row], events: Sequence[Row]) -> list[float]:
    """Return the share of the run's FLOPs that each trial cost, in the order of germination.

    Args:
        lines: the metrics of every epoch, from the first one on, which grew nothing.
        events: all events of the run.
    """
    kernels = _kernels(events)
    host = lines[0]["flops"]
    for line in lines:
        epoch = line["epoch"]
        weights = {key: kernel.weight(key[2], epoch) for key, kernel in kernels.items()}
        total = sum(weights.values())
        for key, weight in weights.items():
            kernel = kernels[key]
            if weight and (kernel.verdict is None or epoch <= kernel.verdict):
                kernel.cost += (line["flops"] - host) * weight / total
    spent = sum(line["flops"] for line in lines)
    return [kernel.cost / spent for kernel in kernels.values()]


def _kernels(events: Sequence[Row]) -> dict[Key, _Kernel]:
    """Return the kernel of each trial with its verdict."""
    flops: dict[tuple[str, int], float] = {}
    opened: dict[tuple[str, int], Key] = {}
    kernels: dict[Key, _Kernel] = {}
    for event in events:
        if event["kind"] not in ("kernel", "lifecycle"):
            continue
        place = event["slot"], event["seed"]
        if event["kind"] == "kernel":
            flops[place] = event["flops"]
        elif event["to_stage"] == "GERMINATED":
            opened[place] = (*place, event["epoch"])
            kernels[opened[place]] = _Kernel(flops[place])
        elif event["to_stage"] in _ENDS:
            kernel = kernels[opened[place]]
            if kernel.verdict is None:
                kernel.verdict, kernel.is_kept = event["epoch"], event["to_stage"] == "FOSSILIZED"
    return kernels
