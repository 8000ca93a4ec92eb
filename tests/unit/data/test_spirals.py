"""Generated spirals have the geometry of the module's formula."""

import math

import pytest
import torch

from esper.contracts.data import InputKind
from esper.contracts.errors import DataError
from esper.data.spirals import Spirals


def test_the_parts_share_no_point_and_hold_all() -> None:
    data = Spirals(num_samples=300).load()
    points = torch.cat([data.train.x, data.val.x, data.test.x])
    assert data.spec.kind is InputKind.VECTOR
    assert data.spec.input_shape == (2,)
    assert [len(part) for part in (data.train, data.val, data.test)] == [180, 60, 60]
    assert len(points.unique(dim=0)) == 300


def test_every_arm_is_in_every_part_as_often() -> None:
    data = Spirals(num_samples=400, num_classes=4).load()
    for part, count in ((data.train, 60), (data.val, 20), (data.test, 20)):
        assert torch.bincount(part.y).tolist() == [count] * 4


def test_without_turns_and_noise_arm_k_is_a_ray_at_angle_k() -> None:
    option = Spirals(num_samples=12, num_classes=4, turns=0.0, noise=0.0)
    points = option._points([0, 1, 2, 3])
    for (x, y), angle in zip(points, (0, 90, 180, -90), strict=True):
        assert 0 < math.hypot(x, y) <= 1
        off = math.degrees(math.atan2(y, x)) - angle
        assert (off + 180) % 360 == pytest.approx(180)


def test_an_arm_turns_with_its_radius() -> None:
    (x, y), *_ = Spirals(turns=0.25, noise=0.0)._points([0])
    radius = math.hypot(x, y)
    assert math.atan2(y, x) == pytest.approx(math.pi / 2 * radius)


def test_the_split_seed_fixes_the_points() -> None:
    first, second = Spirals(split_seed=1).load(), Spirals(split_seed=1).load()
    assert torch.equal(first.train.x, second.train.x)
    assert not torch.equal(first.train.x, Spirals(split_seed=2).load().train.x)


def test_an_arm_that_cannot_reach_all_parts_is_refused() -> None:
    with pytest.raises(DataError, match="2 samples of class 0"):
        Spirals(num_samples=6, num_classes=3).load()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"batch_size": -3}, r"data\.batch_size must be >= 1, got -3"),
        ({"num_classes": 1}, r"data\.num_classes must be >= 2, got 1"),
        ({"num_samples": 2}, r"data\.num_samples must be >= data\.num_classes=3, got 2"),
        ({"turns": -1.0}, r"data\.turns must be >= 0 and finite, got -1\.0"),
        ({"noise": float("inf")}, r"data\.noise must be >= 0 and finite, got inf"),
        ({"noise": float("nan")}, r"data\.noise must be >= 0 and finite, got nan"),
    ],
)
def test_a_value_out_of_range_is_refused(options: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Spirals(**options)  # type: ignore[arg-type]
