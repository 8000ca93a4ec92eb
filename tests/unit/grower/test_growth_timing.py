"""When the shipped policy grows a network that really trains, in a loop of a user's own."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam

from esper.contracts.event import EventKind
from esper.contracts.metrics import TrainReport
from esper.grower.grower import Grower
from esper.policy.heuristic import Heuristic
from esper.safety.options import GovernorOptions
from tests.unit.scripted import LAVISH, Told

EPOCHS, DRIFT = 40, 15
X = torch.randn(96, 4, generator=torch.Generator().manual_seed(3))
EASY = (X[:, 0] + 0.5 * X[:, 1] > 0).long()
"""Two classes that a line separates."""


def grow(policy: Heuristic, targets: list[Tensor]) -> tuple[list[int], list[str]]:
    """Train on the targets of each epoch; return the epochs of germinations and all reasons."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 6), nn.GELU(), nn.Linear(6, 2))
    optimizer = Adam(model.parameters(), lr=0.02)
    told = Told()
    grower = Grower(
        model,
        optimizer,
        example_input=X[:4],
        epochs=EPOCHS,
        bus=told.bus,
        policy=policy,
        governor=GovernorOptions(enabled=False),
        safety=LAVISH,
        run_id="test",
    )
    for y in targets:
        losses = []
        for rows in torch.arange(96).split(12):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(X[rows]), y[rows])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        report = TrainReport(losses=tuple(losses), first_loss=losses[0], num_samples=96)
        grower.step(
            lambda m, y=y: functional.cross_entropy(m(X), y, reduction="none"), trained=report
        )
    events = [event for event in told.events if event.kind is EventKind.LIFECYCLE]
    germinated = [event.epoch for event in events if event.body.to_stage == "GERMINATED"]
    return germinated, [decision.reason for decision in told.of(EventKind.DECISION)]


def test_a_jump_grows_when_the_labels_flip_and_never_before() -> None:
    targets = [EASY] * DRIFT + [1 - EASY] * 2
    epochs, reasons = grow(Heuristic(trigger="jump"), targets)
    assert epochs[0] == DRIFT + 1
    assert set(reasons[:DRIFT]) == {"training loss has no jump"}
    assert reasons[DRIFT].startswith("training loss jumps to ")


def test_it_does_not_grow_while_the_loss_falls_steeply_and_says_what_it_read() -> None:
    epochs, reasons = grow(Heuristic(), [EASY] * 9)
    # The loss stays near ln 2 in the first epoch, is halved in epochs 3 and 4, and levels then.
    assert all("> 50 % of the steepest" in reason for reason in reasons[2:4])
    assert not {3, 4} & set(epochs)
    assert any(5 <= epoch <= 8 for epoch in epochs)
    assert reasons[0] == "slope needs 16 points of training loss at this size, has 9"
    assert all(reason.startswith("training loss ") for reason in reasons[1:4])
