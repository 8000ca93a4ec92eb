"""Twins, driven by the control step's own parts: bit for bit the run without the event."""

import random
from dataclasses import dataclass, field
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer, lr_scheduler

from esper.contracts.outcome import Outcome
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.stage import SeedStage
from esper.growth.chance import Chance
from esper.growth.evaluation import Evaluate, evaluate_model, repeatable
from esper.growth.groups import hide_kernels, stale_entries
from esper.growth.host import Host, Moment
from esper.growth.lifecycle import grow_older
from esper.growth.pending import Pending
from esper.growth.twin import Train
from tests.unit.growth.builders import (
    adam_host,
    batches,
    evaluate,
    germination,
    make_host,
    make_model,
    make_setting,
    same,
    train,
)

_S = SeedStage
FIRST, SECOND = germination("0", 0, "mlp"), germination("1", 0, "gated_mlp")


def plan(slot: str, action: Action, seed: int = 0, **fields: Any) -> Plan:
    change = SeedChange(action=action, seed=seed, **fields)
    return Plan(slot=slot, kind="test", changes=(change,), reasoning="a test wants it")


@dataclass
class Run:
    """A run whose decisions are written down beforehand: plans by epoch."""

    host: Host
    plans: dict[int, list[Plan]]
    with_twin: bool = True
    epoch: int = 0
    outcomes: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pending = Pending(self.host)
        self.began = Chance.now()

    @property
    def model(self) -> nn.Module:
        return self.host.model

    @property
    def twins(self) -> list[Host]:
        return [change.twin for change in self.pending.changes if change.twin is not None]

    def step(self, evaluated: Evaluate = evaluate, trained: Train | None = None) -> None:
        """Do what the grower does at the end of an epoch."""
        self.epoch += 1
        self.host.end_epoch()
        again = repeatable(evaluated)
        network = evaluate_model(evaluated, self.model)
        self.pending.train_twins(trained, self.began)
        self.pending.measure(again, network)
        moment = Moment(self.epoch, network.loss, network.accuracy)
        grow_older(self.host, moment, rest_epochs=2)
        self.outcomes += self.pending.settle(self.epoch)
        for wanted in self.plans.get(self.epoch, []):
            setting = make_setting(self.pending.num_events, self.epoch, network.loss)
            self.pending.apply(wanted, setting, {}, with_twin=self.with_twin)
        self.outcomes += self.pending.settle(self.epoch)
        self.pending.follow()
        assert not stale_entries(self.host.optimizer, self.model)
        self.began = Chance.now()

    def go(self, epochs: int) -> "Run":
        """Train and step for so many epochs, on the same batches as every other run."""
        for _ in range(epochs):
            number = self.epoch

            def again(model: nn.Module, optimizer: Optimizer, number: int = number) -> None:
                train(model, optimizer, number)

            again(self.model, self.host.optimizer)
            self.step(trained=again)
        return self


def run(plans: dict[int, list[Plan]], **growth: Any) -> Run:
    return Run(adam_host("sequential", ["0", "1"], **growth), plans)


def hosts_part(host: Host) -> dict[str, Tensor]:
    return {k: v for k, v in host.model.state_dict().items() if "esper_kernels" not in k}


def assert_identical(one: Host, other: Host) -> None:
    """Weights, kernels, alphas and moments are the same, bit for bit."""
    assert same(one.model.state_dict(), other.model.state_dict())
    states = [
        {name: host.optimizer.state.get(p, {}) for name, p in host.model.named_parameters()}
        for host in (one, other)
    ]
    for name, mine in states[0].items():
        theirs = states[1][name]
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine), name
    assert [seed.alpha for seed in one.seeds()] == [seed.alpha for seed in other.seeds()]


def test_twin_and_network_are_identical_until_the_seed_blends() -> None:
    growing = run({2: [FIRST]}).go(2)
    (twin,) = growing.twins
    assert same(hosts_part(twin), hosts_part(growing.host))
    growing.go(1)
    assert same(hosts_part(twin), hosts_part(growing.host))
    assert not any("esper" in key for key in twin.model.state_dict())
    assert growing.host.seed("0", 0).stage is _S.BLENDING
    assert [point.gain for point in growing.host.seed("0", 0).alive.gains] == [0.0]
    growing.go(1)
    assert not same(hosts_part(twin), hosts_part(growing.host))


