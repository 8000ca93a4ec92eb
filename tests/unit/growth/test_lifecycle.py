import math

import pytest
import torch
from torch import nn

from esper.contracts.event import Check, Gate
from esper.contracts.stage import SeedStage
from esper.growth.host import Host
from esper.growth.lifecycle import advance_epoch
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


def age(host: Host, epoch: int, loss: float = 1.0, blended_loss: float | None = 1.0) -> list[str]:
    """End an epoch; return the moves in short form."""
    host.end_epoch()
    metrics = make_metrics(epoch, loss)
    moves = advance_epoch(host, metrics, rest_epochs=2, blended_loss=blended_loss)
    host.begin_epoch()
    return [f"{move.seed}: {move.from_stage} -> {move.to_stage}" for move in moves]


def epoch(
    host: Host, number: int, loss: float = 1.0, blended_loss: float | None = 1.0
) -> list[str]:
    """Train and end an epoch."""
    train(host.model, host.optimizer, number)
    return age(host, number, loss, blended_loss)


def test_a_seed_goes_through_its_stages_by_itself() -> None:
    host = make_host("mlp")
    epoch(host, 1)
    grow(host, "block1")
    assert epoch(host, 2) == ["0: TRAINING -> BLENDING"]
    assert epoch(host, 3) == ["0: BLENDING -> SHADOWING"]
    assert epoch(host, 4) == []
    assert epoch(host, 5) == ["0: SHADOWING -> PROBATIONARY"]
    assert [epoch(host, number) for number in (6, 7, 8, 9, 10, 11)] == [[]] * 6
    assert host.seed("block1", 0).epochs_in_stage == 6


def test_stage_lengths_are_options() -> None:
    host = make_host("mlp", training_epochs=2, blending_epochs=3, shadowing_epochs=1)
    epoch(host, 1)
    grow(host, "block1")
    moves = [epoch(host, number) for number in range(2, 8)]
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
            gradient = host.seed("block1", 0).activation.gradient
            assert (gradient.mean, gradient.is_finite) == (None, False)
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
    assert host.seed("block1", 0).activation.gradient.is_finite
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
    [(1.9, True), (2.0, True), (2.1, False), (math.nan, False), (math.inf, False), (None, False)],
)
def test_blending_fails_when_the_loss_with_the_kernel_diverges(
    loss: float | None, passes: bool
) -> None:
    host = make_host("mlp")
    epoch(host, 1)
    grow(host, "block1")
    epoch(host, 2, loss=1.0)
    after = "SHADOWING" if passes else "CULLED"
    assert epoch(host, 3, loss=1.0, blended_loss=loss)[0] == f"0: BLENDING -> {after}"


def test_the_loss_without_live_kernels_cannot_fail_blending() -> None:
    host = make_host("mlp")
    epoch(host, 1)
    grow(host, "block1")
    epoch(host, 2, loss=1.0)
    assert epoch(host, 3, loss=9.0, blended_loss=1.0) == ["0: BLENDING -> SHADOWING"]


def test_blending_goes_on_where_an_epoch_was_shorter_than_the_one_before() -> None:
    host = make_host("mlp")
    epoch(host, 1)
    grow(host, "block1")
    epoch(host, 2)
    train(host.model, host.optimizer, 3, steps=3)
    assert age(host, 3) == []
    assert host.seed("block1", 0).alpha == 0.75
    assert epoch(host, 4) == ["0: BLENDING -> SHADOWING"]


def test_the_gate_of_shadowing_is_its_length() -> None:
    host = make_host("mlp", shadowing_epochs=3)
    epoch(host, 1)
    grow(host, "block1")
    for number in (2, 3, 4, 5):
        epoch(host, number)
    host.end_epoch()
    (move,) = advance_epoch(host, make_metrics(6), 5)
    assert (move.from_stage, move.to_stage) == (_S.SHADOWING, _S.PROBATIONARY)
    assert move.reason == "epochs 3 (>= 3)"


@pytest.mark.parametrize("stage", [_S.TRAINING, _S.BLENDING, _S.SHADOWING])
def test_a_seed_whose_kernel_rests_passes_no_gate(stage: SeedStage) -> None:
    host = make_host("mlp")
    epoch(host, 1)
    grow(host, "block1")
    number = 2
    while host.seed("block1", 0).stage is not stage:
        epoch(host, number)
        number += 1
    life = host.seed("block1", 0).activation
    life.errors, life.rests = 3, True
    host.seed("block1", 0).epochs_in_stage = 2
    train(host.model, host.optimizer, number)
    host.end_epoch()
    metrics = make_metrics(number, 1.0, None)
    moves = advance_epoch(host, metrics, rest_epochs=2, blended_loss=1.0)
    assert [move.to_stage for move in moves] == [_S.CULLED, _S.EMBARGOED]
    assert moves[0].gate is not None
    failed = [check.name for check in moves[0].gate.checks if not check.passed]
    assert failed == ["failures"]
    assert moves[0].reason.endswith("failures 3 (its kernel rests after them)")


def test_losses_are_kept_for_every_life() -> None:
    host = make_host("mlp")
    grow(host, "block1")
    life = host.seed("block1", 0).activation
    epoch(host, 1, loss=0.8)
    epoch(host, 2, loss=0.7)
    assert life.losses == [0.8, 0.7]


def test_the_gradient_of_each_epoch_is_recorded_and_unhealthy_epochs_are_counted() -> None:
    host = make_host("mlp")
    epoch(host, 1)
    grow(host, "block1")
    life = host.seed("block1", 0).activation
    seen = []
    for number in (2, 3, 4):
        train(host.model, host.optimizer, number, steps=8)
        expected = life.gradient.mean
        age(host, number)
        assert expected is not None
        assert expected > 0
        assert life.gradient_norm == expected
        assert (life.gradient.count, life.unhealthy_epochs) == (0, 0)
        seen.append(expected)
    assert len(set(seen)) == 3

    for number, bad in ((5, math.nan), (6, 0.0)):
        life.gradient.add(bad)
        age(host, number)
        assert life.gradient_norm == (None if math.isnan(bad) else 0.0)
    assert life.unhealthy_epochs == 2
    age(host, 7)
    assert (life.gradient_norm, life.unhealthy_epochs) == (None, 2), "an epoch without a step"
    epoch(host, 8)
    assert life.unhealthy_epochs == 0


def test_the_first_step_of_a_ramp_says_nothing_of_a_kernels_health() -> None:
    host = make_host("mlp")
    epoch(host, 1)
    grow(host, "block1")
    life = host.seed("block1", 0).activation
    epoch(host, 2)
    # Of an epoch of four steps only the first is sampled, and there alpha is still 0.
    assert epoch(host, 3) == ["0: BLENDING -> SHADOWING"]
    assert (life.gradient_norm, life.unhealthy_epochs) == (None, 0)


def test_a_kernel_without_parameters_has_no_unhealthy_epochs() -> None:
    host = make_host("mlp")
    grow(host, "block1", 0, "frozen_random")
    epoch(host, 1)
    epoch(host, 2)
    life = host.seed("block1", 0).activation
    assert (life.gradient_norm, life.unhealthy_epochs) == (None, 0)


def test_a_gate_is_told_in_words() -> None:
    gate = Gate(
        checks=(
            Check(name="alpha", passed=True, value=0.123456, limit="1"),
            Check(name="loss", passed=False, value=None, limit="<= 2"),
        )
    )
    assert gate.describe() == "alpha 0.1235 (1), loss not measured (<= 2)"
