"""Windows between feature maps, and which shapes are sound."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from esper.blueprint.shapes import Shape, Window, find_window, is_sound, window
from esper.contracts.slot import SlotKind


@pytest.mark.parametrize(
    ("before", "after", "stride", "padding"),
    [
        (8, 8, 1, 1),
        (8, 6, 1, 0),
        (8, 4, 2, 1),
        (9, 5, 2, 1),
        (9, 4, 2, 0),
        (9, 3, 3, 1),
        (1, 1, 1, 1),
    ],
)
def test_the_window_is_the_smallest_stride_that_leads_there(
    before: int, after: int, stride: int, padding: int
) -> None:
    through = find_window((1, before, before), (5, after, after))
    assert through == Window(stride=(stride, stride), padding=(padding, padding))


@pytest.mark.parametrize("out_shape", [(4, 1, 1), (4, 16, 16), (4, 7, 8), (4, 8, 5)])
def test_no_window_leads_to_a_global_pool_a_larger_map_or_an_odd_one(out_shape: Shape) -> None:
    assert find_window((4, 8, 8), out_shape) is None
    with pytest.raises(ValueError, match=r"no stride up to 3 leads from \(4, 8, 8\)"):
        window((4, 8, 8), out_shape)


@given(height=st.integers(1, 12), width=st.integers(1, 12), data=st.data())
def test_a_convolution_and_a_pool_through_the_window_give_its_size(
    height: int, width: int, data: st.DataObject
) -> None:
    size = (data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12)))
    through = find_window((1, height, width), (1, *size))
    if through is None:
        return
    x = torch.ones(1, 1, height, width)
    assert through.size(height, width) == size
    assert nn.Conv2d(1, 1, 3, through.stride, through.padding)(x).shape[2:] == size
    pooled = nn.AvgPool2d(3, through.stride, through.padding, count_include_pad=False)(x)
    assert pooled.shape[2:] == size
    torch.testing.assert_close(pooled, torch.ones_like(pooled))


@pytest.mark.parametrize(
    ("kind", "in_shape", "out_shape", "sound"),
    [
        (SlotKind.DENSE, (3,), (4,), True),
        (SlotKind.DENSE, (3,), (0,), False),
        (SlotKind.DENSE, (), (), False),
        (SlotKind.DENSE, (3, 4), (3, 4), False),
        (SlotKind.FEATURE_MAP, (1, 8, 8), (10,), False),
        (SlotKind.FEATURE_MAP, (1, 8, 8), (10, 4, 4), True),
        (SlotKind.SEQUENCE, (6, 8), (6, 9), True),
        (SlotKind.SEQUENCE, (6, 8), (5, 8), False),
    ],
)
def test_sound_shapes_are_of_the_kind_and_keep_their_positions(
    kind: SlotKind, in_shape: Shape, out_shape: Shape, sound: bool
) -> None:
    assert is_sound(kind, in_shape, out_shape) is sound
