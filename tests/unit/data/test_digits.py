"""The default data: its parts are disjoint, stratified, and the same in every process."""

import hashlib
import subprocess
import sys

import pytest
import torch
from sklearn.datasets import load_digits

from esper.contracts.data import InputKind
from esper.contracts.errors import DataError
from esper.data.base import DataSet, Split
from esper.data.digits import Digits

FINGERPRINT = """
import hashlib
from esper.data.digits import Digits
d = Digits(split_seed=3).load()
print(hashlib.sha256(d.val.x.numpy().tobytes() + d.test.y.numpy().tobytes()).hexdigest())
"""


@pytest.fixture(scope="module")
def digits() -> DataSet:
    return Digits().load()


def parts_of(data: DataSet) -> tuple[Split, Split, Split]:
    return data.train, data.val, data.test


def test_the_spec_is_the_shape_of_the_samples(digits: DataSet) -> None:
    assert digits.spec.kind is InputKind.IMAGE
    for part in parts_of(digits):
        assert part.x.shape[1:] == digits.spec.input_shape == (1, 8, 8)
        assert part.x.dtype == torch.float32
        assert part.y.dtype == torch.int64
        assert set(part.y.tolist()) == set(range(digits.spec.num_classes))


def test_the_parts_are_all_of_the_images_and_share_none(digits: DataSet) -> None:
    images = [image.numpy().tobytes() for part in parts_of(digits) for image in part.x]
    assert len(images) == 1797
    assert len(set(images)) == len({image.tobytes() for image in load_digits().images})
    val, test = ({image.numpy().tobytes() for image in part.x} for part in parts_of(digits)[1:])
    train = {image.numpy().tobytes() for image in digits.train.x}
    assert len(train | val | test) == len(train) + len(val) + len(test)


def test_each_class_is_parted_alike(digits: DataSet) -> None:
    train, val, test = (torch.bincount(part.y) for part in parts_of(digits))
    whole = train + val + test
    assert torch.all((val - 0.2 * whole).abs() <= 0.5)
    assert torch.all((test - 0.2 * whole).abs() <= 0.5)


def test_images_keep_their_answers(digits: DataSet) -> None:
    bunch = load_digits()
    pixels = torch.tensor(bunch.images, dtype=torch.float32)
    low, high = digits.train.x.min(), digits.train.x.max()
    restored = ((digits.test.x - low) / (high - low) * 16).round().squeeze(1)
    for image, answer in zip(restored, digits.test.y, strict=True):
        same = (pixels == image).all(dim=(1, 2)).nonzero().flatten()
        assert int(answer) in bunch.target[same.numpy()]


def test_pixels_are_scaled_by_the_training_images(digits: DataSet) -> None:
    assert digits.train.x.mean().item() == pytest.approx(0, abs=1e-5)
    assert digits.train.x.std().item() == pytest.approx(1, abs=1e-5)
    assert digits.val.x.mean().item() != pytest.approx(0, abs=1e-5)


def test_the_split_seed_alone_decides_the_split() -> None:
    torch.manual_seed(1)
    first = Digits(split_seed=5).load()
    torch.manual_seed(2)
    second = Digits(split_seed=5, batch_size=7).load()
    other = Digits(split_seed=6).load()
    assert torch.equal(first.test.x, second.test.x)
    assert not torch.equal(first.test.x, other.test.x)


def test_another_process_gets_the_same_split() -> None:
    data = Digits(split_seed=3).load()
    here = hashlib.sha256(data.val.x.numpy().tobytes() + data.test.y.numpy().tobytes()).hexdigest()
    there = subprocess.run(
        [sys.executable, "-c", FINGERPRINT],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "77"},
    )
    assert there.stdout.strip() == here


def test_a_share_too_small_for_a_class_is_refused() -> None:
    with pytest.raises(DataError, match=r"data\.val_fraction=0\.001"):
        Digits(val_fraction=0.001).load()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"batch_size": 0}, r"data\.batch_size must be >= 1, got 0"),
        ({"split_seed": -1}, r"data\.split_seed must be in \[0, 4294967296\), got -1"),
        ({"val_fraction": 0.0}, r"data\.val_fraction must be in \(0, 1\), got 0\.0"),
        ({"test_fraction": float("nan")}, r"data\.test_fraction must be in \(0, 1\), got nan"),
        ({"val_fraction": 0.5, "test_fraction": 0.5}, r"must be < 1, got 0\.5 \+ 0\.5"),
    ],
)
def test_a_value_out_of_range_is_refused(options: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Digits(**options)  # type: ignore[arg-type]
