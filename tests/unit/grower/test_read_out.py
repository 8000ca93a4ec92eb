"""The network that a run ends with: the best averaged one, without what was on trial then."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD

from esper.attribution.evaluation import evaluate_model
from esper.contracts.decision import DecisionKind
from esper.contracts.stage import SeedStage
from esper.grower.grower import Grower
from esper.grower.read_out import BestAverage
from esper.growth.host import Host
from esper.growth.options import ReadOut
from esper.growth.param_groups import stale_entries
from tests.unit.growth.builders import blended, grow, make_host, make_input, make_model, same
from tests.unit.scripted import (
    EPOCHS,
    adapt,
    go,
    losses,
    make_grower,
    same_weights,
    script,
    train,
    verdict,
)

_S = SeedStage


def fill(host: Host, value: float) -> None:
    with torch.no_grad():
        for parameter in host.model.parameters():
            parameter.fill_(value)


def values(host: Host) -> set[float]:
    return {value for p in host.model.parameters() for value in p.flatten().tolist()}


def keep(host: Host, slot: str, seed: int = 0) -> nn.Module:
    """Grow a seed and fossilize it; return its kernel."""
    kernel: nn.Module = blended(host, slot, seed)
    for stage in (_S.SHADOWING, _S.PROBATIONARY, _S.FOSSILIZED):
        host.advance(slot, seed, stage, None, "a test wants it")
    return kernel


@pytest.mark.parametrize(
    ("offered", "best"),
    [
        ([3.0, 1.0, 2.0], 2),
        # An equal loss is newer.
        ([1.0, 1.0, 2.0], 2),
        ([math.nan, 2.0, math.nan], 2),
        ([-1.0, -2.0, -1.5], 2),
        ([2.0, 3.0], 1),
    ],
)
def test_the_network_with_the_lowest_loss_is_read_out(offered: list[float], best: int) -> None:
    host = make_host("sequential", ["0"])
    kept = BestAverage(host, ReadOut())
    for epoch, loss in enumerate(offered, start=1):
        fill(host, float(epoch))
        offer(kept, loss, epoch)
    fill(host, 99.0)
    assert kept.apply() == best
    assert values(host) == {float(best)}


def offer(best: BestAverage, loss: float, epoch: int) -> None:
    """Do what the control step does with a network."""
    if best.wants(loss):
        best.keep(loss, epoch)


def test_the_last_network_is_read_out_if_that_is_chosen_or_none_was_kept() -> None:
    for options, offers in ((ReadOut(read_out="last"), 1), (ReadOut(), 0)):
        host = make_host("sequential", ["0"])
        kept = BestAverage(host, options)
        for _ in range(offers):
            offer(kept, 0.5, 1)
        fill(host, 99.0)
        assert kept.apply() is None
        assert values(host) == {99.0}


def test_kernels_kept_later_leave_and_those_kept_before_stay_as_they_were() -> None:
    host = make_host("sequential", ["0", "1"])
    kept = BestAverage(host, ReadOut())
    early = keep(host, "0")
    before = {name: tensor.clone() for name, tensor in host.model.state_dict().items()}
    offer(kept, 0.5, 4)
    with torch.no_grad():
        for parameter in early.parameters():
            parameter.add_(1.0)
    keep(host, "1")
    offer(kept, 0.6, 9)

    assert kept.apply() == 4
    assert same(host.model.state_dict(), before)
    assert [seed.stage for seed in host.seeds() if seed.current is not None] == [_S.FOSSILIZED]
    assert len(host.optimizer.param_groups) == 2
    assert not stale_entries(host.optimizer, host.model)
    x = make_input("sequential")
    assert host.model(x).isfinite().all()


def test_a_live_kernel_is_not_part_even_if_it_was_kept_later() -> None:
    host = make_host("sequential", ["0", "1"])
    kept = BestAverage(host, ReadOut())
    bare = {name: tensor.clone() for name, tensor in host.model.state_dict().items()}
    keep(host, "1")
    # Offered while one kernel is on trial and another one is isolated.
    host.seed("1", 0).stage = _S.PROBATIONARY
    grow(host, "0")
    offer(kept, 0.5, 6)
    host.seed("1", 0).stage = _S.FOSSILIZED
    assert kept.apply() == 6
    assert same(host.model.state_dict(), bare)


def test_later_averages_begin_with_the_network_that_was_read_out() -> None:
    host = make_host("sequential", ["0"])
    kept = BestAverage(host, ReadOut())
    fill(host, 1.0)
    offer(kept, 0.5, 1)
    fill(host, 2.0)
    kept.apply()
    with host.average.applied():
        assert values(host) == {1.0}


class Tied(nn.Module):
    """A network with one buffer under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.register_buffer("one", torch.ones(4))
        self.register_buffer("other", self.one)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.one + self.other