def test_the_twin_of_an_event_is_the_run_that_never_grew() -> None:
    growing, bare = run({2: [FIRST]}).go(2), run({}).go(2)
    (twin,) = growing.twins
    for _ in range(5):
        growing.go(1)
        bare.go(1)
        assert_identical(twin, bare.host)


def test_a_twin_follows_every_other_event() -> None:
    others = {
        3: [SECOND],
        4: [germination("1", 2, "affine", alpha_target=0.4)],
        6: [plan("1", Action.CULL, 2)],
        7: [plan("1", Action.RETARGET, 0, alpha_target=0.6)],
        9: [germination("0", 1, "lora")],
    }
    growing = run({**others, 2: [FIRST]}, shadowing_epochs=5, twin_epochs=8).go(2)
    only_others = run(others, shadowing_epochs=5, twin_epochs=8).go(2)
    (twin, *_) = growing.twins
    for _ in range(8):
        growing.go(1)
        only_others.go(1)
        assert_identical(twin, only_others.host)
        own, followed = growing.host.seed("1", 0), twin.seed("1", 0)
        assert (own.stage, own.alpha) == (followed.stage, followed.alpha)
        assert twin.seed("0", 0).stage is _S.DORMANT
    assert growing.host.seed("1", 0).activations == 1
    assert twin.seed("1", 2).stage is growing.host.seed("1", 2).stage


def test_twins_of_several_events_each_miss_their_own() -> None:
    both = run({2: [FIRST], 3: [SECOND]}).go(2)
    without_first, without_second = run({3: [SECOND]}).go(2), run({2: [FIRST]}).go(2)
    for _ in range(4):
        for each in (both, without_first, without_second):
            each.go(1)
        first, second = both.twins
        assert_identical(first, without_first.host)
        assert_identical(second, without_second.host)


def test_a_twin_follows_a_seed_of_another_event_to_its_end() -> None:
    ends = {9: [plan("1", Action.FOSSILIZE, 0)], 10: [], 2: [SECOND]}
    late = germination("0", 0, "mlp")
    growing, other = run({**ends, 5: [late]}).go(5), run(ends).go(5)
    (_, twin) = growing.twins
    for _ in range(5):
        growing.go(1)
        other.go(1)
        assert_identical(twin, other.host)
    assert twin.seed("1", 0).stage is _S.FOSSILIZED
    assert [outcome.fossilized for outcome in growing.outcomes] == [True]
    assert len(growing.twins) == 1


def test_a_replacement_is_followed_but_for_what_comes_in_its_place() -> None:
    swap = Plan(
        slot="0",
        kind="replace",
        changes=(
            SeedChange(action=Action.CULL, seed=0, rests=False),
            SeedChange(action=Action.GERMINATE, seed=0, blueprint="affine"),
        ),
        reasoning="a test wants it",
    )
    growing, culled = run({2: [FIRST], 5: [swap]}), run({2: [FIRST], 5: [plan("0", Action.CULL)]})
    growing.go(5)
    culled.go(5)
    (twin,) = growing.twins
    for _ in range(3):
        growing.go(1)
        culled.go(1)
        assert same(hosts_part(twin), hosts_part(culled.host))
        assert not any("esper" in key for key in twin.model.state_dict())


def test_a_kernel_that_does_nothing_gains_exactly_nothing() -> None:
    growing = run({2: [germination("0", 0, "noop")]}).go(8)
    life = growing.host.seed("0", 0).alive
    assert growing.host.seed("0", 0).stage is _S.PROBATIONARY
    assert growing.host.seed("0", 0).alpha == 1.0
    assert (life.gain, life.gain_error, life.ablation, life.accuracy_gain) == (0.0, 0.0, 0.0, 0.0)
    assert [point.gain for point in life.gains] == [0.0] * 6
    (twin,) = growing.twins
    assert same(hosts_part(twin), hosts_part(growing.host))


@pytest.mark.parametrize("last", [3, 5, 8])
def test_a_cull_can_go_on_from_the_twin_as_if_the_seed_had_never_been(last: int) -> None:
    growing = run({2: [FIRST], last: [plan("0", Action.CULL)]}, on_cull="twin")
    bare = run({})
    growing.go(last)
    bare.go(last)
    assert_identical(growing.host, bare.host)
    assert growing.twins == []
    growing.go(3)
    bare.go(3)
    assert_identical(growing.host, bare.host)
    (outcome,) = growing.outcomes
    assert not outcome.fossilized


def test_a_cull_goes_on_from_the_network_unless_asked() -> None:
    growing, bare = run({2: [FIRST], 6: [plan("0", Action.CULL)]}).go(7), run({}).go(7)
    assert not same(hosts_part(growing.host), hosts_part(bare.host))


