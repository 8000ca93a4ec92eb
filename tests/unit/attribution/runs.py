"""Runs with scripted plans, driven by the parts of the control step."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from esper.attribution.evaluation import Evaluate, repeatable
from esper.attribution.modes import Modes
from esper.attribution.options import Attribution
from esper.attribution.trials import Trials
from esper.attribution.twin import Train
from esper.contracts.event import SeedPerformance
from esper.contracts.outcome import Outcome
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.stage import SeedStage
from esper.growth.host import Host
from esper.growth.lifecycle import advance_epoch
from esper.growth.param_groups import stale_entries
from esper.probe.rng_state import RngState
from tests.unit.growth.builders import (
    adam_host,
    evaluate,
    germination,
    kernels_for,
    make_metrics,
    same,
    train,
)

_S = SeedStage
TWIN = Attribution(method="twin")
FIRST, SECOND = germination("0", 0, "mlp"), germination("1", 0, "gated_mlp")


def plan(slot: str, action: Action, seed: int = 0, **fields: Any) -> Plan:
    change = SeedChange(action=action, seed=seed, **fields)
    return Plan(slot=slot, kind="test", changes=(change,), reasoning="a test wants it")


@dataclass
class Run:
    """A run with scripted plans, by epoch."""

    host: Host
    plans: dict[int, list[Plan]]
    options: Attribution = TWIN
    epochs: int = 100
    epoch: int = 0
    outcomes: list[Outcome] = field(default_factory=list)
    measured: list[SeedPerformance] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pending = Trials(self.host, self.options)
        self.began = RngState.now()

    @property
    def model(self) -> nn.Module:
        return self.host.model

    @property
    def twins(self) -> list[Host]:
        return [change.twin for change in self.pending.open if change.twin is not None]

    def step(self, evaluated: Evaluate = evaluate, trained: Train | None = None) -> None:
        """Do what the grower does at the end of an epoch."""
        modes = Modes(repeatable(evaluated), self.host)
        network = modes.settled()
        self.epoch += 1
        self.host.end_epoch()
        self.pending.train_twins(trained, self.began)
        self.measured += self.pending.measure(modes, self.epoch, self.epochs)
        metrics = make_metrics(self.epoch, network.loss, network.accuracy)
        advance_epoch(self.host, metrics, rest_epochs=2, blended_loss=modes.whole().loss)
        self.outcomes += self.pending.settle(self.epoch)
        for wanted in self.plans.get(self.epoch, []):
            kernels = kernels_for(self.host, wanted)
            self.pending.apply(wanted, kernels, metrics)
        self.outcomes += self.pending.settle(self.epoch)
        self.pending.follow()
        self.host.begin_epoch()
        assert not stale_entries(self.host.optimizer, self.model)
        self.began = RngState.now()

    def go(self, epochs: int) -> "Run":
        """Train and step for so many epochs, on the same batches as every other run."""
        for _ in range(epochs):
            number = self.epoch

            def again(model: nn.Module, optimizer: Optimizer, number: int = number) -> None:
                train(model, optimizer, number)

            again(self.model, self.host.optimizer)
            self.step(trained=again)
        return self


def run(plans: dict[int, list[Plan]], options: Attribution = TWIN, **growth: Any) -> Run:
    return Run(adam_host("sequential", ["0", "1"], **growth), plans, options)


def hosts_part(host: Host) -> dict[str, Tensor]:
    return {k: v for k, v in host.model.state_dict().items() if "esper_kernels" not in k}


def assert_identical(one: Host, other: Host) -> None:
    """Weights, kernels, alphas, moments and averages are the same, bit for bit."""
    assert same(one.model.state_dict(), other.model.state_dict())
    assert same(one.average.mean, other.average.mean)
    states = [
        {name: host.optimizer.state.get(p, {}) for name, p in host.model.named_parameters()}
        for host in (one, other)
    ]
    for name, mine in states[0].items():
        theirs = states[1][name]
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine), name
    assert [seed.alpha for seed in one.seeds()] == [seed.alpha for seed in other.seeds()]
