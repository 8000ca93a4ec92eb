"""What is recorded of the blocks of a host in a forward pass."""

from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from esper.attribution.flow import BlockFlow, watched
from esper.contracts.slot import SlotKind
from esper.growth.host import Host
from esper.growth.prepare import HostSetup, prepare

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(2))


def flow_of(block: nn.Module, x: Tensor = X, tail: nn.Module | None = None) -> BlockFlow:
    """Return what flows through a block that is followed by other layers."""
    torch.manual_seed(0)
    model = nn.Sequential(OrderedDict(block=block, tail=tail or nn.Identity()))
    host = host_of(model, x)
    with watched(host) as flows:
        model(x)
    return flows["block"]


def host_of(model: nn.Module, x: Tensor) -> Host:
    setup = HostSetup(slots=("block",), selection="all")
    return prepare(model, SGD(model.parameters(), lr=0.1), x, setup)


def test_units_are_what_the_last_layer_reads() -> None:
    block = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.LayerNorm(5), nn.Linear(5, 3))
    hidden = block[:3](X).detach()
    assert torch.allclose(flow_of(block).unit_rows(9).flatten(0, 1), hidden)


def test_the_units_of_a_single_layer_are_its_outputs() -> None:
    block = nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 3), nn.ReLU())
    flow = flow_of(block)
    assert torch.allclose(flow.unit_rows(9).flatten(0, 1), block(X).detach())
    layer = nn.Linear(4, 3)
    assert torch.allclose(flow_of(layer).unit_rows(9).flatten(0, 1), layer(X).detach())


class Shortcut(nn.Module):
    """Adds a layer that reads the block's input, which is called last."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 5), nn.Linear(5, 3)
        self.around = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.two(self.one(x).tanh())
        return inner + self.around(x.view(-1, 4))


def test_a_layer_that_reads_the_blocks_input_has_no_units() -> None:
    block = Shortcut()
    hidden = block.one(X).tanh().detach()
    assert torch.allclose(flow_of(block).unit_rows(9).flatten(0, 1), hidden)


class Raw(nn.Module):
    """Multiplies by matrices that no layer holds."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Parameter(torch.randn(4, 5)), nn.Parameter(torch.randn(5, 3))

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.one).relu() @ self.two


def test_hidden_activations_that_cannot_be_found_are_replaced_by_the_output() -> None:
    block = Raw()
    assert torch.allclose(flow_of(block).unit_rows(9).flatten(0, 1), block(X).detach())


def test_an_output_that_the_host_changes_in_place_stays_known() -> None:
    block = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    expected = block(X).detach()
    assert (expected < 0).any()
    flow = flow_of(block, tail=nn.ReLU(inplace=True))
    assert flow.output is not None
    assert torch.equal(flow.output.detach(), expected)


def test_what_was_changed_in_place_is_unknown() -> None:
    x, hidden, layers = X.clone(), torch.randn(6, 5), [nn.Linear(4, 5), nn.Linear(5, 3)]
    flow = BlockFlow(SlotKind.DENSE)
    flow.begin(x)
    flow.enter(layers[0], x)
    flow.enter(layers[1], hidden)
    flow.end(torch.randn(6, 3))
    assert flow.input is x
    assert flow.unit_rows(9).shape == (2, 3, 5)
    x += 1.0
    hidden += 1.0
    assert (flow.input, flow.input_rows(9)) == (None, None)
    assert flow.unit_rows(9).shape == (2, 3, 3), "the units of the output"


def test_the_inputs_of_feature_maps_are_pooled_to_the_size_of_the_output() -> None:
    x = torch.randn(4, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    flow = flow_of(nn.Conv2d(2, 3, 2, stride=2), x)
    found = flow.input_rows(9)
    assert found is not None
    assert found.shape == (2, 2 * 4 * 4, 2)
    assert torch.allclose(found[0, 0], x[0, :, :2, :2].mean(dim=(1, 2)))


def test_maps_that_are_flattened_are_read_as_vectors() -> None:
    x = torch.randn(4, 2, 2, 2, generator=torch.Generator().manual_seed(1))
    found = flow_of(nn.Sequential(nn.Flatten(), nn.Linear(8, 3)), x).input_rows(9)
    assert found is not None
    assert torch.equal(found.flatten(0, 1), x.flatten(1))


def test_the_last_of_several_calls_counts() -> None:
    block = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 4))

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = block

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.block(self.block(x))
            return out

    model = Twice()
    with watched(host_of(model, X)) as flows:
        model(X)
    first = block(X).detach()
    found = flows["block"].input_rows(9)
    assert found is not None
    assert torch.allclose(found.flatten(0, 1), first)
    assert torch.allclose(flows["block"].unit_rows(9).flatten(0, 1), block[:2](first).detach())


def test_hooks_are_removed_after_a_failure() -> None:
    block = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 4))
    model = nn.Sequential(OrderedDict(block=block))
    host = host_of(model, X)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), watched(host):
        model(torch.randn(2, 99))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
