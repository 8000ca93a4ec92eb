import pytest
import torch
from torch import Tensor, nn

from esper.contracts.errors import ConfigError
from esper.contracts.slot import Placement
from esper.growth.find_slots import SlotFinder
from tests.unit.growth.builders import blended, fitting, make_host
from tests.unit.growth.user_models import DenseNetBlock, Iterating, Wrapping


def auto(model: nn.Module, example: Tensor, placement: str = "auto") -> dict[str, Placement]:
    specs = SlotFinder(model, example, fitting).auto(placement)
    return {spec.name: spec.placement for spec in specs}


@pytest.mark.parametrize(
    ("block", "instead"),
    [
        (Iterating("all"), ["block.first", "block.second"]),
        (Iterating("count"), ["block.first"]),
        (Iterating("weights"), ["head"]),
        (DenseNetBlock(), ["block.a", "block.b"]),
    ],
)
def test_a_block_that_would_take_kernels_for_layers_is_refused(
    block: nn.Module, instead: list[str]
) -> None:
    model, x = Wrapping(block), torch.ones(2, 4)
    with pytest.raises(ConfigError, match="'block' cannot hold a slot: its forward iterates"):
        SlotFinder(model, x, fitting).listed(["block"], "auto")
    assert list(auto(model, x)) == instead
    assert type(block) in (Iterating, DenseNetBlock)
    assert "esper_kernels" not in dict(model.named_modules())


def test_one_block_that_goes_astray_does_not_hide_the_others() -> None:
    kinds = ("count", "linear", "all")
    model = nn.Sequential(*[Iterating(kind) for kind in kinds], nn.Linear(4, 2))
    assert list(auto(model, torch.ones(2, 4))) == ["0.first", "1", "2.first", "2.second"]


def test_a_block_that_iterates_but_knows_its_layers_can_hold_a_slot() -> None:
    torch.manual_seed(0)
    model, x = Wrapping(Iterating("linear")), torch.randn(2, 4)
    inner = model.block(x)
    host = make_host(model, ["block"], example=x, placement="series")
    kernel = blended(host, "block")
    assert torch.equal(model(x), model.head(inner + kernel(inner)))


def test_a_forward_that_was_set_on_the_module_itself_is_refused() -> None:
    model = Wrapping(nn.Linear(4, 4))
    model.block.forward = lambda x: x * 2.0  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match=r"'block' cannot hold a slot: .*without calling it"):
        SlotFinder(model, torch.ones(2, 4), fitting).listed(["block"], "auto")
