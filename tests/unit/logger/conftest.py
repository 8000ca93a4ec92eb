"""Builders of events and lines, with defaults."""

from collections.abc import Callable
from typing import Any

import pytest

from esper.contracts.event import Event, GovernorAction, LifecycleMove
from esper.contracts.stage import SeedStage


def make_move(epoch: int = 3, **changes: Any) -> Event:
    values: dict[str, Any] = {
        "slot": "block2",
        "seed": 1,
        "blueprint": "lora",
        "from_stage": SeedStage.TRAINING,
        "to_stage": SeedStage.BLENDING,
        "gate": None,
        "reason": "gate passed",
    }
    body = LifecycleMove(**(values | changes))
    return Event(epoch=epoch, body=body)


def make_rollback(action: str = "rollback", **changes: Any) -> Event:
    values: dict[str, Any] = {
        "reason": "validation loss is nan",
        "val_loss": None,
        "limit": 1.2,
        "restored_epoch": 6,
        "rollbacks": 3,
        "culled": 2,
    }
    return Event(epoch=7, body=GovernorAction(action=action, **(values | changes)))


def make_line(epoch: int = 3, **changes: Any) -> dict[str, Any]:
    line: dict[str, Any] = {
        "epoch": epoch,
        "train_loss": 0.5,
        "val_loss": 0.25,
        "train_accuracy": 0.9,
        "val_accuracy": 0.875,
        "params": 1930,
        "live_seeds": 1,
        "flops": 2e6,
        "step_ms": 1.5,
        "control_ms": 2.0,
        "attribution_ms": None,
        "probe_ms": 0.0,
        "checkpoint_ms": 0.0,
        "learning_rate": 0.003,
        "seeds": [
            {
                "slot": "block2",
                "seed": 1,
                "blueprint": "lora",
                "stage": SeedStage.BLENDING,
                "alpha": 0.5,
                "ablation": None,
                "gain": 0.03,
            }
        ],
    }
    return line | changes


@pytest.fixture
def move() -> Callable[..., Event]:
    return make_move


@pytest.fixture
def line() -> Callable[..., dict[str, Any]]:
    return make_line


@pytest.fixture
def rollback() -> Callable[..., Event]:
    return make_rollback
