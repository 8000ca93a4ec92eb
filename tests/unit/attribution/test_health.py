"""The health of blocks, measured in real networks."""

import math
from dataclasses import asdict

import pytest
import torch
from torch import nn

from esper.attribution.health import MOST_NOISE
from esper.contracts.stage import SeedStage
from tests.unit.attribution.probed import (
    NUM,
    STRUCTURE,
    X,
    blocks,
    health_of,
    healths,
)
from tests.unit.growth.builders import (
    blended,
    kernel_of,
)


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
