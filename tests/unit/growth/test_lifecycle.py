import math

import pytest
import torch
from torch import nn

from esper.contracts.event import Check, Gate
from esper.contracts.stage import SeedStage
from esper.growth.host import Host
from esper.growth.lifecycle import advance_epoch, health
from tests.unit.growth.builders import (
    grow,
    kernel_of,
    make_host,
    make_metrics,
    make_model,
    same,
    tensors,
    train,
)

_S = SeedStage


def age(host: Host, epoch: int, loss: float = 1.0, accuracy: float | None = None) -> list[str]:
    """End an epoch; return the moves in short form."""
    host.end_epoch()
    moves = advance_epoch(host, make_metrics(epoch, loss, accuracy), rest_epochs=2)
    return [f"{move.seed}: {move.from_stage} -> {move.to_stage}" for move in moves]


def measured(host: Host, seed: int = 0) -> None:
    """Record a measurement of a seed's contribution."""
    host.seed("block1", seed).activation.measurements += 1


def epoch(host: Host, number: int, loss: float = 1.0) -> list[str]:
    """Train and end an epoch."""
    train(host.model, host.optimizer, number)
    return age(host, number, loss)


def test_a_seed_goes_through_its_stages_by_itself() -> None:
    host = make_host("mlp")
    epoch(host, 1)
    grow(host, "block1")
    assert epoch(host, 2) == ["0: TRAINING -> BLENDING"]
    assert epoch(host, 3) == ["0: BLENDING -> SHADOWING"]
    for number in (4, 5):
        measured(host)
        assert epoch(host, number) == []
    measured(host)
    assert epoch(host, 6) == ["0: SHADOWING -> PROBATIONARY"]
    assert [epoch(host, number) for number in (7, 8, 9)] == [[], [], []]
    assert host.seed("block1", 0).epochs_in_stage == 3


def test_stage_lengths_are_options() -> None:
    host = make_host("mlp", training_epochs=2, blending_epochs=3, shadowing_epochs=1, twin_epochs=7)
    epoch(host, 1)
    grow(host, "block1")
    moves = []
    for number in range(2, 8):
        if host.seed("block1", 0).stage is _S.SHADOWING:
            measured(host)
        moves.append(epoch(host, number))
    assert moves == [
        [],
        ["0: TRAINING -> BLENDING"],
        [],
        [],
        ["0: BLENDING -> SHADOWING"],
        ["0: SHADOWING -> PROBATIONARY"],
    ]


def test_a_culled_seed_rests_and_then_sleeps() -> None:
    host = make_host("mlp")
    grow(host, "block1")
    host.cull("block1", 0, 1, "")
    host.advance("block1", 0, _S.EMBARGOED, None, "")
    assert age(host, 2) == []
    assert age(host, 3) == ["0: EMBARGOED -> RESETTING", "0: RESETTING -> DORMANT"]


def test_isolation_ends_in_a_cull_when_no_gradient_was_measured() -> None:
    host = make_host("mlp")
    grow(host, "block1")
    moves = advance_epoch(host, make_metrics(1, 1.0, None), 5)
    assert [move.to_stage for move in moves] == [_S.CULLED, _S.EMBARGOED]
    assert moves[0].reason.startswith("gate failed: gradient not measured (finite and > 0), ")
    gate = moves[0].gate
    assert gate is not None
    assert not gate.passed


def test_a_gradient_of_nothing_does_not_pass() -> None:
    host = make_host("mlp")
    grow(host, "block1")
    with torch.no_grad():
        host.model[2].expand.weight.zero_()  # type: ignore[index, union-attr]
        host.model[2].project.weight.zero_()  # type: ignore[index, union-attr]
    host.optimizer.zero_grad()
    host.model(torch.ones(2, 4)).sum().backward()
    host.optimizer.step()
    host.end_epoch()
    moves = advance_epoch(host, make_metrics(1, 1.0, None), 5)
    assert moves[0].to_stage is _S.CULLED
    assert "gradient 0 (finite and > 0)" in moves[0].reason


@pytest.mark.parametrize("blueprint", ["noop", "frozen_random"])
def test_a_kernel_without_parameters_passes_the_gates_that_speak_of_gradients(
    blueprint: str,
) -> None:
    host = make_host("mlp")
    grow(host, "block1", 0, blueprint)
    assert epoch(host, 1) == ["0: TRAINING -> BLENDING"]


def break_weights(kernel: nn.Module) -> None:
    with torch.no_grad():
        next(kernel.parameters()).fill_(math.nan)