def test_tied_buffers_stay_one_tensor() -> None:
    model = Tied()
    host = make_host(model, ["layer"], example=torch.zeros(2, 4))
    kept = BestAverage(host, ReadOut())
    offer(kept, 0.5, 1)
    model.one.fill_(7.0)
    saved = kept.state_dict()["tensors"]
    assert saved["one"] is saved["other"]
    kept.apply()
    assert model.one is model.other
    assert model.one.tolist() == [1.0] * 4


def test_what_is_kept_is_a_copy_and_survives_a_save() -> None:
    host, other = (make_host("sequential", ["0"]) for _ in range(2))
    kept, again = BestAverage(host, ReadOut()), BestAverage(other, ReadOut())
    fill(host, 1.0)
    offer(kept, 0.5, 3)
    fill(host, 2.0)
    again.load_state_dict(kept.state_dict())
    offer(again, 0.6, 4)
    assert again.apply() == 3
    assert values(other) == {1.0}


# The rest is about whole runs.


def scaled(epoch: int, best: int) -> Any:
    """Return an evaluation after which the network of epoch `best` is the best one."""
    return lambda model: losses(model) * (1.0 if epoch == best else 2.0)


def run_until(grower: Grower, last: int, best: int) -> None:
    while grower.epoch < last:
        train(grower.host.model, grower.host.optimizer)
        grower.step(scaled(grower.epoch + 1, best))


@pytest.mark.parametrize("best", [3, 7])
def test_the_average_of_the_best_epoch_is_read_out(best: int) -> None:
    grower, _ = make_grower(policy="never")
    torch.manual_seed(7)
    run_until(grower, best, best)
    with grower.host.average.applied():
        expected = {name: t.clone() for name, t in grower.host.model.state_dict().items()}
    run_until(grower, EPOCHS, best)
    assert not same(grower.host.model.state_dict(), expected)
    assert grower.read_out() == best
    assert same(grower.host.model.state_dict(), expected)


@pytest.mark.parametrize("saved_after", [5, 9])
def test_a_resumed_run_reads_out_the_same_network(saved_after: int) -> None:
    options: dict[str, Any] = {
        "policy": script(e1=[adapt("0", 1)], e5=[verdict(DecisionKind.FOSSILIZE, "0", 0)])
    }
    whole, _ = make_grower(**options)
    torch.manual_seed(7)
    run_until(whole, EPOCHS, 7)
    halves, _ = make_grower(**options)
    torch.manual_seed(7)
    run_until(halves, saved_after, 7)
    state = halves.state_dict()
    resumed, _ = make_grower(**options)
    resumed.load_state_dict(state)
    run_until(resumed, EPOCHS, 7)
    assert whole.read_out() == resumed.read_out() == 7
    assert any("esper_kernels" in name for name in whole.host.model.state_dict())
    assert same_weights(whole.host.model, resumed.host.model)


def test_the_last_weights_stay_if_that_is_chosen() -> None:
    run = go(policy="never", run=ReadOut(read_out="last"))
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    assert run.grower.read_out() is None
    assert same(run.model.state_dict(), before)


def test_a_step_after_the_read_out_is_refused_even_when_resumed() -> None:
    grower, _ = make_grower(policy="never")
    run_until(grower, 2, 1)
    grower.read_out()
    resumed, _ = make_grower(policy="never")
    resumed.load_state_dict(grower.state_dict())
    for each in (grower, resumed):
        with pytest.raises(ValueError, match=r"^the network was read out after epoch 2"):
            each.step(losses)
        assert each.epoch == 2


def images(name: str) -> tuple[nn.Module, Any, Any]:
    """Return a convolutional host, and functions that train and score it."""
    x, y = make_input(name, 48), torch.arange(48) % 3

    def learn(model: nn.Module, optimizer: Any) -> None:
        model.train()
        for chosen in torch.randperm(48).split(8):
            optimizer.zero_grad()
            functional.cross_entropy(model(x[chosen]), y[chosen]).backward()
            optimizer.step()

    def score(model: nn.Module) -> Tensor:
        return functional.cross_entropy(model(x), y, reduction="none")

    return make_model(name), learn, score


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("name", ["resnet", "batch_norm"])
def test_the_network_that_is_read_out_scores_what_its_epoch_scored(name: str, kept: bool) -> None:
    model, learn, score = images(name)
    grower, _ = make_grower(model, SGD, example_input=make_input(name, 4), policy="never")
    slot = next(iter(grower.host.slots))
    table = {1: [adapt(slot, 1)]}
    if kept:
        table[5] = [verdict(DecisionKind.FOSSILIZE, slot, 0)]
    grower.policy = script(**{f"e{e}": d for e, d in table.items()}).build(0)
    torch.manual_seed(7)
    scored = []
    for _ in range(8):
        learn(model, grower.host.optimizer)
        scored.append(grower.step(score).metrics.val_loss)
    best = grower.read_out()
    assert best is not None
    assert scored[best - 1] == min(scored)
    assert evaluate_model(score, model).loss == pytest.approx(min(scored), rel=1e-6)
