"""A network whose kernels fail, run epoch by epoch."""

from dataclasses import dataclass
from typing import Any

import torch

from esper.attribution.options import Attribution
from esper.attribution.trials import Trials
from esper.contracts.event import Event, Recovery
from esper.contracts.stage import SeedStage
from esper.growth.host import Host
from esper.kernels.options import RecoveryOptions
from esper.safety.recovery import KernelGuard
from tests.unit.growth.builders import make_host, make_input
from tests.unit.growth.faulty import bank_in, plant

_S = SeedStage
MISTAKE = ValueError("mistake")


@dataclass
class Run:
    """A network with kernels, and the guard of its run."""

    host: Host
    guard: KernelGuard
    epoch: int = 0

    @classmethod
    def of(cls, *blueprints: str, **options: Any) -> "Run":
        host = make_host("sequential", ["1"])
        for seed, blueprint in enumerate(blueprints):
            plant(host, "1", seed, blueprint)
        guard = KernelGuard(Trials(host, Attribution()), RecoveryOptions(backoff_s=0.0, **options))
        guard.prepare(0)
        return cls(host, guard)

    def forward(self, host: Host | None = None) -> torch.Tensor:
        output: torch.Tensor = (host or self.host).model.train()(make_input("sequential"))
        return output

    def live(self, calls: int = 1) -> list[Recovery]:
        """Run an epoch; return the events of its end."""
        self.epoch += 1
        for _ in range(calls):
            self.forward()
        recoveries = self.guard.review(self.epoch)
        for recovery in recoveries:
            event = Event(epoch=self.epoch, body=recovery)
            self.guard.tally(event)
        self.guard.prepare(self.epoch)
        return recoveries

    def takes_part(self, seed: int = 0) -> bool:
        return seed not in bank_in(self.host, "1").faults.resting


def kinds(recoveries: list[Recovery]) -> list[tuple[str, int, bool]]:
    return [(recovery.strategy, recovery.count, recovery.recovered) for recovery in recoveries]


def fossilize(run: Run, seed: int = 0) -> None:
    for stage in (_S.SHADOWING, _S.PROBATIONARY, _S.FOSSILIZED):
        run.host.advance("1", seed, stage, None, "a test wants it")
    run.guard.prepare(run.epoch)
