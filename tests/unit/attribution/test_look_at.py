"""Looks at seeds on trial: gains, errors, bars and the shares of an event's seeds."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from esper.attribution.compare import Comparison, Trial, look_at
from esper.attribution.evaluation import Evaluate
from esper.attribution.modes import Modes
from esper.attribution.options import Attribution
from esper.contracts.event import SeedPerformance
from esper.contracts.outcome import GainPoint
from esper.contracts.stage import SeedStage
from esper.growth.host import Host
from tests.unit.growth.builders import make_host, shadowed

_S = SeedStage


def opened(seeds: list[int], twin: Host | None, slot: str = "block1") -> Trial:
    return Trial(0, 0, {(slot, seed): 1 for seed in seeds}, twin, Comparison(window=2))


def with_losses(table: dict[str, list[float] | float]) -> Evaluate:
    """Return an `evaluate` whose losses depend only on the active seeds of block1."""

    def score(model: nn.Module) -> Tensor:
        bank: Any = model.get_submodule("block1")._modules.get("esper_kernels")
        felt = "" if bank is None else "".join(sorted(set(bank.kernels) - bank.muted))
        losses = table[felt]
        values = losses if isinstance(losses, list) else [losses] * 4
        return torch.tensor(values, dtype=torch.float64)

    return score


def on_trial(seeds: list[int]) -> tuple[Host, Host]:
    """Return a host with seeds on trial, and its twin without them."""
    host = make_host("mlp")
    twin = host.copy()
    for seed in seeds:
        shadowed(host, "block1", seed)
    return host, twin


def look(
    trial: Trial, host: Host, score: Evaluate, method: str = "muting", epoch: int = 4
) -> list[SeedPerformance]:
    """Look at seeds that germinated at epoch 0, in a run of 100 epochs."""
    return look_at(trial, host, Modes(score, host), Attribution(method=method), 100, epoch)


def test_a_muted_kernel_is_judged_by_its_gain_and_the_paired_standard_error() -> None:
    host, _ = on_trial([0])
    score = with_losses({"0": [1.0, 1.0, 2.0, 4.0], "": [2.0, 2.0, 4.0, 4.0]})

    (told,) = look(opened([0], None), host, score)

    # Differences 1, 1, 2, 0: mean 1, variance 2 / 3; the reference's mean loss is 3.
    error = math.sqrt(2 / 3) / math.sqrt(4) / 3
    assert (told.gain, told.ablation) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert told.gain_error == pytest.approx(error)
    assert (told.age, told.method, told.blueprint, told.alpha) == (4, "muting", "mlp", 1.0)
    life = host.seed("block1", 0).activation
    assert life.gains == [GainPoint(epochs_since=4, gain=pytest.approx(1 / 3), window="immediate")]
    assert life.look is not None
    assert life.look.bar == pytest.approx(1.7 * math.sqrt(3) * error), "the first of three looks"
    assert (life.look.epoch, life.look.is_last, life.look.shown) == (4, False, 0.25)


def test_the_gain_is_pooled_over_the_looks_so_far_and_the_bar_falls() -> None:
    host, _ = on_trial([0])
    trial = opened([0], None)
    look(trial, host, with_losses({"0": [1.0, 1.0], "": [1.0, 3.0]}))
    look(trial, host, with_losses({"0": [0.5, 0.5], "": [1.0, 1.0]}), epoch=6)
    (told,) = look(trial, host, with_losses({"0": [1.0, 0.0], "": [0.0, 2.0]}), epoch=9)
    # By sample: 0, 1; 0.5, 0.5; -1, 2: in the mean -1/6 and 7/6.
    assert told.gain == pytest.approx(0.5)
    error = (4 / 3) / math.sqrt(2) / math.sqrt(2)
    assert told.gain_error == pytest.approx(error)
    life = host.seed("block1", 0).activation
    assert [point.gain for point in life.gains] == pytest.approx([0.5] * 3), "each look's own"
    assert life.look is not None
    assert life.look.bar == pytest.approx(1.7 * error)


def test_a_new_alpha_target_begins_a_new_comparison() -> None:
    host, _ = on_trial([0])
    trial = opened([0], None)
    look(trial, host, with_losses({"0": 1.0, "": 2.0}))
    host.seed("block1", 0).activation.aged_from = 6
    (told,) = look(trial, host, with_losses({"0": 1.0, "": 1.25}), epoch=10)
    assert (told.age, told.gain) == (4, pytest.approx(0.2))


def test_a_new_target_begins_a_new_comparison_also_where_its_first_look_is_missed() -> None:
    host, twin = on_trial([0])
    for each, method in ((None, "muting"), (None, "ablation"), (twin, "twin")):
        trial = opened([0], each)
        host.seed("block1", 0).activation.aged_from = 0
        look(trial, host, with_losses({"0": 1.0, "": 2.0}), method)
        # At age 4, in epoch 10, the ramp is not over yet.
        host.seed("block1", 0).activation.aged_from = 6
        score = with_losses({"0": 1.0, "": 1.25})
        assert look(trial, host, score, method, epoch=12) == []
        (told,) = look(trial, host, score, method, epoch=13)
        assert (told.age, told.gain, told.ablation) == (7, pytest.approx(0.2), pytest.approx(0.2))
        taken = host.seed("block1", 0).activation.look
        assert taken is not None
        assert taken.is_last


def test_the_bar_is_the_least_gain_where_errors_are_small() -> None:
    host, _ = on_trial([0])
    look(opened([0], None), host, with_losses({"0": 1.0, "": 1.25}))
    taken = host.seed("block1", 0).activation.look
    assert taken is not None
    assert taken.bar == 0.005


def test_a_kernel_is_judged_over_the_patterns_of_the_others_on_trial() -> None:
    host, _ = on_trial([0, 1])
    table: dict[str, Any] = {"01": 1.0, "1": 1.25, "0": 0.5, "": 2.0}
    told = look(opened([0, 1], None), host, with_losses(table))
    # 0: with 1 in, (1.25 - 1) / 1.25; with 1 out, (2 - 0.5) / 2.
    # 1: with 0 in, (0.5 - 1) / 0.5; with 0 out, (2 - 1.25) / 2.
    assert [t.gain for t in told] == pytest.approx([(0.2 + 0.75) / 2, (-1.0 + 0.375) / 2])


def test_no_look_is_taken_between_the_ages_or_before_the_trial() -> None:
    host, _ = on_trial([0])
    trial, score = opened([0], None), with_losses({"0": 1.0, "": 1.25})
    for epoch in (3, 5, 7, 8, 10):
        assert look(trial, host, score, epoch=epoch) == []
    assert host.seed("block1", 0).activation.gains == []
    assert [len(look(trial, host, score, epoch=epoch)) for epoch in (4, 6, 9)] == [1, 1, 1]
    host.blend("block1", 0, 0.5, None, "")
    assert look(trial, host, score, epoch=4) == []


def test_an_age_counts_from_the_germination_or_from_a_new_target() -> None:
    host, _ = on_trial([0])
    trial, score = opened([0], None), with_losses({"0": 1.0, "": 1.25})
    host.seed("block1", 0).activation.aged_from = 7
    assert look(trial, host, score, epoch=9) == []
    (told,) = look(trial, host, score, epoch=11)
    assert told.age == 4


def test_seeds_share_an_events_gain_by_their_positive_ablations() -> None:
    host, twin = on_trial([0, 1])
    table: dict[str, Any] = {"01": 1.0, "1": 1.25, "0": 2.5, "": 2.0}
    trial, score = opened([0, 1], twin), with_losses(table)

    told = look(trial, host, score, "twin")

    # The network gains (2 - 1) / 2 over its twin.
    one, other = (0.2 + (2.0 - 2.5) / 2) / 2, (0.6 + (2.0 - 1.25) / 2) / 2
    assert one < 0 < other
    assert [t.ablation for t in told] == pytest.approx([one, other])
    assert [t.gain for t in told] == pytest.approx([0.0, 0.5])
    assert {t.method for t in told} == {"twin"}


def test_seeds_share_equally_where_no_ablation_is_positive() -> None:
    host, twin = on_trial([0, 1])
    table: dict[str, Any] = {"": 2.0, "01": 1.8, "0": 1.7, "1": 1.6}
    trial = opened([0, 1], twin)
    trial.ablations = {}
    assert trial.shares(host) == {("block1", 0): 0.5, ("block1", 1): 0.5}
    bad: dict[str, Any] = {**table, "": 0.5}
    told = look(trial, host, with_losses(bad), "twin")
    assert all(t.ablation is not None and t.ablation < 0 for t in told)
    total = (0.5 - 1.8) / 0.5
    assert [t.gain for t in told] == pytest.approx([total / 2, total / 2])


def test_a_sibling_keeps_its_own_share_when_another_is_fossilized_first() -> None:
    host, twin = on_trial([0, 1])
    # Each ablation is the same over both patterns: 0.5 of seed 0 and 0.2 of seed 1.
    table: dict[str, Any] = {"01": 1.0, "1": 2.0, "0": 1.25, "": 2.5}
    trial, score = opened([0, 1], twin), with_losses(table)
    total, share = 0.6, 0.2 / 0.7
    first = look(trial, host, score, "twin")
    assert [t.gain for t in first] == pytest.approx([total * (1 - share), total * share])

    for stage in (_S.PROBATIONARY, _S.FOSSILIZED):
        host.advance("block1", 0, stage, None, "")
    (later,) = look(trial, host, score, "twin", epoch=6)

    assert later.seed == 1
    assert later.gain == pytest.approx(total * share), "not the whole event's gain"


def test_a_culled_sibling_takes_no_share_with_it() -> None:
    host, twin = on_trial([0, 1])
    table: dict[str, Any] = {"01": 1.0, "1": 2.0, "0": 1.25, "": 2.5}
    trial, score = opened([0, 1], twin), with_losses(table)
    look(trial, host, score, "twin")
    host.cull("block1", 0, 5, "")
    trial.comparison = Comparison(window=2)
    (later,) = look(trial, host, score, "twin", epoch=6)
    assert later.gain == pytest.approx((2.5 - 2.0) / 2.5)


def test_the_gain_over_a_twin_is_the_mean_of_two_epochs() -> None:
    host, twin = on_trial([0])
    trial = opened([0], twin)
    assert look(trial, host, with_losses({"0": 1.0, "": 4.0}), "twin", epoch=2) == []
    assert look(trial, host, with_losses({"0": 1.0, "": 2.0}), "twin", epoch=3) == []
    (told,) = look(trial, host, with_losses({"0": 1.0, "": 1.25}), "twin", epoch=4)
    assert told.gain == pytest.approx((0.5 + 0.2) / 2)
    assert told.ablation == pytest.approx(0.2)


def test_a_contribution_that_cannot_be_measured_is_not_counted_as_measured() -> None:
    host, twin = on_trial([0])
    score = with_losses({"0": 1.0, "": math.nan})
    for each, method in ((None, "muting"), (twin, "twin")):
        (told,) = look(opened([0], each), host, score, method)
        assert (told.gain, told.gain_error, told.ablation) == (None, None, None)
        assert host.seed("block1", 0).activation.gains == []


def test_the_change_in_accuracy_since_germination_is_noted_with_its_error() -> None:
    host, _ = on_trial([0])
    host.seed("block1", 0).activation.start_accuracy = 0.5

    def score(_: nn.Module) -> Any:
        return torch.ones(4), torch.tensor([1.0, 1.0, 1.0, 0.0])

    look(opened([0], None), host, score)
    life = host.seed("block1", 0).activation
    assert life.improvement == 0.25
    assert life.improvement_error == pytest.approx(math.sqrt((0.25 + 0.75 * 0.25) / 4))
    assert life.accuracy_gain == 0.0, "hits do not depend on the kernel"


def test_a_seed_of_a_later_activation_is_not_of_the_event() -> None:
    host, _ = on_trial([0])
    trial = opened([0], None)
    assert [seed.index for seed in trial.open_seeds(host)] == [0]
    host.seed("block1", 0).activation.event = 1
    assert trial.open_seeds(host) == []
