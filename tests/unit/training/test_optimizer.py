import pytest
from torch import nn
from torch.optim import SGD, Adam, AdamW

from esper.training.optimizer import build_optimizer
from esper.training.options import Training


@pytest.mark.parametrize(("name", "kind"), [("sgd", SGD), ("adam", Adam), ("adamw", AdamW)])
def test_an_optimizer_is_what_its_name_says(name: str, kind: type) -> None:
    optimizer = build_optimizer(
        nn.Linear(2, 2), Training(optimizer=name, lr=0.25, weight_decay=0.5, momentum=0.75)
    )
    (group,) = optimizer.param_groups
    assert type(optimizer) is kind
    assert (group["lr"], group["weight_decay"]) == (0.25, 0.5)
    assert group.get("momentum", 0.75) == 0.75


def test_frozen_parameters_are_left_out() -> None:
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    optimizer = build_optimizer(model, Training())
    assert optimizer.param_groups[0]["params"] == [model.weight]
