"""Slots in torch's transformer encoder, which runs other code in eval mode.

In eval mode without a graph a whole layer is one fused operator, and the layers pass padded batches
as nested tensors.
"""

import copy
import warnings

import pytest
import torch
from torch import Tensor, nn

from esper.contracts.errors import ConfigError
from esper.growth.host import Host
from tests.unit.growth.builders import blended, grow, make_host, tensors

WIDTH, POSITIONS = 8, 5


class Classifier(nn.Module):
    """Tokens, padded with 0, to three classes."""

    def __init__(self, *, masks: bool, batch_first: bool = True) -> None:
        super().__init__()
        self.masks = masks
        self.embedding = nn.Embedding(7, WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH, 2, dim_feedforward=12, dropout=0.0, batch_first=batch_first
        )
        self.batch_first = batch_first
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=batch_first)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        padding = (tokens == 0) if self.masks else None
        x = self.embedding(tokens)
        if self.batch_first:
            return self.head(self.encoder(x, src_key_padding_mask=padding).mean(dim=1))
        return self.head(self.encoder(x.transpose(0, 1)).mean(dim=0))


@pytest.fixture(autouse=True)
def _nested_tensors_are_a_prototype() -> None:
    warnings.filterwarnings("ignore", message="The PyTorch API of nested tensors")


def tokens(batch: int = 4) -> Tensor:
    drawn = torch.randint(1, 7, (batch, POSITIONS), generator=torch.Generator().manual_seed(3))
    drawn[0, 2:] = 0
    drawn[1, 4:] = 0
    return drawn


def make(*, masks: bool) -> tuple[Classifier, Host]:
    torch.manual_seed(0)
    bare = Classifier(masks=masks)
    model = copy.deepcopy(bare)
    return bare.eval(), make_host(model, example=tokens())


@pytest.mark.parametrize("masks", [True, False])
def test_slots_are_placed_at_the_layers(masks: bool) -> None:
    _, host = make(masks=masks)
    assert list(host.slots) == ["encoder.layers.0", "encoder.layers.1"]
    assert {slot.spec.out_shape for slot in host.slots.values()} == {(POSITIONS, WIDTH)}


@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("graph", [True, False])
def test_dormant_and_isolated_slots_change_nothing_in_eval_mode(masks: bool, graph: bool) -> None:
    bare, host = make(masks=masks)
    host.model.eval()
    with torch.set_grad_enabled(graph):
        expected = bare(tokens())
        assert torch.equal(host.model(tokens()), expected)
        for slot in host.slots:
            grow(host, slot, 0)
        host.model.eval()
        assert torch.equal(host.model(tokens()), expected)
    assert tensors(host.model).keys() == bare.state_dict().keys()


@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("placement", ["series", "parallel"])
def test_live_kernels_are_added_to_what_each_layer_gives(masks: bool, placement: str) -> None:
    torch.manual_seed(0)
    bare = Classifier(masks=masks)
    host = make_host(copy.deepcopy(bare), example=tokens(), placement=placement)
    kernels = [blended(host, slot, alpha=0.5) for slot in host.slots]
    host.model.eval()
    bare.eval()

    # By hand, layer after layer, where torch neither fuses nor nests.
    padding = tokens() == 0 if masks else None
    x = bare.embedding(tokens())
    for layer, kernel in zip(bare.encoder.layers, kernels, strict=True):
        h = layer(x, src_key_padding_mask=padding)
        x = h + 0.5 * kernel(h if placement == "series" else x)
    # In the nested path padded positions come out as 0, with and without kernels.
    nested = x.masked_fill(padding[..., None], 0.0) if padding is not None else x

    torch.testing.assert_close(host.model(tokens()), bare.head(x.mean(dim=1)))
    with torch.no_grad():
        torch.testing.assert_close(host.model(tokens()), bare.head(nested.mean(dim=1)))


def test_a_layer_that_is_fused_away_cannot_hold_a_slot() -> None:
    model = Classifier(masks=False)
    with pytest.raises(
        ConfigError, match=r"'encoder.layers.0.linear1' cannot hold a slot: .*calling"
    ):
        make_host(model, ["encoder.layers.0.linear1"], example=tokens())


def test_a_batch_that_is_not_the_first_dimension_is_refused() -> None:
    model = Classifier(masks=False, batch_first=False)
    with pytest.raises(ConfigError, match=r"does not begin with the batch of 4 .*batch_first=True"):
        make_host(model, ["encoder.layers.0"], example=tokens())


def test_flops_are_those_of_the_layers_although_eval_mode_fuses_them() -> None:
    _, host = make(masks=False)
    d, s, hidden = WIDTH, POSITIONS, 12
    projections = 2 * s * (d * 3 * d + d * d + 2 * d * hidden)
    attention = 2 * 2 * s * s * d
    assert host.base_flops == 2 * (projections + attention) + 2 * d * 3
