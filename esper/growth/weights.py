"""Start a host from the weights of a trained network."""

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from esper.contracts.errors import ConfigError
from esper.growth.attach import BANK

_KEY = "model.weights"
_SHOWN = 3


def load_weights(host: nn.Module, path: str) -> None:
    """Load the weights of a file, of the architecture of the host, into the host.

    The file is a state dict: safetensors, or what `torch.save` wrote of tensors alone.

    Raises:
        ConfigError: if it cannot be read, or does not fit the host; which then stays as it was.
    """
    state, own = _read(path), host.state_dict()
    kernels = [name for name in state if BANK in name.split(".")]
    if kernels:
        raise ConfigError(
            f"{_KEY}={path}: it is a network with kernels ({kernels[0]}); only the weights of a "
            "bare host can be started from"
        )
    for what, names in (("lacks", own.keys() - state.keys()), ("has", state.keys() - own.keys())):
        if names:
            where = "which the model has" if what == "lacks" else "which the model has not"
            raise ConfigError(f"{_KEY}={path}: it {what} {_some(sorted(names))}, {where}")
    for name, tensor in own.items():
        if state[name].shape != tensor.shape:
            raise ConfigError(
                f"{_KEY}={path}: {name} is of shape {tuple(state[name].shape)}, the model's of "
                f"{tuple(tensor.shape)}"
            )
    host.load_state_dict(state)


def _read(path: str) -> dict[str, Tensor]:
    file = Path(path).expanduser()
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError, ValueError, EOFError) as error:
        raise ConfigError(f"{_KEY}={path}: it cannot be read ({_line(error)})") from error
    except pickle.UnpicklingError as error:
        raise ConfigError(f"{_KEY}={path}: it holds more than tensors") from error
    is_state = isinstance(state, dict) and all(isinstance(v, Tensor) for v in state.values())
    if not is_state:
        raise ConfigError(f"{_KEY}={path}: it is no state dict, names with their tensors")
    return dict(state)


def _some(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} others" if rest > 0 else "")


def _line(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(text.split())[:120]
