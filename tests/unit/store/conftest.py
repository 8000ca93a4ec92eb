"""A slot for the ledgers of stores."""

import pytest

from esper.contracts.slot import Placement, SlotKind, SlotSpec


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
