"""A grower's state in a host of another width."""

import math

import pytest
import torch
from torch import nn
from torch.optim import Adam

from esper.contracts.decision import Adaptation, Decision, DecisionKind
from esper.contracts.event import EventKind
from esper.contracts.stage import SeedStage
from esper.grower.grower import Grower
from esper.grower.options import GrowerOptions
from esper.grower.resize import go_back, has_trials, widen
from esper.growth.host import Host
from esper.growth.prepare import prepare
from esper.probe.tensors import copied, tensors_of
from tests.unit.scripted import (
    PLAIN,
    TRAIN,
    Run,
    adapt,
    go,
    losses_and_hits,
    make_grower,
    make_model,
    script,
    train,
    verdict,
)

POLICY = script(e2=[adapt("0", 1)], e8=[verdict(DecisionKind.FOSSILIZE, "0", 0)])
OPTIONS = {"policy": POLICY, "slots": ("0", "3"), "blueprint": ("mlp",), "num_seeds": 1}


def wide(rng_seed: int) -> nn.Module:
    """Return the network of the runs with hidden layers of twice the width."""
    torch.manual_seed(rng_seed)
    return nn.Sequential(
        nn.Linear(4, 12), nn.GELU(), nn.Dropout(0.2), nn.Linear(12, 12), nn.GELU(), nn.Linear(12, 3)
    )


def host_of(model: nn.Module) -> Host:
    setup = GrowerOptions.of({**PLAIN, **OPTIONS}).setup(0)
    return prepare(model, Adam(model.parameters(), lr=0.02), TRAIN[0][:4], setup)


@pytest.fixture
def run() -> Run:
    """Return a run that kept a kernel, with two epochs left."""
    found = go(steps=12, **OPTIONS)
    assert found.stages("0", 0)[-1] == "FOSSILIZED"
    return found


def widened(run: Run, shrink: float = 1.0) -> Grower:
    new, _ = make_grower(wide(1), **OPTIONS)
    widen(run.grower, new, host_of(wide(2)), host_of(wide(3)), shrink)
    return new


def test_a_wider_host_goes_on_with_what_the_narrower_one_has_learned(run: Run) -> None:
    old = run.grower
    before = old.state_dict()
    with torch.no_grad():
        answers = run.model.eval()(TRAIN[0])
    new = widened(run)
    with torch.no_grad():
        assert torch.allclose(new.host.model.eval()(TRAIN[0]), answers, atol=1e-6)
    seed, former = new.host.seed("0", 0), old.host.seed("0", 0)
    assert seed.stage is SeedStage.FOSSILIZED
    kernel = new.host.model.get_submodule("0.esper_kernels.kernels.0")
    assert seed.activation.parameters == sum(p.numel() for p in kernel.parameters())
    assert seed.activation.parameters > former.activation.parameters
    assert new.host.flops > new.host.base_flops > old.host.base_flops
    after = new.state_dict()
    for part in ("settler", "selector", "policy", "costs", "guard"):
        assert after[part] == before[part]
    moments = after["trials"]["host"]["moments"].values()
    assert not any(state for group in moments for state in group)
    assert new.best.epoch == old.best.epoch


def test_it_trains_and_steps_on_to_the_end_of_the_budget(run: Run) -> None:
    new = widened(run, shrink=0.5)
    began = copied(tensors_of(new.host.model))
    for _ in range(2):
        train(new.host.model, new.host.optimizer)
        report = new.step(losses_and_hits, train)
    assert new.epoch == 14
    assert math.isfinite(report.metrics.val_loss)
    assert not report.has_rolled_back
    now = tensors_of(new.host.model)
    assert not now["3.weight"].equal(began["3.weight"])  # type: ignore[union-attr]
    changed = [n for n in now if n.startswith("0.esper_kernels.kernels.0") and "alpha" not in n]
    assert changed
    assert any(not now[n].equal(began[n]) for n in changed)  # type: ignore[union-attr]


def test_back_at_a_width_the_host_is_the_best_network(run: Run) -> None:
    best = run.grower.best.state_dict()["tensors"]
    larger = widened(run, shrink=0.5)
    train(larger.host.model, larger.host.optimizer)
    larger.step(losses_and_hits, train)
    assert larger.best.epoch == run.grower.best.epoch
    again, _ = make_grower(**OPTIONS)
    go_back(larger, again)
    assert again.epoch == 13
    here = tensors_of(again.host.model)
    assert here.keys() == best.keys()
    assert all(here[name].equal(each) for name, each in best.items())
    train(again.host.model, again.host.optimizer)
    again.step(losses_and_hits, train)


def test_a_kernel_that_the_best_network_lacks_leaves_with_the_width() -> None:
    run = go(steps=12, **OPTIONS)
    state = run.grower.best
    with torch.no_grad():
        state._tensors = {n: t for n, t in state._tensors.items() if "esper_kernels" not in n}
    larger = widened(run)
    again, _ = make_grower(**OPTIONS)
    go_back(larger, again)
    assert again.host.seed("0", 0).stage is SeedStage.DORMANT
    assert not has_trials(again.host)
    bare = make_model().parameters()
    assert again.host.num_parameters == sum(each.numel() for each in bare)


def test_a_grower_alone_refuses_to_widen_its_host() -> None:
    wants = Decision(kind=DecisionKind.ADAPT, adaptation=Adaptation.WIDEN, reason="a test wants it")
    run = go(steps=3, policy=script(e2=[wants]))
    (refusal,) = run.told.of(EventKind.SAFETY)
    assert (refusal.rule, refusal.decision) == ("widen", wants)
    assert run.reports[1].widens is None
    grower, told = make_grower(policy=script(e1=[wants]))
    grower.can_widen = True
    train(grower.host.model, grower.host.optimizer)
    assert grower.step(losses_and_hits, train).widens == wants
    assert told.of(EventKind.SAFETY) == []
