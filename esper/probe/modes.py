"""Look at a model without leaving a trace on it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Keep a model in eval mode; afterwards each module has the mode again that it had.

    A user may have frozen some of them (batch norms): one mode for all would thaw them.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, was_training in modes:
            module.training = was_training


@contextmanager
def every_layer_called() -> Iterator[None]:
    """Keep torch's transformer layers from being run as one fused operator.

    Fused, they call none of their parts, count no FLOPs and pass nested tensors around.
    """
    was_enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_enabled)
