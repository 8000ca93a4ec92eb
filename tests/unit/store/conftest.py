"""Builders with defaults for entries and slots."""

from collections.abc import Callable
from typing import Any

import pytest

from esper.contracts.ledger import LedgerEntry
from esper.contracts.slot import Placement, SlotKind, SlotSpec


def _entry(event: str = "0", **values: Any) -> LedgerEntry:
    defaults = {
        "run": "run",
        "slot": "block",
        "seed": 0,
        "slot_kind": "dense",
        "placement": "parallel",
        "blueprint": "a",
        "epoch": 7,
        "reward": 0.5,
    }
    return LedgerEntry(event=event, **{**defaults, **values})


@pytest.fixture(scope="session")
def make_entry() -> Callable[..., LedgerEntry]:
    return _entry


@pytest.fixture(scope="session")
def slot() -> SlotSpec:
    return SlotSpec(
        name="block",
        kind=SlotKind.DENSE,
        placement=Placement.PARALLEL,
        in_shape=(4,),
        out_shape=(4,),
        catalogue=("a", "b"),
    )
