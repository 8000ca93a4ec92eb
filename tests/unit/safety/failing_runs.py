"""A network whose kernels fail, lived through epoch by epoch."""

from dataclasses import dataclass
from typing import Any

import torch

from esper.attribution.trials import Trials
from esper.contracts.event import Event, EventKind, Recovery
from esper.contracts.stage import SeedStage
from esper.growth.host import Host
from esper.kernels.options import Recover
from esper.safety.recovery import Recovering
from tests.unit.growth.builders import make_host, make_input
from tests.unit.growth.faulty import bank_in, plant

_S = SeedStage
MISTAKE = ValueError("mistake")


@dataclass
class Run:
    """A network with kernels, and the recovery that looks after them."""

    host: Host
    recovering: Recovering
    epoch: int = 0

    @classmethod
    def of(cls, *blueprints: str, **options: Any) -> "Run":
        host = make_host("sequential", ["1"])
        for seed, blueprint in enumerate(blueprints):
            plant(host, "1", seed, blueprint)
        recovering = Recovering(Trials(host), Recover(backoff_s=0.0, **options))
        recovering.prepare(0)
        return cls(host, recovering)

    def forward(self, host: Host | None = None) -> torch.Tensor:
        found: torch.Tensor = (host or self.host).model.train()(make_input("sequential"))
        return found

    def live(self, calls: int = 1) -> list[Recovery]:
        """Live through an epoch; return what is told at its end."""
        self.epoch += 1
        for _ in range(calls):
            self.forward()
        told = self.recovering.review(self.epoch)
        for recovery in told:
            event = Event(kind=EventKind.RECOVERY, epoch=self.epoch, body=recovery)
            self.recovering.tally(event)
        self.recovering.prepare(self.epoch)
        return told

    def takes_part(self, seed: int = 0) -> bool:
        return str(seed) not in bank_in(self.host, "1").care.resting


def kinds(told: list[Recovery]) -> list[tuple[str, int, bool]]:
    return [(recovery.strategy, recovery.count, recovery.recovered) for recovery in told]


def fossilize(run: Run, seed: int = 0) -> None:
    for stage in (_S.SHADOWING, _S.PROBATIONARY, _S.FOSSILIZED):
        run.host.advance("1", seed, stage, None, "a test wants it")
    run.recovering.prepare(run.epoch)