def test_nobody_goes_on_from_the_twin_of_a_seed_that_stays() -> None:
    stays = {2: [FIRST], 8: [plan("0", Action.FOSSILIZE)]}
    kept, plain = run(stays, on_cull="twin").go(10), run(stays).go(10)
    assert_identical(kept.host, plain.host)


def test_with_another_event_open_the_network_goes_on_itself() -> None:
    events = {2: [FIRST], 3: [SECOND], 6: [plan("0", Action.CULL)]}
    growing, plain = run(events, on_cull="twin").go(7), run(events).go(7)
    assert_identical(growing.host, plain.host)


def test_adoption_takes_kernels_of_other_events_and_what_no_state_dict_holds() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = make_model("sequential")
            self.register_buffer("seen", torch.zeros(()), persistent=False)
            self.register_buffer("mean", torch.zeros(3))

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.body(x)
            if self.training:
                self.seen += out.detach().sum()
                self.mean.mul_(0.9).add_(out.detach().mean(dim=0))
            return out

    def made(plans: dict[int, list[Plan]], **growth: Any) -> Run:
        x = torch.ones(2, 4)
        host = make_host(Counting(), ["body.0", "body.1"], example=x, optimizer=Adam, **growth)
        return Run(host, plans)

    keep = {2: [germination("body.1", 0, "affine")], 8: [plan("body.1", Action.FOSSILIZE)]}
    gone = {9: [germination("body.0", 0, "mlp")], 14: [plan("body.0", Action.CULL)]}
    growing, other = made({**keep, **gone}, on_cull="twin").go(15), made(keep).go(15)
    assert_identical(growing.host, other.host)
    assert torch.equal(growing.model.seen, other.model.seen)  # type: ignore[arg-type]


def shuffled(source: str) -> Train:
    """Return a user's loop that shuffles with a global generator."""

    def loop(model: nn.Module, optimizer: Optimizer) -> None:
        model.train()
        drawn = batches(0, steps=6)
        if source == "python":
            random.shuffle(drawn)
        elif source == "numpy":
            drawn = [drawn[i] for i in numpy.random.permutation(6)]
        else:
            drawn = [drawn[i] for i in torch.randperm(6).tolist()]
        for x, y in drawn:
            optimizer.zero_grad()
            noisy = x + 0.1 * torch.randn_like(x) + 0.1 * random.random()
            nn.functional.cross_entropy(model(noisy), y).backward()
            optimizer.step()

    return loop


def drawing(model: nn.Module) -> Any:
    """Evaluate with a data loader's habits: it draws from the global generator."""
    torch.empty((), dtype=torch.int64).random_()
    losses, hits = evaluate(model)
    order = torch.randperm(len(losses))
    return losses[order], hits[order]


@pytest.mark.parametrize("source", ["python", "numpy", "torch"])
def test_a_twin_sees_the_batches_of_a_loop_that_shuffles_and_is_not_felt_by_it(source: str) -> None:
    def go(with_twin: bool, plans: dict[int, list[Plan]]) -> Run:
        random.seed(3)
        numpy.random.seed(3)
        torch.manual_seed(3)
        host = adam_host(make_model("sequential"), ["0", "1"], example=torch.ones(2, 4))
        random.seed(3)
        torch.manual_seed(3)
        made = Run(host, plans, with_twin=with_twin)
        loop = shuffled(source)
        for _ in range(7):
            loop(made.model, made.host.optimizer)
            made.step(drawing, loop if with_twin else None)
        return made

    grown, bare = go(True, {2: [FIRST], 3: [SECOND]}), go(True, {})
    first, _ = grown.twins
    alone = go(True, {3: [SECOND]})
    assert_identical(first, alone.host)
    assert_identical(alone.twins[0], bare.host)
    without = go(False, {2: [FIRST], 3: [SECOND]})
    assert_identical(without.host, grown.host)


