"""What is known of all kernels of one kind: counts, and whether they are sane."""

from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from esper.contracts.event import Check, Gate


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A function of blueprint, shapes, device, dtype and libraries; never of one kernel's weights.

    parameters: frozen ones included.
    trainable: those that learn.
    latency_ms: time of a probe's forward when it was validated, for the record.
    gate: what the probe was asked.
    """

    parameters: int
    trainable: int
    latency_ms: float
    gate: Gate

    def counts_right(self, module: nn.Module) -> bool:
        """Return whether a module has as many parameters as the verdict says."""
        return counts(module) == (self.parameters, self.trainable)


def counts(module: nn.Module) -> tuple[int, int]:
    """Return the parameters of a module: all of them, and those that learn."""
    found = [(p.numel(), p.requires_grad) for p in module.parameters()]
    return sum(n for n, _ in found), sum(n for n, learns in found if learns)


def to_plain(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as JSON holds it."""
    return asdict(verdict)


def from_plain(saved: dict[str, Any]) -> Verdict:
    """Return the verdict that `to_plain` gave.

    Raises:
        KeyError, TypeError: if it is none.
    """
    checks = tuple(Check(**check) for check in saved["gate"]["checks"])
    return Verdict(
        parameters=int(saved["parameters"]),
        trainable=int(saved["trainable"]),
        latency_ms=float(saved["latency_ms"]),
        gate=Gate(checks=checks),
    )
