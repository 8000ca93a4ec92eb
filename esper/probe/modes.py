"""Contexts in which a model can be run and is the same afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Put a model in eval mode; afterwards each module has its own mode again.

    `model.train()` would not do: a user may keep some modules, such as batch norms, in eval mode.
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
    """Keep torch from running a transformer layer as one fused operator.

    A fused layer calls none of its submodules, counts no FLOPs and returns nested tensors.
    """
    was_enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_enabled)
