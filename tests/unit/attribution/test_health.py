"""The health of blocks, measured in real networks."""

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
from torch.nn.functional import cross_entropy
from torch.optim import SGD

from esper.attribution.first_order import first_order_scores
from esper.attribution.health import MOST_NOISE, Measured, Probe, block_health, positions
from esper.contracts.health import BlockHealth
from esper.contracts.slot import Placement
from esper.contracts.stage import SeedStage
from esper.growth.attach import bank_of
from esper.growth.host import Host
from esper.growth.prepare import HostSetup, prepare
from esper.kernels.kernel import Kernel
from esper.kernels.pipeline import build_kernel
from tests.unit.growth.builders import (
    CLASSES,
    HOSTS,
    blended,
    kernel_of,
    make_host,
    make_input,
    same,
    tensors,
)
from tests.unit.growth.faulty import offered

NUM = 96
X = torch.randn(NUM, 4, generator=torch.Generator().manual_seed(3))
STRUCTURE = (
    "activation_variance", "weight_norm", "effective_rank", "dead_units", "correlation",
)  # fmt: skip


def square(model: nn.Module) -> Tensor:
    return model(X).square().sum(dim=1)


def probe_of(name: str, num: int = 12) -> Probe:
    """Return the losses per sample of a host of `HOSTS`."""
    x = make_input(name, batch=num)
    labels = torch.arange(num) % CLASSES

    def losses(model: nn.Module) -> Tensor:
        logits = model(x)
        if logits.dim() == 2:
            return cross_entropy(logits, labels, reduction="none")
        return cross_entropy(logits.mT, x, reduction="none").mean(dim=1)

    return losses


def blocks(number: int = 3, width: int = 4, hidden: int = 6) -> Host:
    """Return a host whose slots are blocks of two layers in a row."""
    torch.manual_seed(0)
    model = nn.Sequential(
        *[
            nn.Sequential(nn.Linear(width, hidden), nn.Tanh(), nn.Linear(hidden, width))
            for _ in range(number)
        ]
    )
    setup = HostSetup(slots=tuple(str(i) for i in range(number)))
    return prepare(model, SGD(model.parameters(), lr=0.1), X[:, :width], setup)


def healths(host: Host, probe: Probe = square) -> dict[str, BlockHealth]:
    return block_health(host, {}, probe, 1).health


def health_of(model: nn.Module, probe: Probe = square, slot: str = "0") -> BlockHealth:
    """Return the health of one slot of a model that takes 4 features."""
    setup = HostSetup(slots=(slot,))
    return healths(prepare(model, SGD(model.parameters(), lr=0.1), X, setup), probe)[slot]


def kernels_of(host: Host, *names: str) -> dict[tuple[str, int], Kernel]:
    """Return the kernels of the named blueprints in every slot that they fit."""
    return {
        (slot, seed): build_kernel(host.request(slot, seed, name, 0))
        for slot in host.slots
        for seed, name in enumerate(names)
        if name in host.slots[slot].spec.catalogue
    }


