"""The governor in a real run: harmful changes are rolled back, counted and learned from."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from esper.attribution.options import Attribution
from esper.contracts.decision import DecisionKind
from esper.contracts.event import EventKind
from esper.contracts.metrics import TrainReport
from esper.contracts.stage import LIVE
from esper.grower.grower import Grower
from esper.growth.param_groups import stale_entries
from esper.safety.options import GovernorOptions
from tests.unit.scripted import (
    Told,
    adapt,
    losses_and_hits,
    make_grower,
    same_weights,
    script,
    train,
    verdict,
)


def ruin(model: nn.Module, optimizer: Optimizer) -> None:
    """Take a training step with a broken gradient."""
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, float("nan"))
    optimizer.step()


def step(grower: Grower, *, ruined: bool = False) -> None:
    def trained(model: nn.Module, optimizer: Optimizer) -> None:
        train(model, optimizer)

    trained(grower.host.model, grower.host.optimizer)
    if ruined:
        ruin(grower.host.model, grower.host.optimizer)
    grower.step(losses_and_hits, trained)


PATIENT = Attribution(looks=(4, 14))
"""Leaves a seed open that nobody judges."""


def weights(grower: Grower) -> list[Tensor]:
    return [p.detach().clone() for p in grower.host.model.parameters()]


def actions(told: Told) -> list[str]:
    return [body.action for body in told.of(EventKind.GOVERNOR)]


def test_a_ruined_network_is_what_it_was_an_epoch_before() -> None:
    grower, told = make_grower(policy=script(e2=[adapt("0", 1)]))
    for _ in range(4):
        step(grower)
    before = {name: t.clone() for name, t in grower.host.model.state_dict().items()}
    step(grower, ruined=True)

    after = grower.host.model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in after)
    assert not any("esper_kernels" in name for name in after)
    assert not {seed.stage for seed in grower.host.seeds()} & LIVE
    assert not stale_entries(grower.host.optimizer, grower.host.model)
    assert actions(told) == ["rollback"]
    (action,) = told.of(EventKind.GOVERNOR)
    assert (action.restored_epoch, action.culled, action.val_loss) == (4, 1, None)
    (judged,) = told.of(EventKind.REWARD)
    assert judged.reward.total == -1.0
    assert judged.outcome.rolled_back
    assert grower.governor.rollbacks == 1
    step(grower)
    assert actions(told) == ["rollback"]


def test_decisions_of_a_ruined_epoch_are_dropped() -> None:
    grower, told = make_grower(policy=script(e3=[adapt("0", 1)]))
    for epoch in (1, 2, 3):
        step(grower, ruined=epoch == 3)
    assert not told.of(EventKind.DECISION)
    assert grower.num_decisions == 0


def test_a_gradient_that_training_found_broken_is_enough() -> None:
    grower, told = make_grower(policy="never")
    step(grower)
    before = weights(grower)
    train(grower.host.model, grower.host.optimizer)
    grower.step(losses_and_hits, trained=TrainReport(loss=0.5, is_finite=False))
    assert actions(told) == ["rollback"]
    assert all(torch.equal(a, b) for a, b in zip(weights(grower), before, strict=True))


def test_a_risen_loss_is_suspected_first_and_nothing_is_kept_meanwhile() -> None:
    factor = 1.0

    def scored(model: nn.Module) -> Tensor:
        return losses_and_hits(model)[0] * factor

    table: dict[str, Any] = {"e2": [adapt("0", 1)]}
    table["e12"] = [verdict(DecisionKind.FOSSILIZE, "0", 0), adapt("3", 1)]
    grower, told = make_grower(policy=script(**table), epochs=20, attribution=PATIENT)
    for epoch in range(1, 14):
        factor = 8.0 if epoch >= 12 else 1.0
        train(grower.host.model, grower.host.optimizer)
        grower.step(scored, train)
    assert actions(told) == ["suspect", "rollback"]
    assert [refusal.rule for refusal in told.of(EventKind.SAFETY)] == ["governor", "governor"]
    rollback = told.of(EventKind.GOVERNOR)[-1]
    assert rollback.restored_epoch == 11
    assert rollback.val_loss > rollback.limit


def test_after_three_rollbacks_the_run_goes_on_without_growth() -> None:
    grower, told = make_grower(policy=script(e9=[adapt("0", 1)]))
    for epoch in range(1, 10):
        step(grower, ruined=epoch in (2, 4, 6, 7))
    assert actions(told) == ["rollback", "rollback", "rollback", "end_growth", "rollback"]
    assert grower.governor.has_ended_growth
    assert [refusal.rule for refusal in told.of(EventKind.SAFETY)] == ["growth_window"]
    assert all(parameter.isfinite().all() for parameter in grower.host.model.parameters())


def test_without_a_governor_nothing_is_taken_back() -> None:
    grower, told = make_grower(policy="never", governor=GovernorOptions(enabled=False))
    step(grower)
    step(grower, ruined=True)
    assert not actions(told)
    assert all(parameter.isnan().all() for parameter in grower.host.model.parameters())


@pytest.mark.parametrize("saved_after", [11, 12, 13])
def test_a_suspected_run_is_resumed_with_its_snapshot(saved_after: int) -> None:
    def played(saved_after: int | None) -> tuple[Grower, list[str]]:
        grower, told = make_grower(policy="never", epochs=20)
        torch.manual_seed(3)
        said: list[str] = []
        for epoch in range(1, 16):
            train(grower.host.model, grower.host.optimizer)
            factor = 8.0 if epoch in (12, 13) else 1.0
            grower.step(lambda model: losses_and_hits(model)[0] * factor, train)  # noqa: B023
            if epoch == saved_after:
                said, state = actions(told), grower.state_dict()
                grower, told = make_grower(policy="never", epochs=20)
                grower.load_state_dict(state)
        return grower, [*said, *actions(told)]

    (whole, said), (halves, said_again) = played(None), played(saved_after)
    assert said == said_again == ["suspect", "rollback"]
    assert same_weights(whole.host.model, halves.host.model)
    assert whole.governor.rollbacks == halves.governor.rollbacks == 1
