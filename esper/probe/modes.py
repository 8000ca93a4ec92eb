"""Context managers that set a mode for a block and restore it afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from esper.probe.modules import modules_of


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Put a model in eval mode for a block, then restore the mode of each module.

    `model.train()` would also change modules that a user keeps in eval mode, such as batch norms.
    """
    modes = [(module, module.training) for module in modules_of(model)]
    model.eval()
    try:
        yield
    finally:
        for module, was_training in modes:
            module.training = was_training


@contextmanager
def every_layer_called() -> Iterator[None]:
    """Prevent torch from running a transformer layer as one fused operator.

    A fused layer calls no submodules, counts no FLOPs and returns nested tensors.
    """
    was_enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_enabled)
