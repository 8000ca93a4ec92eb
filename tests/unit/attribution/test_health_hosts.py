"""Probes of every kind of host: births, no trace, and what cannot be measured."""

import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from esper.attribution.first_order import first_order_scores
from esper.attribution.health import MOST_NOISE, Measured, block_health, positions
from esper.contracts.health import BlockHealth
from esper.contracts.slot import Placement
from esper.growth.attach import bank_of
from esper.growth.prepare import HostSetup, prepare
from tests.unit.attribution.probed import (
    X,
    blocks,
    healths,
    kernels_of,
    probe_of,
    square,
)
from tests.unit.growth.builders import (
    HOSTS,
    blended,
    make_host,
    make_input,
    same,
    tensors,
)
from tests.unit.growth.faulty import offered


@pytest.mark.parametrize("name", HOSTS)
def test_every_kind_of_host_is_measured(name: str) -> None:
    host = make_host(name)
    found = block_health(host, kernels_of(host, "mlp"), probe_of(name), 4)
    for slot, health in found.health.items():
        values = asdict(health)
        related = values.pop("correlation")
        assert related is None if values["dead_units"] == 1 else 0 <= related <= 1
        assert all(value is not None and math.isfinite(value) for value in values.values()), slot
        assert values["epoch"] == 4
        assert 0 <= values["dead_units"] <= 1
        assert 0 < values["effective_rank"] <= 1
        assert -1 <= values["linear_gain"] <= 1
        assert abs(values["gradient_noise"]) <= MOST_NOISE
    assert [health.position for health in found.health.values()] == list(positions(host).values())


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize("placement", ["auto", Placement.SERIES])
def test_births_score_as_kernels_that_lie_in_their_slots(name: str, placement: str) -> None:
    host, probe = make_host(name, placement=placement), probe_of(name)
    kernels = kernels_of(host, "mlp", "affine", "conv")
    assert {slot for slot, _ in kernels} == set(host.slots)
    expected = first_order_scores(host, kernels, lambda model: probe(model).mean())
    assert block_health(host, kernels, probe, 1).scores == pytest.approx(expected, rel=1e-5)
    assert all(score > 0 for score in expected.values())


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize("training", [True, False])
def test_a_probe_leaves_the_host_as_it_was(name: str, training: bool) -> None:
    host, x = make_host(name), make_input(name)
    slot = next(iter(host.slots))
    blended(host, slot, 3, alpha=0.5)
    bank = bank_of(host.slots[slot].module)
    assert bank is not None
    bank.tossed = {"3"}
    host.model.train()
    host.model(x).square().sum().backward()
    host.model.train(training)
    host.average.update(4)
    modes = [module.training for module in host.model.modules()]
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in host.model.modules()]
    state, generator = tensors(host.model), torch.get_rng_state()
    grads = [p.grad.clone() for p in host.model.parameters() if p.grad is not None]
    averaged = {key: value.clone() for key, value in host.average.mean.items()}
    waiting, kernels = host.average.waiting, kernels_of(host, "mlp")
    losses = probe_of(name)

    def noisy(model: nn.Module) -> Tensor:
        assert not any(module.training for module in model.modules())
        return losses(model) * torch.rand(())

    block_health(host, kernels, noisy, 1)

    assert same(tensors(host.model), state)
    assert same(host.average.mean, averaged)
    assert host.average.waiting == waiting
    assert modes == [module.training for module in host.model.modules()]
    assert hooks == [
        len(m._forward_hooks) + len(m._forward_pre_hooks) for m in host.model.modules()
    ]
    found = [p.grad for p in host.model.parameters() if p.grad is not None]
    assert all(torch.equal(mine, old) for mine, old in zip(found, grads, strict=True))
    assert torch.equal(torch.get_rng_state(), generator)
    assert (list(bank.kernels), bank.tossed, bank.is_guarded) == (["3"], {"3"}, False)
    assert all(p.grad is None for kernel in kernels.values() for p in kernel.module.parameters())


def test_a_frozen_block_has_no_gradient_but_one_at_its_output() -> None:
    host = blocks()
    for parameter in host.model[0].parameters():  # type: ignore[index]
        parameter.requires_grad_(False)
    measured = block_health(host, kernels_of(host, "affine"), square, 1)
    found = measured.health["0"]
    assert (found.gradient_norm, found.gradient_ratio, found.gradient_noise) == (None, None, None)
    assert found.linear_gain is not None
    assert found.weight_norm is not None
    assert measured.scores["0", 0] is not None
    assert not any(p.requires_grad for p in host.model[0].parameters())  # type: ignore[index]


