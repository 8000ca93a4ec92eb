"""Check that a host takes its data and returns a score for each class.

B batch, K classes, T positions.
"""

import torch
from torch import Tensor, nn

from esper.contracts.errors import ConfigError
from esper.probe.modes import eval_mode

_MISFITS = (AttributeError, IndexError, RuntimeError, TypeError, ValueError)
"""Errors that torch and Python raise for a tensor of the wrong shape or type."""


def check_fit(host: nn.Module, x: Tensor, answer_shape: tuple[int, ...]) -> None:
    """Refuse a host that has no trainable weight or returns the wrong shape; does not change it.

    Args:
        host: the network.
        x: a batch of samples.
        answer_shape: (B, K), or (B, T, K) for tokens.

    Raises:
        ConfigError: its message describes the mismatch.
    """
    if not any(parameter.requires_grad for parameter in host.parameters()):
        raise ConfigError(f"the model ({type(host).__name__}) has no weight that can be trained")
    sample = tuple(x.shape)
    with eval_mode(host), torch.no_grad():
        try:
            scores = host(x)
        except _MISFITS as error:
            raise ConfigError(
                f"the model ({type(host).__name__}) does not take a batch of shape {sample}: "
                f"{type(error).__name__}: {error} (ESPER_DEBUG=1 shows where)"
            ) from error
    given = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
    if given != answer_shape:
        raise ConfigError(
            f"the model ({type(host).__name__}) must give scores of shape {answer_shape}, the last "
            f"a number for each class, for a batch of shape {sample}, gives {given}"
        )
