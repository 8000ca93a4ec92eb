"""The key of a verdict: everything that it is a function of, as plain values."""

import hashlib
import inspect
import json
import platform
import sys
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import torch

import esper
from esper.blueprint.base import Blueprint
from esper.kernels.request import Request, is_built_in

Key = dict[str, Any]
FORMAT = "esper-kernel-1"

_JUDGES = ("build.py", "private_rng.py", "validate.py")
"""The files of this folder that a verdict depends on."""


def key_of(request: Request) -> Key | None:
    """Return the key of a request's kind; None where its blueprint's source cannot be had.

    Threads and instruction set are among what decides the last digit of a measured gradient.
    """
    recipe, spec = request.recipe, request.spec
    source = "esper" if is_built_in(recipe) else source_digest(recipe)
    if source is None:
        return None
    return {
        "blueprint": recipe.name,
        "version": recipe.version,
        "source": source,
        "kind": str(spec.kind),
        "placement": str(spec.placement),
        "in_shape": list(spec.in_shape),
        "out_shape": list(spec.out_shape),
        "drawn_as": str(request.drawn_as),
        "dtype": str(request.dtype),
        "device": _device(request.device),
        "threads": torch.get_num_threads(),
        **environment(),
    }


@cache
def environment() -> Key:
    """Return what of a key is the same for all requests: versions, code and machine."""
    return {
        "format": FORMAT,
        "esper": esper.__version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "code": _code_digest(),
        "capability": torch.backends.cpu.get_cpu_capability(),
    }


def digest(key: Key) -> str:
    """Return a name for a key, as hexadecimal digits."""
    return checksum(key)


def checksum(value: Any) -> str:
    """Return the SHA-256 of plain values, whatever the order of their keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def source_digest(recipe: Blueprint) -> str | None:
    """Return a digest of the module that a user's blueprint is written in.

    None where it cannot be had, or where `build` depends on more than its source: on variables
    that it closes over, on defaults, or on the object that it is called on.
    """
    build = recipe.build
    is_plain = inspect.isfunction(build) and not (
        build.__closure__ or build.__defaults__ or build.__kwdefaults__
    )
    module = sys.modules.get(build.__module__) if is_plain else None
    if module is None:
        return None
    try:
        source = inspect.getsource(module)
    except (OSError, TypeError):
        return None
    return hashlib.sha256(source.encode()).hexdigest()


def _device(device: torch.device) -> str:
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    return device.type


@cache
def _code_digest() -> str:
    """Return a digest of Esper's own code that a verdict depends on."""
    here = files("esper.kernels")
    sources = [
        *_python_files(files("esper.blueprint")),
        *(here.joinpath(name) for name in _JUDGES),
    ]
    texts = [path.read_bytes() for path in sorted(sources, key=lambda path: path.name)]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()


def _python_files(folder: Traversable) -> list[Traversable]:
    return [path for path in folder.iterdir() if path.name.endswith(".py")]
