"""Builders with defaults for arms, entries and slots."""

from collections.abc import Callable
from typing import Any

import pytest

from esper.contracts.arm import ArmStats
from esper.contracts.ledger import UNKNOWN, LedgerEntry
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.slot import Placement, SeedState, SlotKind, SlotSpec, SlotState
from esper.contracts.stage import SeedStage

NAMES = tuple("abcdefgh")


def _arm(seed: int = 0, **values: Any) -> ArmStats:
    return ArmStats(**{"seed": seed, "blueprint": NAMES[seed], **values})


def _spec(**values: Any) -> SlotSpec:
    defaults = {
        "name": "block",
        "kind": SlotKind.DENSE,
        "placement": Placement.PARALLEL,
        "in_shape": (4,),
        "out_shape": (4,),
        "catalogue": NAMES,
    }
    return SlotSpec(**{**defaults, **values})


def _entry(event: str = "0", **values: Any) -> LedgerEntry:
    defaults = {
        "run": "run",
        "slot": "block",
        "seed": 0,
        "slot_kind": "dense",
        "placement": "parallel",
        "blueprint": "a",
        "task_family": UNKNOWN,
        "reward_model": UNKNOWN,
        "epoch": 7,
        "reward": 0.5,
    }
    return LedgerEntry(event=event, **{**defaults, **values})


def _state(num_seeds: int = 4, spec: SlotSpec | None = None, **seeds: dict[str, Any]) -> SlotState:
    """Return a slot of dormant seeds; `s2={"stage": ...}` changes seed 2."""
    return SlotState(
        spec=spec or _spec(),
        seeds=tuple(
            SeedState(
                **{
                    "slot": "block",
                    "seed": index,
                    "stage": SeedStage.DORMANT,
                    "bound": NAMES[index],
                    **seeds.get(f"s{index}", {}),
                }
            )
            for index in range(num_seeds)
        ),
    )


def _plan(*changes: SeedChange, num_germinations: int = 1, **values: Any) -> Plan:
    changes = changes or (SeedChange(action=Action.GERMINATE),) * num_germinations
    defaults = {"slot": "block", "kind": "diversify", "reasoning": "test"}
    return Plan(changes=changes, **{**defaults, **values})


@pytest.fixture(scope="session")
def make_arm() -> Callable[..., ArmStats]:
    return _arm


@pytest.fixture(scope="session")
def make_spec() -> Callable[..., SlotSpec]:
    return _spec


@pytest.fixture(scope="session")
def make_entry() -> Callable[..., LedgerEntry]:
    return _entry


@pytest.fixture(scope="session")
def make_state() -> Callable[..., SlotState]:
    return _state


@pytest.fixture(scope="session")
def make_plan() -> Callable[..., Plan]:
    return _plan
