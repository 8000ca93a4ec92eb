"""Later looks at kept kernels: when, against what, and the gain that follows."""

import pytest

from esper.attribution.evaluation import Evaluate
from esper.attribution.kept import AGES, LaterLook, due, look_again
from esper.attribution.modes import Modes
from esper.contracts.outcome import GainPoint
from esper.contracts.stage import SeedStage
from esper.growth.host import Host
from tests.unit.attribution.test_look_at import with_losses
from tests.unit.growth.builders import make_host, shadowed

_S = SeedStage


def kept(gain: float | None = 0.1, ablation: float | None = 0.2, *, on_trial: int = 1) -> Host:
    """Return a host with a kernel kept at epoch 9, and one on trial."""
    host = make_host("mlp")
    for index in (0, on_trial):
        shadowed(host, "block1", index)
    for stage in (_S.PROBATIONARY, _S.FOSSILIZED):
        host.advance("block1", 0, stage, None, "")
    life = host.seed("block1", 0).activation
    life.gain, life.ablation, life.kept_epoch = gain, ablation, 9
    return host


def losses(without: float, network: float) -> Evaluate:
    """Return losses without live kernels; those with the one on trial are of no interest."""
    return with_losses({"01": 9.0, "1": 9.0, "": without, "0": network})


def test_a_kept_kernel_is_due_2_5_and_10_epochs_after_keeping() -> None:
    assert AGES == (2, 5, 10)
    host = kept()
    modes = Modes(losses(2.0, 1.0), host)
    looks = [(epoch, each) for epoch in range(9, 60) for each in look_again(host, modes, epoch)]
    assert [epoch for epoch, _ in looks] == [11, 14, 19]
    assert [each.epochs_after_keeping for _, each in looks] == [2, 5, 10]


def test_a_look_that_was_missed_is_taken_once_and_stands_for_earlier_ones() -> None:
    host = kept()
    assert [(seed.slot, seed.index) for seed in due(host, 13)] == [("block1", 0)]
    modes = Modes(losses(2.0, 1.0), host)
    (look,) = look_again(host, modes, 17)
    assert (look.epochs_after_keeping, look.point.window) == (8, "medium")
    assert [epoch for epoch in range(17, 40) if due(host, epoch)] == list(range(19, 40))


@pytest.mark.parametrize(("gain", "ablation"), [(None, 0.2), (0.1, None), (0.1, 0.0), (0.1, -0.1)])
def test_a_kernel_without_a_positive_ablation_at_keeping_has_no_ratio(
    gain: float | None, ablation: float | None
) -> None:
    assert due(kept(gain, ablation), 11) == []


@pytest.mark.parametrize(
    ("without", "gain"),
    [
        (1.0 / 0.9, 0.05),  # an ablation of 0.1, half of that at keeping
        (1.0, 0.0),
        (4.0, 0.1),  # 0.75: the host has come to depend on it
        (1.0 / 1.1, -0.05),
        (0.5, -0.1),  # -1
    ],
)
def test_the_gain_follows_the_ablation_but_no_further_than_it_was(
    without: float, gain: float
) -> None:
    host = kept()
    (look,) = look_again(host, Modes(losses(without, 1.0), host), 14)
    point = GainPoint(epochs_since=14, gain=pytest.approx(gain), window="medium")
    assert look == LaterLook("block1", 0, 1, 5, point)
    (last,) = look_again(host, Modes(losses(without, 1.0), host), 19)
    assert (last.point.window, last.epochs_after_keeping) == ("long", 10)


def test_a_look_costs_one_evaluation_without_the_kernel() -> None:
    host = kept()
    modes = Modes(losses(2.0, 1.0), host)
    modes.settled()
    assert modes.extra_flops == 0
    look_again(host, modes, 11)
    own = host.seed("block1", 0).activation.flops
    assert own > 0
    assert modes.extra_flops == (host.settled_flops - own) * 4


def test_a_network_whose_loss_without_it_is_not_finite_is_not_compared() -> None:
    host = kept()
    assert look_again(host, Modes(losses(float("nan"), 1.0), host), 11) == []
