import json
import math
import struct
from collections import OrderedDict, namedtuple
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from safetensors.torch import load, save
from torch import nn

from esper.checkpoint.tree import join, split
from tests.unit.checkpoint.trees import DTYPES, bits, tensor_of, trees

Point = namedtuple("Point", "x")


class Colour(StrEnum):
    RED = "red"


class Size(IntEnum):
    SMALL = 1


def refuse(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def through_bytes(tree: Any) -> Any:
    """Return a tree as it comes back from JSON and safetensors."""
    plain, tensors = split(tree)
    text = json.dumps(plain, allow_nan=False)
    return join(json.loads(text, parse_constant=refuse), load(save(tensors)))


@given(trees())
@settings(max_examples=300)
def test_a_tree_comes_back_to_the_bit(tree: Any) -> None:
    assert bits(through_bytes(tree)) == bits(tree)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (5,), (2, 3)], ids=str)
def test_a_tensor_of_any_type_and_shape_comes_back(
    dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    tensor = tensor_of(dtype, shape)
    assert bits(through_bytes({"a": tensor})) == bits({"a": tensor})


@pytest.mark.parametrize(
    "number",
    [
        *(math.nan, struct.unpack(">d", bytes.fromhex("7ff8000000000001"))[0]),
        *(math.inf, -math.inf, -0.0, 0.1 + 0.2, 5e-324, 1.7976931348623157e308),
    ],
)
def test_a_float_comes_back_to_the_bit(number: float) -> None:
    assert struct.pack(">d", through_bytes(number)) == struct.pack(">d", number)


@pytest.mark.parametrize(
    "tree",
    [
        {"$": ["tuple", []]},
        {"$": ["tensor", "0000:a"], "b": torch.ones(1)},
        {"$": {"$": {"$": None}}},
        {"a": [{"$": ("tuple", [(), [()]])}]},
        {"tensor": "tensor", "float": "nan"},
        {"\udcff": "\udcff", "\U0001f600": 1},
        [-(2**1024), 2**1024 - 1, 2**64],
        [True, 1, 1.0, "1", None],
    ],
)
def test_what_looks_like_the_notation_itself_survives(tree: Any) -> None:
    assert bits(through_bytes(tree)) == bits(tree)


def test_the_order_of_keys_is_kept() -> None:
    assert list(through_bytes({"b": 1, "a": 2, "$": 3, "0": 4})) == ["b", "a", "$", "0"]


def test_a_tensor_that_occurs_twice_is_stored_once_and_shares_its_memory_again() -> None:
    weight = torch.arange(4.0).reshape(2, 2)
    parts = {"transposed": weight.t(), "first": weight[0], "second": weight[1]}
    plain, tensors = split({"a": weight, "b": [weight.detach()], **parts})
    assert len(tensors) == 4, "other strides, shapes and offsets make other tensors"
    found = join(plain, tensors)
    found["a"].zero_()
    assert found["b"][0].tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert found["transposed"].tolist() == [[0.0, 2.0], [1.0, 3.0]]
    assert found["first"].tolist() == [0.0, 1.0]
    assert found["second"].tolist() == [2.0, 3.0]


def test_tensors_with_the_same_values_in_other_memory_stay_two() -> None:
    found = through_bytes([torch.zeros(2), torch.zeros(2)])
    found[0].add_(1.0)
    assert found[1].tolist() == [0.0, 0.0]


def test_joined_tensors_are_new_contiguous_and_aligned() -> None:
    # In a file the values start after a header of any multiple of 8 bytes, here 8 too far.
    memory = torch.arange(100.0)
    unaligned = memory[2:42].reshape(8, 5).t()
    assert unaligned.data_ptr() % 64 == 8
    found = join({"a": {"$": ["tensor", "x"]}}, {"x": unaligned})["a"]
    assert torch.equal(found, unaligned)
    assert found.is_contiguous()
    assert found.data_ptr() % 64 == 0
    assert found.untyped_storage().nbytes() == 40 * 4


def test_a_split_tree_is_a_copy_of_that_moment() -> None:
    tree = {"weight": torch.zeros(2), "losses": [1.0]}
    plain, tensors = split(tree)
    tree["weight"].add_(5.0)  # type: ignore[attr-defined]
    tree["losses"].append(2.0)  # type: ignore[attr-defined]
    assert bits(join(plain, tensors)) == bits({"weight": torch.zeros(2), "losses": [1.0]})


def test_a_parameter_comes_back_as_its_values() -> None:
    found = through_bytes({"a": nn.Parameter(torch.ones(2)), "b": torch.ones(1).requires_grad_()})
    assert [type(tensor) for tensor in found.values()] == [torch.Tensor] * 2
    assert not any(tensor.requires_grad for tensor in found.values())


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_the_conjugate_and_the_negative_of_a_tensor_are_stored_as_such(dtype: torch.dtype) -> None:
    z = torch.tensor([1 + 2j], dtype=dtype)
    tree = {"z": z, "conjugate": z.conj(), "imaginary": z.imag, "negative": z.conj().imag}
    found = through_bytes(tree)
    assert found["conjugate"].tolist() == [1 - 2j]
    assert found["negative"].tolist() == [-2.0]
    assert bits(found) == bits(tree)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_a_tensor_of_an_accelerator_is_stored_from_the_cpu() -> None:
    found = through_bytes({"a": torch.arange(3.0, device="cuda")})
    assert bits(found) == bits({"a": torch.arange(3.0)})


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"host": {"slots": [0, Colour.RED]}}, "host/slots/1: cannot save a .*Colour"),
        ({"host": (Size.SMALL,)}, "host/0: cannot save a .*Size"),
        (np.float64(1.0), "the whole tree: cannot save a numpy.float64"),
        ({"a": np.zeros(1)}, "a: cannot save a numpy.ndarray"),
        ({"a": OrderedDict()}, "a: cannot save a collections.OrderedDict"),
        ({"a": Point(1)}, "a: cannot save a .*Point"),
        ({"a": {1, 2}}, "a: cannot save a builtins.set"),
        ({"a": b""}, "a: cannot save a builtins.bytes"),
        ({"a": Path()}, "a: cannot save a pathlib"),
        ({"a": {"$": [object()]}}, r"a/\$/0: cannot save a builtins.object"),
        ({"a": {1: 2}}, "a: cannot save the key 1, a int"),
        ({"a": {Colour.RED: 2}}, "a: cannot save the key .*, a Colour"),
        ({"a": torch.eye(2).to_sparse()}, "a: cannot save this tensor .*sparse_coo"),
        ({"a": torch.zeros(2, device="meta")}, "a: cannot save this tensor .*meta"),
    ],
)
def test_anything_else_is_refused_by_its_place(tree: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        split(tree)


def test_a_tree_that_holds_itself_is_refused() -> None:
    tree: list[Any] = []
    tree.append(tree)
    with pytest.raises(TypeError, match="nested so deeply, or holds itself"):
        split(tree)


@pytest.mark.parametrize(
    "plain",
    [
        {"$": 3},
        {"$": []},
        {"$": ["list", []]},
        {"$": ["tuple", []], "a": 1},
        {"$": ["tuple", 5]},
        {"$": ["tensor", "b"]},
        {"$": ["tensor"]},
        {"$": ["complex", "a"]},
        {"$": ["float", "x"]},
        {"$": ["float", "7ff8"]},
        {"$": ["float", 5]},
        {"$": ["dict", [["a"]]]},
        {"$": ["dict", [[[], 1]]]},
    ],
)
def test_a_broken_notation_is_refused(plain: Any) -> None:
    with pytest.raises(ValueError, match="of a saved tree"):
        join([plain], {"a": torch.zeros(16, dtype=torch.uint8)})
