"""Trainings of policies on tiny tasks."""

from types import ModuleType

import pytest

from esper.run.policy_training import check, reinforce, rollouts, rows
from tests.gain_models import tiny_task

PLAYED = [
    "train-policy", "policy=gnn", "tasks=6", "check_tasks=2", "learning.tasks_at_once=2",
    "learning.rollouts=2", "learning.dropout=0.1", "learning.replay=100",
]  # fmt: skip
"""Three updates."""
NETWORK = [*PLAYED, "learning.hidden=8"]
"""Three updates of a small network."""
LEARNED = [
    "train-policy", "policy=gnn", "tasks=0", "check_tasks=2", "learning.hidden=8",
    "learning.dropout=0.1",
]  # fmt: skip
"""A small network that only learns from a store."""
MODULES: tuple[ModuleType, ...] = (check, reinforce, rollouts, rows)


def use_tiny_tasks(patch: pytest.MonkeyPatch) -> None:
    """Let trainings play tiny tasks."""
    for module in MODULES:
        patch.setattr(module, "training_task", tiny_task)
