"""Build the module of a kernel, its weights drawn from one seed, in whatever thread."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from esper.kernels.private_rng import PrivateRng, seeded_globally
from esper.kernels.request import Request


class StrayDtypeError(RuntimeError):
    """Weights are of another dtype than was asked for: torch's default changed, or was not used."""


@dataclass(frozen=True, slots=True)
class BuildMode:
    """How a kernel is built.

    privately: what it draws comes from generators of its own, in any thread; else from the global
        ones, which are put back: only in the thread that trains.
    in_background: whether the thread that trains is another one.
    """

    privately: bool
    in_background: bool = False


def build(request: Request, where: BuildMode) -> nn.Module:
    """Return a module on the device and of the dtype that were asked for.

    Call it where the module's weights are to be drawn: within `drawing`.

    Raises:
        StrayDtypeError: in the background, where torch's default dtype is another thread's.
        TypeError: if the blueprint gives no module.
        Exception: what a user's blueprint raises.
    """
    spec = request.spec
    module = request.recipe.build(spec.kind, spec.in_shape, spec.out_shape)
    if not isinstance(module, nn.Module):
        raise TypeError(f"build must give a torch.nn.Module, got {type(module).__name__}")
    if where.in_background and not _is_drawn_as(module, request.drawn_as):
        raise StrayDtypeError(f"the weights are not {request.drawn_as}")
    return module.to(device=request.device, dtype=request.dtype)


@contextmanager
def drawing(seed: int, where: BuildMode) -> Iterator[None]:
    """Make what is drawn in a block a function of `seed`, felt by nobody, on plain settings."""
    elsewhere = torch.get_default_device().type != "cpu"
    with (
        PrivateRng(seed) if where.privately else seeded_globally(seed),
        torch.device("cpu") if elsewhere else nullcontext(),
        torch.inference_mode(False),
        torch.enable_grad(),
    ):
        yield


def _is_drawn_as(module: nn.Module, dtype: torch.dtype) -> bool:
    tensors = (*module.parameters(), *module.buffers())
    return all(t.dtype is dtype for t in tensors if t.is_floating_point())
