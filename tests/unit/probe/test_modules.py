"""The modules of a network, listed quickly."""

from torch import nn

from esper.probe.modules import modules_of


def test_modules_are_those_of_torch_in_its_order() -> None:
    shared, inner = nn.Linear(2, 2), nn.Sequential(nn.ReLU(), nn.Linear(2, 2))
    model = nn.Sequential(shared, inner, nn.ModuleList([shared, nn.Tanh()]), inner)
    model.register_module("unset", None)
    assert [id(each) for each in modules_of(model)] == [id(each) for each in model.modules()]
    assert len(modules_of(model)) == 7
