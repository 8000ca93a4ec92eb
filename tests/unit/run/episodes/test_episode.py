"""Growth episodes: what is measured of them, by hand where it is possible."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from esper.data.base import Split
from esper.run.episodes.episode import (
    MAX_COST,
    Episode,
    EpisodeResult,
    mixed_loss,
    net_gain,
    slot_names,
)
from esper.run.episodes.scripted import Event, Scripted
from esper.run.episodes.task import Damage
from tests.unit.run.episodes.small_tasks import small_task


def test_a_mixed_loss_by_hand() -> None:
    # Four classes: the model is sure of the class that the one-hot input names.
    model = nn.Linear(4, 4)
    with torch.no_grad():
        model.weight.copy_(99 * torch.eye(4))
        model.bias.zero_()
    right = Split(x=torch.eye(4), y=torch.arange(4))
    half = Split(x=torch.eye(4), y=torch.tensor([0, 1, 3, 2]))
    assert mixed_loss(model, right, 4) == (pytest.approx(-math.log(0.9 + 0.1 / 4)), 1.0)
    wrong = -math.log(0.1 / 4)
    assert mixed_loss(model, half, 4) == (
        pytest.approx((wrong - math.log(0.925)) / 2, rel=1e-5),
        0.5,
    )
    blind = Split(x=torch.zeros(3, 4), y=torch.tensor([0, 1, 2]))
    assert mixed_loss(model, blind, 4)[0] == pytest.approx(math.log(4))


def result(loss: float, flops: float) -> EpisodeResult:
    return EpisodeResult(
        index=0,
        rng_seed=0,
        loss=loss,
        accuracy=0.5,
        flops=flops,
        train_flops=3.0,
        events=1,
        kept=1,
        culled=0,
        processor_s=1.0,
    )


def test_a_net_gain_by_hand() -> None:
    never = result(0.8, 1.0)
    # Half of the loss for four times the FLOPs.
    assert net_gain(result(0.4, 4.0), never, 0.1) == pytest.approx(math.log(2) - 0.2)
    assert net_gain(result(0.8, 1.0), never, 0.4) == 0.0
    assert net_gain(result(0.8, 0.5), never, 0.1) == pytest.approx(0.1)
    assert net_gain(result(0.8, 4.0), result(0.8, 2.0), 0.1) == pytest.approx(-0.1)


def test_a_run_that_never_grows_is_what_others_are_compared_with() -> None:
    task = small_task(epochs=6)
    never = Episode(task, 0, policy="never").finish()
    assert (never.index, never.rng_seed) == (0, 0)
    assert (never.flops, never.events, never.kept, never.culled) == (1.0, 0, 0, 0)
    # A training step costs three forward passes.
    assert never.train_flops == pytest.approx(3.0)
    again = Episode(task, 0, policy="never").finish()
    assert replace(again, processor_s=0.0) == replace(never, processor_s=0.0)
    other = Episode(task, 1, policy="never").finish()
    assert other.loss != never.loss


def test_policies_meet_the_same_host_data_and_order() -> None:
    task = small_task(epochs=8)
    grown = Scripted(events=(Event(1, "blocks.1", "mlp"),))
    reports = [Episode(task, 3, policy=policy).step() for policy in ("never", grown)]
    assert reports[0].metrics.val_loss == reports[1].metrics.val_loss
    assert reports[0].metrics.train_loss == reports[1].metrics.train_loss


def test_an_episode_has_a_slot_for_each_block_and_as_many_events_as_its_task() -> None:
    task = small_task(events=1, epochs=8)
    assert slot_names(task) == tuple(f"blocks.{place}" for place in range(6))
    wishes = Scripted(events=(Event(1, "blocks.1", "mlp"), Event(2, "blocks.4", "mlp")))
    episode = Episode(task, 0, policy=wishes)
    assert tuple(episode.grower.host.slots) == slot_names(task)
    result = episode.finish()
    assert (result.events, result.kept + result.culled) == (1, 1)
    assert episode.is_over
    host = episode.grower.host
    assert result.flops == host.settled_flops / host.base_flops > 1
    # Two FLOPs a weight: stem, six blocks of two layers, head.  Of 160 samples, 6 batches of
    # 32 take all once and 32 twice.
    base = 2 * (32 * 16 + 6 * 2 * 16 * 8 + 16 * 4)
    assert host.base_flops == base
    assert result.train_flops == pytest.approx(episode.flops / (base * 192 * 8))
    assert 3 < result.train_flops < 3 * MAX_COST


def test_damage_lasts() -> None:
    task = replace(small_task(epochs=6), damage=Damage.TINY, place=1)
    episode = Episode(task, 0, policy="never")
    blocks: Any = episode.grower.host.model.blocks
    before = [parameter.clone() for parameter in blocks[1].parameters()]
    sound = blocks[2].first.weight.clone()
    episode.step()
    assert all(map(torch.equal, before, blocks[1].parameters()))
    assert not torch.equal(sound, blocks[2].first.weight)
