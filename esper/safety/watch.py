"""Watch how well the kernels of a network work, epoch by epoch."""

from dataclasses import replace
from typing import Any

from esper.contracts.event import SeedHealth
from esper.growth.attach import kernels_of
from esper.growth.host import Host
from esper.growth.lifecycle import is_ready
from esper.growth.slot import Activation, Seed
from esper.signals.filter import Priority, SignalFilter
from esper.signals.health_score import has_problem
from esper.signals.priority_buffer import PriorityBuffer


class HealthWatch:
    """Measures the health of every kernel, and tells what matters of it."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._filter = SignalFilter()
        self._buffer: PriorityBuffer[SeedHealth] = PriorityBuffer(Priority)

    def look(self, epoch: int) -> list[SeedHealth]:
        """Measure every kernel at the end of an epoch, before stages advance.

        Sets the error rates of the activations.

        Returns:
            The signals worth telling, the gravest first.
        """
        for seed in self.host.seeds():
            if seed.current is not None:
                signal = self._measured(seed, epoch)
                priority = self._filter.priority(signal)
                if priority is not None:
                    self._buffer.put(replace(signal, why=priority.name.lower()), priority)
        told: list[SeedHealth] = []
        while batch := self._buffer.take():
            told += batch
        return told

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, as plain values; between epochs the buffer is empty."""
        return self._filter.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state from `state_dict`."""
        self._filter.load_state_dict(state)

    def _measured(self, seed: Seed, epoch: int) -> SeedHealth:
        activation = seed.activation
        _close_errors(activation)
        bank = kernels_of(self.host.slots[seed.slot].module)
        return SeedHealth(
            slot=seed.slot,
            seed=seed.index,
            blueprint=activation.blueprint,
            gradient_norm=activation.gradient.mean,
            finite=activation.gradient.is_finite,
            error_rate=activation.error_rate,
            latency_ms=bank.latencies.median(seed.index),
            is_ready=is_ready(self.host, seed, epoch),
            is_problem=has_problem(activation.error_rate),
        )


def _close_errors(activation: Activation) -> None:
    """Set the error rate of an epoch; a kernel that rested all of it keeps its last one."""
    errors = activation.errors - activation.errors_before
    if errors or activation.steps:
        activation.error_rate = errors / max(errors, activation.steps)
    activation.errors_before, activation.steps = activation.errors, 0