def test_the_numbers_of_a_linear_block_by_hand() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    found = health_of(model)
    first, second = ({n: p.detach() for n, p in m.named_parameters()} for m in model)
    h = X @ first["weight"].T + first["bias"]
    slope = 2 * (h @ second["weight"].T + second["bias"]) @ second["weight"]
    halves = [
        torch.cat([(s.T @ i).flatten(), s.sum(dim=0)]) / (NUM // 2)
        for s, i in zip(slope.split(NUM // 2), X.split(NUM // 2), strict=True)
    ]
    mean = (halves[0] + halves[1]) / 2
    weights = torch.cat([first["weight"].flatten(), first["bias"]])
    assert found.epoch == 1
    assert found.log_parameters == pytest.approx(math.log(15))
    assert found.weight_norm == pytest.approx(float(weights.square().mean().sqrt().log()))
    assert found.activation_variance == pytest.approx(float(h.var(0, correction=0).mean().log()))
    assert found.gradient_norm == pytest.approx(float(mean.square().mean().sqrt().log()), rel=1e-4)
    noise = (halves[0] - halves[1]).square().sum() / 4 / mean.square().sum()
    assert found.gradient_noise == pytest.approx(float(noise.log()), rel=1e-3)
    # The gradient by the output is a linear map of the input.
    assert found.linear_gain is not None
    assert found.linear_gain > 0.95
    # A block of a single layer has its outputs as units.
    centred = h - h.mean(dim=0)
    eigenvalues = torch.linalg.eigvalsh(centred.T @ centred)
    rank = eigenvalues.sum() ** 2 / eigenvalues.square().sum() / 3
    assert found.effective_rank == pytest.approx(float(rank), rel=1e-4)
    assert found.gradient_ratio == pytest.approx(0.0), "it is the only slot"


def test_a_gradient_that_has_nothing_to_do_with_the_input_is_not_linear() -> None:
    signs = torch.randn(NUM, 4, generator=torch.Generator().manual_seed(8))
    found = health_of(nn.Sequential(nn.Linear(4, 4)), lambda m: (m(X) * signs).sum(dim=1))
    assert found.linear_gain is not None
    assert found.linear_gain <= 0.2


def test_a_dead_block_has_dead_units_only() -> None:
    host = blocks()
    with torch.no_grad():
        host.model[1][0].weight.zero_()  # type: ignore[index,operator,union-attr]
    found = healths(host)
    assert (found["0"].dead_units, found["1"].dead_units) == (0.0, 1.0)
    assert (found["1"].effective_rank, found["1"].correlation) == (0.0, None)


def test_hidden_activations_that_vary_together_have_rank_one() -> None:
    host = blocks(1, hidden=5)
    with torch.no_grad():
        row = host.model[0][0].weight[:1].clone()  # type: ignore[index,union-attr]
        host.model[0][0].weight.copy_(row.expand(5, 4))  # type: ignore[index,operator,union-attr]
        host.model[0][0].bias.zero_()  # type: ignore[index,operator,union-attr]
    found = healths(host)["0"]
    assert found.effective_rank == pytest.approx(1 / 5)
    assert found.correlation == pytest.approx(1.0)


def test_damage_changes_the_signals_of_its_block_and_no_structure_before_it() -> None:
    host = blocks()
    before = {name: asdict(each) for name, each in healths(host).items()}
    with torch.no_grad():
        host.model[1][0].weight[2:] = 0.0  # type: ignore[index,operator,union-attr]
    after = {name: asdict(each) for name, each in healths(host).items()}
    for signal in (*STRUCTURE, "linear_gain", "gradient_norm", "gradient_ratio"):
        assert after["1"][signal] != before["1"][signal], signal
    assert [after["0"][s] for s in STRUCTURE] == [before["0"][s] for s in STRUCTURE]
    assert after["1"]["log_parameters"] == before["1"]["log_parameters"]
    assert after["1"]["position"] == before["1"]["position"] == 0.5


def test_ratios_compare_the_gradients_of_the_slots() -> None:
    found = healths(blocks())
    norms = {name: math.exp(each.gradient_norm or 0.0) for name, each in found.items()}
    mean = sum(norms.values()) / 3
    for name, each in found.items():
        assert each.gradient_ratio == pytest.approx(math.log(norms[name] / mean))
    assert len(set(norms.values())) == 3


def test_the_update_ratio_is_the_distance_from_the_average_of_the_epoch() -> None:
    host = blocks(1)
    weights = [p.detach() for p in host.model.parameters()]
    norm = math.sqrt(sum(float(w.square().sum()) for w in weights))
    for mean in host.average.mean.values():
        mean.mul_(0.9)
    assert healths(host)["0"].update_ratio == pytest.approx(math.log(0.1), rel=1e-5)
    for mean in host.average.mean.values():
        mean.div_(0.9).add_(0.5)
    distance = math.sqrt(sum(w.numel() for w in weights)) * 0.5
    assert healths(host)["0"].update_ratio == pytest.approx(math.log(distance / norm), rel=1e-5)
    host.average.epochs = 0
    assert healths(host)["0"].update_ratio is None, "the last weights are no average"


def test_kept_kernels_belong_to_the_block_and_those_on_trial_do_not() -> None:
    host = blocks(1)
    kernel = blended(host, "0", 0)
    bare = healths(host)["0"].log_parameters
    host.slots["0"].seeds[0].stage = SeedStage.FOSSILIZED
    grown = healths(host)["0"].log_parameters
    num = sum(p.numel() for p in kernel_of(host, "0", 0).parameters())
    assert sum(p.numel() for p in kernel.parameters()) == num > 0
    assert math.exp(grown) == pytest.approx(math.exp(bare) + num)


def test_equal_halves_have_no_noise_and_opposed_ones_all_of_it() -> None:
    twice = torch.cat([X[: NUM // 2]] * 2)
    signs = torch.cat([torch.ones(NUM // 2), -torch.ones(NUM // 2) * 0.99999])
    model = nn.Sequential(nn.Linear(4, 4))
    calm = health_of(model, lambda m: m(twice).square().sum(dim=1))
    torn = health_of(nn.Sequential(nn.Linear(4, 4)), lambda m: m(twice).sum(dim=1) * signs)
    assert calm.gradient_noise == -MOST_NOISE
    assert torn.gradient_noise == MOST_NOISE


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


def test_weights_that_are_not_finite_give_no_numbers() -> None:
    host = blocks()
    with torch.no_grad():
        host.model[1][0].weight[0, 0] = math.nan  # type: ignore[index,operator,union-attr]
    measured = block_health(host, kernels_of(host, "affine"), square, 1)
    numbers = [v for each in measured.health.values() for v in asdict(each).values()]
    assert all(value is None or math.isfinite(value) for value in numbers)
    assert measured.health["1"].weight_norm is None
    assert measured.scores["1", 0] is None


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
from tests.unit.attribution.test_health import block_health, kernels_of, make_host, probe_of
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
