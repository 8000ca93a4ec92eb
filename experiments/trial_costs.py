"""What each trial of a run cost, from the run's records.

The FLOPs of an epoch beyond those of the host are those of its kernels: their training, and the
looks at those on trial.  They are divided among the kernels by the FLOPs of a forward pass; a kept
kernel counts twice, because one on trial is muted in half of the steps.  A trial costs what falls
to its kernel from germination to verdict.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
Place = tuple[str, int]
"""Slot and seed."""

_ENDS = ("CULLED", "FOSSILIZED")
_KEPT_WEIGHT = 2


@dataclass
class _Kernel:
    germinated: int
    flops: float
    verdict: int | None = None
    is_kept: bool = False
    cost: float = 0.0

    def is_on_trial(self, epoch: int) -> bool:
        return self.germinated < epoch and (self.verdict is None or epoch <= self.verdict)

    def weight(self, epoch: int) -> float:
        if self.is_on_trial(epoch):
            return self.flops
        return _KEPT_WEIGHT * self.flops if self.is_kept and epoch > self.germinated else 0.0


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
        total = sum(kernel.weight(epoch) for kernel in kernels)
        for kernel in kernels:
            if total and kernel.is_on_trial(epoch):
                kernel.cost += (line["flops"] - host) * kernel.weight(epoch) / total
    spent = sum(line["flops"] for line in lines)
    return [kernel.cost / spent for kernel in kernels]


def _kernels(events: Sequence[Row]) -> list[_Kernel]:
    """Return the kernel of each trial, in the order of germination."""
    flops: dict[Place, float] = {}
    latest: dict[Place, _Kernel] = {}
    kernels = []
    for event in events:
        if event["kind"] not in ("kernel", "lifecycle"):
            continue
        place = event["slot"], event["seed"]
        if event["kind"] == "kernel":
            flops[place] = event["flops"]
        elif event["to_stage"] == "GERMINATED":
            latest[place] = _Kernel(event["epoch"], flops[place])
            kernels.append(latest[place])
        elif event["to_stage"] in _ENDS and latest[place].verdict is None:
            latest[place].verdict = event["epoch"]
            latest[place].is_kept = event["to_stage"] == "FOSSILIZED"
    return kernels
