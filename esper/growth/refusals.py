"""Refuse models, inputs and optimizers that cannot grow, by name, before anything is attached."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from esper.contracts.errors import ConfigError
from esper.growth.param_groups import optimizer_of

_PARALLEL = ("DistributedDataParallel", "FullyShardedDataParallel", "FSDPModule")
"""Classes of torch that keep the same network in several processes."""
_COMPILED = "OptimizedModule"
"""Class of a module under `torch.compile`."""


def check_model(model: object) -> None:
    """Refuse what is no module, runs in several processes, is scripted, or is compiled in parts.

    Raises:
        ConfigError: naming the module.
    """
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model must be an nn.Module, got a {type(model).__name__}")
    for name, module in model.named_modules():
        where = f"its module '{name}'" if name else "the model"
        kinds = _kinds_of_torch(module)
        for kind in _PARALLEL:
            if kind in kinds:
                raise ConfigError(
                    f"{where} is a {kind}: processes would grow different kernels and diverge "
                    "(wanted: a model in one process)"
                )
        if isinstance(module, torch.jit.ScriptModule):
            raise ConfigError(
                f"{where} is a scripted module ({type(module).__name__}), which takes no kernels "
                "(wanted: the nn.Module that it was made of)"
            )
        if name and _COMPILED in kinds:
            raise ConfigError(
                f"{where} is under torch.compile by itself, and would run without its kernels "
                "(wanted: no compiled parts; torch.compile the whole model instead)"
            )
    check_processes()


def check_processes() -> None:
    """Refuse to grow in one of several processes.

    Raises:
        ConfigError: naming their number.
    """
    distributed = torch.distributed
    is_running = distributed.is_available() and distributed.is_initialized()
    num = distributed.get_world_size() if is_running else 1
    if num > 1:
        raise ConfigError(
            f"torch.distributed runs with {num} processes, whose networks would grow different "
            "kernels and diverge (wanted: one process)"
        )


def check_example(example_input: object) -> None:
    """Refuse an example input that is not one tensor with at least one sample.

    Raises:
        ConfigError: naming what it is.
    """
    if not isinstance(example_input, Tensor):
        raise ConfigError(
            f"example_input must be one tensor, a batch for model(example_input), got a "
            f"{type(example_input).__name__} (wrap a model that takes something else)"
        )
    if example_input.dim() == 0 or len(example_input) == 0:
        raise ConfigError(
            "example_input must be a batch of at least one sample, got a tensor of shape "
            f"{tuple(example_input.shape)}"
        )


def check_optimizer(optimizer: object, schedulers: Sequence[object]) -> None:
    """Refuse what is no optimizer of torch, and schedulers of others.

    Raises:
        ConfigError: naming what it is.
    """
    if not isinstance(optimizer, Optimizer):
        raise ConfigError(
            f"optimizer must be a torch.optim.Optimizer, got a {type(optimizer).__name__}"
        )
    for scheduler in schedulers:
        kind = type(scheduler).__name__
        if not isinstance(scheduler, LRScheduler):
            raise ConfigError(f"schedulers must be learning rate schedulers of torch, got a {kind}")
        if optimizer_of(scheduler) is not optimizer:
            raise ConfigError(f"schedulers must be the optimizer's own, got a {kind} of another")


def check_owner(optimizer: Optimizer, model: nn.Module) -> None:
    """Refuse an optimizer of another model, or of more than the model.

    Raises:
        ConfigError: saying how many of its parameters are foreign.
    """
    own = {id(parameter) for parameter in model.parameters()}
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    num_foreign = sum(each not in own for each in held)
    if num_foreign == len(held):
        raise ConfigError(
            f"the optimizer is of another model: none of its {len(held)} parameters is in "
            f"{type(model).__name__}"
        )
    if num_foreign:
        raise ConfigError(
            f"{num_foreign} of the optimizer's {len(held)} parameters are not in "
            f"{type(model).__name__} (wanted: an optimizer of this model alone)"
        )


def _kinds_of_torch(module: nn.Module) -> set[str]:
    """Return the names of a module's classes that torch defines, without importing them."""
    return {kind.__name__ for kind in type(module).__mro__ if kind.__module__.startswith("torch.")}
