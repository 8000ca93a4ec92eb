"""Trees to save, a comparison to the bit, and rotations that have saved some epochs."""

import struct
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from esper.checkpoint.format import MANIFEST, STATE, TENSORS, read
from esper.checkpoint.rotation import CheckpointRotation

TREE = {"weight": torch.arange(6.0).reshape(2, 3), "losses": [0.5, float("nan")], "at": (1, 2)}
FACTS = {"epoch": 3, "val_loss": float("inf"), "rng_seed": 2**70}
NAMES = (TENSORS, STATE, MANIFEST)
DTYPES = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.complex64, torch.complex128),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.bool),
    *(torch.uint64, torch.uint32, torch.uint16, torch.uint8),
    *(torch.float8_e4m3fn, torch.float8_e5m2),
)


def tensor_of(dtype: torch.dtype, shape: tuple[int, ...], rng_seed: int = 0) -> Tensor:
    """Return a tensor of random bits, including NaNs of every kind."""
    num_bytes = torch.tensor([], dtype=dtype).element_size() * torch.Size(shape).numel()
    generator = torch.Generator().manual_seed(rng_seed)
    highest = 2 if dtype == torch.bool else 256
    raw = torch.randint(0, highest, (num_bytes,), dtype=torch.uint8, generator=generator)
    return raw.view(dtype).reshape(shape)


def bits(tree: Any) -> Any:
    """Return a value that is equal only for trees of the same types, order and bits."""
    match tree:
        case dict():
            return dict, [(key, bits(item)) for key, item in tree.items()]
        case list() | tuple():
            return type(tree), [bits(item) for item in tree]
        case Tensor():
            dense = tree.detach().resolve_conj().resolve_neg()
            dense = dense.clone(memory_format=torch.contiguous_format)
            return (
                tree.dtype,
                tuple(tree.shape),
                bytes(dense.reshape(-1).view(torch.uint8).tolist()),
            )
        case float():
            return float, struct.pack(">d", tree)
        case _:
            return type(tree), tree


def tensors() -> st.SearchStrategy[Tensor]:
    """Return tensors of every dtype, including 0-dimensional, empty, strided and expanded ones."""
    shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)
    views = st.sampled_from(
        [
            lambda tensor: tensor,
            lambda tensor: tensor.transpose(0, -1) if tensor.dim() else tensor,
            lambda tensor: tensor[::2] if tensor.dim() else tensor,
            lambda tensor: tensor.expand(2, *tensor.shape),
        ]
    )
    made = st.builds(tensor_of, st.sampled_from(DTYPES), shapes, st.integers(0, 99))
    return st.builds(lambda view, tensor: view(tensor), views, made)


def trees() -> st.SearchStrategy[Any]:
    """Return trees of all values that can be saved."""
    keys = st.sampled_from(["$", "tensor", "a", ""]) | st.text(max_size=4)
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        keys,
        tensors(),
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.lists(inner, max_size=4).map(tuple),
            st.dictionaries(keys, inner, max_size=4),
        ),
        max_leaves=12,
    )


def tree_of(epoch: int) -> dict[str, Any]:
    return {"weight": torch.full((3,), float(epoch)), "losses": [0.5] * epoch}


def keeper_of(folder: Path, *epochs: int, best: tuple[int, ...] = ()) -> CheckpointRotation:
    """Return a rotation that has saved these epochs."""
    keeper = CheckpointRotation(folder / "checkpoints")
    for epoch in epochs:
        keeper.save(tree_of(epoch), {"epoch": epoch}, is_best=epoch in best)
    return keeper


def kept(keeper: CheckpointRotation) -> dict[str, int]:
    """Return the epoch of the checkpoint in each folder, after checking all of its files."""
    epochs = {}
    for folder in keeper.folder.iterdir():
        saved = read(folder)
        assert bits(saved.tree) == bits(tree_of(saved.facts["epoch"]))
        epochs[folder.name] = saved.facts["epoch"]
    return epochs


def damage(folder: Path) -> None:
    content = bytearray((folder / TENSORS).read_bytes())
    content[-1] ^= 1
    (folder / TENSORS).write_bytes(content)