def test_a_kernel_that_breaks_is_culled_at_the_gate_and_never_felt() -> None:
    host, bare = make_host("mlp"), make_model("mlp")
    optimizer = type(host.optimizer)(bare.parameters(), lr=0.1)
    grow(host, "block1")
    break_weights(kernel_of(host, "block1"))

    for number in (1, 2):
        train(host.model, host.optimizer, number)
        train(bare, optimizer, number)
        assert same(tensors(host.model), tensors(bare))
        if number == 1:
            (told,) = health(host)
            assert (told.gradient_norm, told.finite) == (None, False)
            host.end_epoch()
            moves = advance_epoch(host, make_metrics(1, 1.0, None), 5)
            assert moves[0].to_stage is _S.CULLED
            assert "it was not finite" in moves[0].reason
    assert len(host.optimizer.param_groups) == 1


def test_a_kernel_that_breaks_after_the_last_look_at_its_gradient_is_culled_too() -> None:
    host = make_host("mlp")
    grow(host, "block1")
    train(host.model, host.optimizer, 1)
    break_weights(kernel_of(host, "block1"))
    assert health(host)[0].finite
    host.end_epoch()
    moves = advance_epoch(host, make_metrics(1, 1.0, None), 5)
    assert moves[0].to_stage is _S.CULLED
    assert "weights 0" in moves[0].reason


def test_a_kernel_of_finite_gradient_that_gives_what_is_no_number_is_culled() -> None:
    host = make_host("mlp")
    grow(host, "block1")
    kernel_of(host, "block1").register_forward_hook(lambda _, args, output: output + math.inf)
    assert epoch(host, 1)[0] == "0: TRAINING -> CULLED"


@pytest.mark.parametrize(
    ("loss", "passes"),
    [(1.9, True), (2.0, True), (2.1, False), (math.nan, False), (math.inf, False)],
)
def test_blending_fails_when_the_loss_diverges(loss: float, passes: bool) -> None:
    host = make_host("mlp")
    epoch(host, 1)
    grow(host, "block1")
    epoch(host, 2, loss=1.0)
    after = "SHADOWING" if passes else "CULLED"
    assert epoch(host, 3, loss=loss)[0] == f"0: BLENDING -> {after}"


def test_blending_goes_on_where_an_epoch_was_shorter_than_the_one_before() -> None:
    host = make_host("mlp")
    epoch(host, 1)
    grow(host, "block1")
    epoch(host, 2)
    train(host.model, host.optimizer, 3, steps=3)
    assert age(host, 3) == []
    assert host.seed("block1", 0).alpha == 0.75
    assert epoch(host, 4) == ["0: BLENDING -> SHADOWING"]


def test_shadowing_ends_in_a_cull_without_its_measurements() -> None:
    host = make_host("mlp")
    epoch(host, 1)
    grow(host, "block1")
    for number in (2, 3, 4, 5):
        epoch(host, number)
    measured(host)
    host.end_epoch()
    moves = advance_epoch(host, make_metrics(6, 1.0, None), 5)
    assert moves[0].reason == "gate failed: measurements 1 (>= 3)"


@pytest.mark.parametrize("stage", [_S.TRAINING, _S.BLENDING, _S.SHADOWING])
def test_a_seed_whose_kernel_rests_passes_no_gate(stage: SeedStage) -> None:
    host = make_host("mlp")
    epoch(host, 1)
    grow(host, "block1")
    number = 2
    while host.seed("block1", 0).stage is not stage:
        epoch(host, number)
        number += 1
    for _ in range(3):
        measured(host)
    life = host.seed("block1", 0).activation
    life.errors, life.rests = 3, True
    host.seed("block1", 0).epochs_in_stage = 2
    train(host.model, host.optimizer, number)
    host.end_epoch()
    moves = advance_epoch(host, make_metrics(number, 1.0, None), rest_epochs=2)
    assert [move.to_stage for move in moves] == [_S.CULLED, _S.EMBARGOED]
    assert moves[0].gate is not None
    failed = [check.name for check in moves[0].gate.checks if not check.passed]
    assert failed == ["failures"]
    assert moves[0].reason.endswith("failures 3 (its kernel rests after them)")


def test_improvement_and_losses_are_kept_for_every_life() -> None:
    host = make_host("mlp")
    grow(host, "block1")
    life = host.seed("block1", 0).activation
    life.start_accuracy = 0.5
    train(host.model, host.optimizer, 1)
    age(host, 1, loss=0.8, accuracy=0.75)
    assert (life.improvement, life.losses) == (0.25, [0.8])
    age(host, 2, loss=0.7)
    assert (life.improvement, life.losses) == (None, [0.8, 0.7])


def test_a_gate_is_told_in_words() -> None:
    gate = Gate(
        checks=(
            Check(name="alpha", passed=True, value=0.123456, limit="1"),
            Check(name="loss", passed=False, value=None, limit="<= 2"),
        )
    )
    assert gate.describe() == "alpha 0.1235 (1), loss not measured (<= 2)"
