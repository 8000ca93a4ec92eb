"""Seeds without a verdict in time."""

import pytest

from esper.contracts.slot import Look
from esper.contracts.stage import SeedStage
from esper.growth.host import Host
from esper.growth.lifecycle import cull_overdue, is_ready
from tests.unit.growth.builders import (
    blended,
    grow,
    make_host,
    shadowed,
)

_S = SeedStage


def on_trial(host: Host, slot: str, seed: int, look: Look | None) -> None:
    shadowed(host, slot, seed)
    host.seed(slot, seed).activation.look = look


def look_of(epoch: int, *, is_last: bool) -> Look:
    return Look(epoch=epoch, age=9, is_last=is_last, bar=0.005)


def test_seeds_without_a_verdict_at_their_last_look_are_culled() -> None:
    host = make_host("mlp")
    on_trial(host, "block1", 0, look_of(9, is_last=True))
    on_trial(host, "block1", 1, look_of(9, is_last=False))
    on_trial(host, "block1", 2, look_of(8, is_last=True))
    on_trial(host, "block1", 3, None)
    moves = cull_overdue(host, 9, 20)
    assert [(move.seed, move.to_stage) for move in moves] == [(0, _S.CULLED), (0, _S.EMBARGOED)]
    assert moves[0].reason == "no verdict at the last look, at age 9"
    assert cull_overdue(host, 9, 20) == []


def test_a_seed_that_blends_again_has_further_looks() -> None:
    host = make_host("mlp")
    on_trial(host, "block1", 0, look_of(9, is_last=True))
    host.advance("block1", 0, _S.PROBATIONARY, None, "")
    host.blend("block1", 0, 0.5, None, "")
    assert cull_overdue(host, 9, 20) == []


@pytest.mark.parametrize(("epochs", "num_culled"), [(9, 0), (10, 4), (11, 0)])
def test_all_live_seeds_are_culled_an_epoch_before_the_end_and_none_after_it(
    epochs: int, num_culled: int
) -> None:
    host = make_host("sequential", ["0", "1"])
    grow(host, "0", 0)
    blended(host, "0", 1)
    on_trial(host, "0", 2, look_of(9, is_last=True) if epochs == 10 else None)
    on_trial(host, "0", 3, None)
    grow(host, "1", 0)
    host.blend("1", 0, 1.0, None, "")
    for stage in (_S.SHADOWING, _S.PROBATIONARY, _S.FOSSILIZED):
        host.advance("1", 0, stage, None, "")
    moves = cull_overdue(host, 9, epochs)
    culled = [move for move in moves if move.to_stage is _S.CULLED]
    assert [move.seed for move in culled] == list(range(num_culled))
    assert {move.reason for move in culled} <= {"no verdict an epoch before the end"}
    assert host.seed("1", 0).stage is _S.FOSSILIZED


def test_a_seed_is_ready_in_the_last_epoch_of_its_stage_and_when_a_look_is_due() -> None:
    host = make_host("mlp", training_epochs=2)
    seed = host.seed("block1", 0)
    assert not is_ready(host, seed, 0), "dormant"
    grow(host, "block1")
    assert not is_ready(host, seed, 1)
    seed.epochs_in_stage = 1
    assert is_ready(host, seed, 2)
    seed.stage = _S.PROBATIONARY
    assert not is_ready(host, seed, 6)
    seed.activation.look = look_of(6, is_last=False)
    assert [is_ready(host, seed, epoch) for epoch in (5, 6)] == [False, True]
    seed.stage = _S.FOSSILIZED
    assert not is_ready(host, seed, 6)
