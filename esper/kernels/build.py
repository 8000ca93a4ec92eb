"""Build the module of a kernel with weights that are a function of one seed."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import nn

from esper.blueprint.cost import counts
from esper.kernels.kernel import RefusedError
from esper.kernels.private_rng import PrivateRng, seeded_globally
from esper.kernels.request import Request


class StrayDtypeError(RuntimeError):
    """The weights' dtype is not the requested one: torch's default changed during the build."""


def build(request: Request, *, in_background: bool = False) -> nn.Module:
    """Return a module on the requested device and of the requested dtype.

    Call it within `drawing`, which determines its weights.

    Raises:
        RefusedError: if its number of parameters differs from the measured one.
        StrayDtypeError: in the background thread, if training changed torch's default dtype.
        Exception: whatever a user's blueprint raises.
    """
    spec, cost = request.spec, request.cost
    module = request.recipe.new_kernel(spec.kind, spec.in_shape, spec.out_shape)
    parameters, trainable = counts(module)
    if (parameters, trainable) != (cost.parameters, cost.trainable):
        raise RefusedError(
            f"is not the same twice: {cost.parameters} parameters, "
            f"{cost.trainable} of them trainable, then {parameters} and {trainable}"
        )
    if in_background and not _is_drawn_as(module, request.drawn_as):
        raise StrayDtypeError(f"the weights are not {request.drawn_as}")
    return module.to(device=request.device, dtype=request.dtype)


@contextmanager
def drawing(seed: int, *, in_background: bool = False) -> Iterator[None]:
    """Make all random draws of a block a function of `seed`.

    In the background thread they come from private generators, else from the global ones, which are
    restored afterwards.  The numbers are the same.
    """
    elsewhere = torch.get_default_device().type != "cpu"
    with (
        PrivateRng(seed) if in_background else seeded_globally(seed),
        torch.device("cpu") if elsewhere else nullcontext(),
        torch.inference_mode(False),
        torch.enable_grad(),
    ):
        yield


def _is_drawn_as(module: nn.Module, dtype: torch.dtype) -> bool:
    tensors = (*module.parameters(), *module.buffers())
    return all(t.dtype is dtype for t in tensors if t.is_floating_point())