class Unlearned(nn.Module):
    """Runs its first block without a graph."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 4))
        self.head = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 4))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            h = self.trunk(x)
        out: Tensor = self.head(h)
        return out


def test_a_block_without_a_graph_is_measured_without_gradients() -> None:
    model = Unlearned()
    setup = HostSetup(slots=("head",))
    host = prepare(model, SGD(model.parameters(), lr=0.1), X, setup)
    trunk = host.slots["head"]
    host.slots["trunk"] = type(trunk)(trunk.spec, model.trunk, trunk.seeds)
    measured = block_health(host, {}, square, 1)
    found = measured.health["trunk"]
    assert (found.linear_gain, found.gradient_norm, found.gradient_noise) == (None, None, None)
    assert found.effective_rank is not None
    assert found.weight_norm is not None
    assert measured.health["head"].gradient_norm is not None


def test_losses_that_are_not_finite_tell_nothing() -> None:
    host = blocks()
    with torch.no_grad():
        host.model[1][0].weight[0, 0] = math.nan  # type: ignore[index,operator,union-attr]
    assert block_health(host, kernels_of(host, "affine"), square, 1) is None


def test_a_block_that_the_probe_does_not_call_has_its_weights_alone() -> None:
    host = blocks()
    found = healths(host, lambda model: model[0](X).square().sum(dim=1))  # type: ignore[index]
    known = {key for key, value in asdict(found["2"]).items() if value is not None}
    assert known == {"epoch", "log_parameters", "position", "weight_norm", "update_ratio"}
    assert found["0"].gradient_ratio == pytest.approx(0.0), "no other block has a gradient"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda m: m(X).square().mean(),
        lambda m: m(X),
        lambda m: m(X).detach().sum(dim=1),
        lambda m: m(X[:1]).sum(dim=1),
        lambda m: (m(X).sum(dim=1), m(X)),
    ],
)
def test_losses_that_are_not_those_of_samples_are_refused(
    wrong: Callable[[Any], Tensor],
) -> None:
    host = blocks()
    with pytest.raises(ValueError, match="probe must return the losses of at least 2 samples"):
        block_health(host, {}, wrong, 1)
    assert not any(m._forward_hooks for m in host.model.modules())


@pytest.mark.parametrize("where", ["forward", "backward", "gives"])
def test_a_kernel_that_fails_has_no_score(where: str) -> None:
    with offered("bad", "good") as troubles:
        host = make_host("mlp")
        kernels = kernels_of(host, "bad", "good")
        how = (lambda y: y[:1]) if where == "gives" else RuntimeError("mistake")
        setattr(troubles["bad"], where, how)
        measured: Measured = block_health(host, kernels, probe_of("mlp"), 1)
    assert set(measured.scores) == {(slot, 1) for slot in host.slots}
    assert all(bank_of(slot.module) is None for slot in host.slots.values())


def test_the_last_of_an_odd_number_of_samples_is_left_out() -> None:
    host = blocks()

    def of(num: int) -> dict[str, BlockHealth]:
        return healths(host, lambda model: model(X[:num]).square().sum(dim=1))

    for slot, odd in of(9).items():
        even = of(8)[slot]
        assert odd.linear_gain == pytest.approx(even.linear_gain, abs=1e-5)
        assert odd.gradient_noise == pytest.approx(even.gradient_noise, rel=1e-4)


SCRIPT = """
from esper.attribution.health import block_health
from tests.unit.attribution.probed import kernels_of, probe_of
from tests.unit.growth.builders import make_host
host = make_host("resnet")
found = block_health(host, kernels_of(host, "mlp"), probe_of("resnet"), 1)
print({slot: str(each) for slot, each in found.health.items()}, found.scores)
"""


def test_signals_are_the_same_in_every_process() -> None:
    told = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1
    assert "gradient_noise" in told.pop()


def test_a_strided_block_is_compared_with_its_pooled_input() -> None:
    host = make_host("resnet")
    strided = next(s for s, slot in host.slots.items() if slot.spec.out_shape[0] == 8)
    assert healths(host, probe_of("resnet"))[strided].linear_gain is not None