class Scheduled:
    """A run under a scheduler of the user's, stepped after each batch or each epoch."""

    def __init__(self, plans: dict[int, list[Plan]], *, per_batch: bool) -> None:
        def momentum(parameters: Any, lr: float) -> Optimizer:
            return SGD(parameters, lr=lr, momentum=0.9)

        host = make_host("sequential", ["0", "1"], optimizer=momentum)
        self.per_batch, self.run = per_batch, Run(host, plans)
        self.scheduler: lr_scheduler.LRScheduler = (
            lr_scheduler.OneCycleLR(host.optimizer, max_lr=0.3, total_steps=60)
            if per_batch
            else lr_scheduler.LambdaLR(host.optimizer, lambda e: 0.7**e)
        )
        hide_kernels([self.scheduler])

    def train(self, model: nn.Module, optimizer: Optimizer) -> None:
        for x, y in batches(self.run.epoch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            if self.per_batch and optimizer is self.run.host.optimizer:
                self.scheduler.step()

    def go(self, epochs: int) -> "Scheduled":
        for _ in range(epochs):
            number = self.run.epoch

            def again(model: nn.Module, optimizer: Optimizer, number: int = number) -> None:
                now, self.run.epoch = self.run.epoch, number
                self.train(model, optimizer)
                self.run.epoch = now

            again(self.run.model, self.run.host.optimizer)
            if not self.per_batch:
                self.scheduler.step()
            self.run.step(trained=again)
        return self


@pytest.mark.parametrize("per_batch", [True, False])
def test_a_twin_has_the_schedule_of_the_network_whoever_steps_it(per_batch: bool) -> None:
    growing = Scheduled({2: [FIRST]}, per_batch=per_batch).go(7)
    bare = Scheduled({}, per_batch=per_batch).go(7)
    assert_identical(growing.run.twins[0], bare.run.host)


def test_a_loop_that_trains_the_network_in_the_twins_place_is_refused() -> None:
    growing = run({1: [FIRST]}).go(1)
    scheduler = lr_scheduler.ExponentialLR(growing.host.optimizer, 0.5)

    def deaf(*_: Any) -> None:
        train(growing.model, growing.host.optimizer)

    def stepping(model: nn.Module, optimizer: Optimizer) -> None:
        train(model, optimizer)
        scheduler.step()

    for wrong in (deaf, stepping):
        train(growing.model, growing.host.optimizer)
        with pytest.raises(ValueError, match="the network's own optimizer or schedule"):
            growing.step(trained=wrong)


@pytest.mark.parametrize("left_in_eval_mode", [False, True])
def test_a_twin_trains_in_the_modes_of_the_network(left_in_eval_mode: bool) -> None:
    modes: list[list[bool]] = []

    def train_only(model: nn.Module, optimizer: Optimizer) -> None:
        modes.append([module.training for module in model.modules()][:4])
        for x, y in batches():
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

    x = torch.randn(4, 4)
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    growing = Run(make_host(model, ["2"], example=x), {1: [germination("2", 0, "mlp")]})
    for _ in range(2):
        model.train()
        model[1].eval()
        train_only(model, growing.host.optimizer)
        if left_in_eval_mode:
            model.eval()
        growing.step(trained=train_only)

    # A frozen batch norm stays so; who leaves the network in eval mode sets its mode in `train`.
    frozen, thawed = [True, True, False, True], [True, True, True, True]
    assert modes == [frozen, frozen, thawed if left_in_eval_mode else frozen]


def test_without_a_loop_twins_are_given_up() -> None:
    growing = run({2: [FIRST]}).go(4)
    assert len(growing.twins) == 1
    train(growing.model, growing.host.optimizer, 4)
    growing.step(trained=None)
    assert growing.twins == []
    assert len(growing.pending.changes) == 1
    for number in (5, 6):
        train(growing.model, growing.host.optimizer, number)
        growing.step(trained=None)
    life = growing.host.seed("0", 0).alive
    assert life.gain == life.ablation


def test_the_cost_of_twins_and_evaluations_is_counted() -> None:
    growing = run({2: [FIRST]}).go(2)
    (twin,) = growing.twins
    assert twin.flops < growing.host.flops
    # Three forwards' worth a trained sample, one an evaluated one.
    assert growing.pending.flops(10, 5) == twin.flops * (3 * 10 + 5)
    growing.go(2)
    assert growing.host.seed("0", 0).stage is _S.SHADOWING
    assert growing.pending.flops(10, 5) == twin.flops * (3 * 10 + 5) + growing.host.flops * 5
    assert Run(growing.host, {}).pending.flops(10, 5) == growing.host.flops * 5


def test_a_plan_that_fails_opens_no_event() -> None:
    growing = run({})
    with pytest.raises(Exception, match="unknown blueprint"):
        growing.pending.apply(germination("0", 0, "nonsense"), make_setting(), {}, with_twin=True)
    assert (growing.pending.changes, growing.pending.num_events) == ([], 0)
