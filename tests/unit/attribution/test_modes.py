"""Evaluations of a host with kernels muted; slots of `Sums` are summed by hand."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from esper.attribution.modes import Modes, muting, recalibrated
from esper.attribution.options import Attribution
from esper.contracts.stage import SeedStage
from esper.growth.attach import kernels_of
from esper.growth.coin import Coin
from esper.growth.host import Host
from tests.unit.attribution.runs import Run
from tests.unit.growth.builders import (
    adam_host,
    blended,
    evaluate,
    germination,
    grow,
    make_host,
    same,
    shadowed,
    tensors,
)

_S = SeedStage


def constant(kernel: Any, value: float) -> None:
    """Make an affine kernel add `value` to each feature, whatever its input."""
    with torch.no_grad():
        for name, parameter in kernel.named_parameters():
            parameter.fill_(value if name.endswith("bias") else 0.0)


def two_kernels() -> Host:
    """Return a host whose output is 0, plus 2 * 4 of seed 0, plus 2 * 16 of seed 1.

    Its two features are summed.  Both seeds are on trial.
    """
    model = nn.Sequential(nn.Linear(3, 2), nn.Identity())
    nn.init.zeros_(model[0].weight)
    nn.init.zeros_(model[0].bias)
    host = make_host(model, ["0"], example=torch.ones(2, 3), placement="parallel")
    for seed, value in ((0, 4.0), (1, 16.0)):
        constant(shadowed(host, "0", seed, "affine"), value)
    host.average.reset()
    return host


def output(model: nn.Module) -> Tensor:
    out: Tensor = model(torch.ones(3, 3)).sum(dim=1)
    return out


def test_the_modes_of_two_kernels_are_those_computed_by_hand() -> None:
    host = two_kernels()
    modes = Modes(output, host)
    assert modes.whole().loss == 40.0
    assert modes.settled().loss == 0.0
    first = [(without.loss, network.loss) for without, network in modes.pairs(("0", 0))]
    second = [(without.loss, network.loss) for without, network in modes.pairs(("0", 1))]
    assert first == [(32.0, 40.0), (0.0, 8.0)]
    assert second == [(8.0, 40.0), (0.0, 32.0)]


def test_a_fossilized_kernel_is_in_every_mode_and_a_blending_one_is_not_on_trial() -> None:
    host = two_kernels()
    for stage in (_S.PROBATIONARY, _S.FOSSILIZED):
        host.advance("0", 0, stage, None, "")
    constant(blended(host, "0", 2, "affine"), 64.0)
    grow(host, "0", 3, "affine")
    host.average.reset()
    modes = Modes(output, host)
    assert modes.settled().loss == 8.0
    assert modes.whole().loss == 8.0 + 32.0 + 128.0
    pairs = [(without.loss, network.loss) for without, network in modes.pairs(("0", 1))]
    assert pairs == [(136.0, 168.0)]


def test_each_mode_is_evaluated_once_and_its_flops_are_counted() -> None:
    host = two_kernels()
    grow(host, "0", 2, "mlp")
    calls = []

    def counted(model: nn.Module) -> Tensor:
        calls.append(1)
        return output(model)

    modes = Modes(counted, host)
    for _ in range(2):
        modes.whole()
        modes.settled()
        modes.pairs(("0", 0))
        modes.pairs(("0", 1))
    assert len(calls) == 4
    # No network has the isolated kernel of seed 2.
    # A layer of 3 x 2 weights and two kernels of as many, 2 FLOPs a weight: each of them is in
    # two of the four modes.
    assert modes.flops == 4 * 12 + 2 * 12 + 2 * 12


def test_samples_for_batch_statistics_are_counted() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 3))
    host = make_host(model, ["0"], example=torch.ones(2, 4), placement="parallel")
    shadowed(host, "0", 0, "affine")
    host.begin_epoch()
    for num_samples in (5, 7):
        model(torch.randn(num_samples, 4))
    modes = Modes(lambda _: torch.ones(6), host)
    modes.whole()
    # 12 samples for the statistics and 6 for the losses: three times the cost of the losses.
    assert modes.flops == 3 * host.flops


def test_modes_see_averaged_weights_and_leave_the_network_as_it_is() -> None:
    host = two_kernels()
    constant(host.model.get_submodule("0.esper_kernels.kernels.0"), 100.0)
    host.average.epochs = 1.0
    before = {name: tensor.clone() for name, tensor in host.model.state_dict().items()}
    modes = Modes(output, host)
    assert modes.whole().loss == 40.0
    host.average.update(steps_per_epoch=2)
    assert Modes(output, host).whole().loss == 2 * 52 + 32.0
    assert same(host.model.state_dict(), before)
    assert kernels_of(host.slots["0"].module).muted == set()


def test_a_kernel_is_muted_for_a_block_unless_it_was_muted_before() -> None:
    host = two_kernels()
    bank = kernels_of(host.slots["0"].module)
    bank.muted.add("1")
    with muting(host, [("0", 0), ("0", 1)]):
        assert bank.muted == {"0", "1"}
    assert bank.muted == {"1"}
    with pytest.raises(RuntimeError), muting(host, [("0", 0)]):
        raise RuntimeError
    assert bank.muted == {"1"}


def test_a_muted_kernel_is_left_out_as_if_it_had_been_culled() -> None:
    host = make_host("mlp")
    shadowed(host, "block1", 0)
    shadowed(host, "block1", 1, "affine")
    host.average.reset()
    modes = Modes(evaluate, host)
    ((without, network), _) = modes.pairs(("block1", 0))
    settled = modes.settled()
    assert not torch.equal(without.losses_N, network.losses_N)
    host.cull("block1", 0, 1, "")
    assert torch.equal(Modes(evaluate, host).whole().losses_N, without.losses_N)
    host.cull("block1", 1, 1, "")
    assert torch.equal(Modes(evaluate, host).whole().losses_N, settled.losses_N)


@pytest.mark.parametrize("name", ["sequential", "batch_norm"])
def test_a_kernel_that_does_nothing_gains_exactly_nothing(name: str) -> None:
    host = adam_host(name, coin=Coin(0, 0.5))
    slot = next(iter(host.slots))
    losses = evaluate if name == "sequential" else image_losses
    run = Run(host, {1: [germination(slot, 0, "noop")]}, Attribution())
    for number in range(8):
        train_on(host, number, name)
        run.step(losses)
    life = host.seed(slot, 0).activation
    assert [(point.epochs_since, point.gain) for point in life.gains] == [(4, 0.0), (6, 0.0)]
    assert (life.gain_error, life.ablation) == (0.0, 0.0)
    assert life.accuracy_gain == (0.0 if name == "sequential" else None)


def images(number: int, batch: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(number)
    x = torch.randn(batch, 1, 8, 8, generator=generator) + number
    return x, torch.randint(0, 3, (batch,), generator=generator)


def image_losses(model: nn.Module) -> Tensor:
    x, y = images(77)
    return nn.functional.cross_entropy(model(x), y, reduction="none")


def train_on(host: Host, number: int, name: str, steps: int = 3) -> None:
    host.model.train()
    generator = torch.Generator().manual_seed(number)
    for step in range(steps):
        x, y = images(10 * number + step)
        if name == "sequential":
            x = torch.randn(6, 4, generator=generator)
        host.optimizer.zero_grad()
        nn.functional.cross_entropy(host.model(x), y).backward()
        host.optimizer.step()


def conv_net() -> nn.Module:
    """Return a convolution that doubles its input, and a batch norm after it."""
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1, affine=False))
    nn.init.constant_(model[0].weight, 2.0)
    return model


def test_each_mode_has_batch_statistics_of_its_own() -> None:
    model = conv_net()
    host = make_host(model, ["0"], example=torch.ones(2, 1, 2, 2), placement="parallel")
    kernel = shadowed(host, "0", 0, "frozen_random")
    for buffer in [*kernel.parameters(), *kernel.buffers()]:
        buffer.data.zero_()
    # The kernel adds 10 wherever it is; a hook is enough for that.
    kernel.register_forward_hook(lambda _, args, out: out + 10.0)
    host.begin_epoch()
    model.train()
    for value in (1.0, 3.0):
        x = torch.full((2, 1, 2, 2), value)
        x[0] = 0.0
        model(x)
    norm: Any = model[1]
    kept = [norm.running_mean.clone(), norm.running_var.clone(), norm.num_batches_tracked.clone()]
    host.average.reset()
    seen: list[tuple[float, float]] = []

    def look(_: nn.Module) -> Tensor:
        seen.append((norm.running_mean.item(), norm.running_var.item()))
        return torch.ones(2)

    modes = Modes(look, host)
    modes.settled()
    modes.whole()

    # The batches 0, 2 and 0, 6 behind the convolution, each value four times: means 1 and 3,
    # variances 8/7 and 9 * 8/7 of samples; their plain means are 2 and 40/7.
    (mean, variance), (mean_with, variance_with) = seen
    assert (mean, variance) == (pytest.approx(2.0), pytest.approx(40 / 7))
    assert (mean_with, variance_with) == (pytest.approx(12.0), pytest.approx(40 / 7, rel=1e-4))
    now = [norm.running_mean, norm.running_var, norm.num_batches_tracked]
    assert all(torch.equal(one, other) for one, other in zip(now, kept, strict=True))
    assert (norm.momentum, norm.training) == (0.1, True)
    settled = {name: each.item() for name, each in modes.statistics.items() if each is not None}
    means = {"1.running_mean": 2.0, "1.running_var": 40 / 7, "1.num_batches_tracked": 2}
    assert settled == pytest.approx(means)


def test_no_statistics_are_told_where_none_were_computed_or_the_norm_is_of_a_live_kernel() -> None:
    host = make_host(conv_net(), ["0"], example=torch.ones(2, 1, 2, 2), placement="parallel")
    modes = Modes(lambda _: torch.ones(2), host)
    modes.settled()
    assert modes.statistics == {}

    kernel = shadowed(host, "0", 0, "frozen_random")
    kernel.add_module("own", nn.BatchNorm2d(1))
    kernel.register_forward_hook(lambda module, _, out: module.own(out))
    host.begin_epoch()
    host.model.train()
    host.model(torch.ones(2, 1, 2, 2))
    assert len(host.inputs.norms) == 2
    modes = Modes(lambda _: torch.ones(2), host)
    modes.whole()
    assert modes.statistics == {}, "not those with the kernel"
    modes.settled()
    assert {name.rpartition(".")[0] for name in modes.statistics} == {"1"}


def test_statistics_come_back_after_an_error_and_a_frozen_norm_keeps_its_own() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.BatchNorm1d(3), nn.Linear(3, 3))
    host = make_host(model, ["0"], example=torch.ones(2, 4), placement="parallel")
    shadowed(host, "0", 0, "affine")
    host.begin_epoch()
    model[2].eval()
    model(torch.randn(5, 4))
    before = tensors(model)
    with recalibrated(host):
        assert not torch.equal(model[1].running_mean, before["1.running_mean"])
        assert torch.equal(model[2].running_mean, before["2.running_mean"])
    assert same(tensors(model), before)
    with pytest.raises(RuntimeError, match="broken"), recalibrated(host):
        raise RuntimeError("broken")
    assert same(tensors(model), before)
    assert [module.training for module in model] == [True, True, False, True]
