"""A host is prepared: its slots, and which of them are in its second half."""

import pytest
import torch
from torch import nn
from torch.optim import SGD

from esper.growth.prepare import HostSetup, prepare


@pytest.mark.parametrize(
    ("slots", "late"),
    [
        ("auto", {"2"}),
        (("0", "1", "2"), {"2"}),
        (("2", "0"), {"2"}),
        (("0", "3", "1", "2"), {"2", "3"}),
        (("3",), set()),
    ],
)
def test_the_second_half_of_the_slots_is_late_in_whatever_order_they_are_named(
    slots: str | tuple[str, ...], late: set[str]
) -> None:
    model = nn.Sequential(*(nn.Linear(8, 8) for _ in range(4)))
    setup = HostSetup(slots=slots, selection=("affine",))
    host = prepare(model, SGD(model.parameters(), lr=0.1), torch.zeros(2, 8), setup)
    assert {name for name, slot in host.slots.items() if slot.spec.is_late} == late
    assert list(host.slots) == list(slots) or slots == "auto"
