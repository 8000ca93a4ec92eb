"""Check what a `Grower` and its `step` are given besides options and model."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

from torch.optim import Optimizer

from esper.contracts.checks import require
from esper.contracts.errors import ConfigError
from esper.contracts.metrics import TrainReport
from esper.growth.refusals import check_processes
from esper.logger.bus import EventBus


def check_arguments(*, epochs: Any, rng_seed: object, bus: object) -> None:
    """Check the arguments of a grower that are no options.

    Raises:
        ValueError: naming the argument, what it must be, and what it is.
    """
    require(_is_whole(epochs) and epochs >= 1, "epochs", "a whole number >= 1", repr(epochs))
    require(_is_whole(rng_seed), "rng_seed", "a whole number", repr(rng_seed))
    require(bus is None or isinstance(bus, EventBus), "bus", "an esper.EventBus", repr(bus))


def check_step(
    optimizer: Optimizer,
    schedulers: Sequence[Any],
    evaluate: object,
    train: object,
    trained: object,
    loss: object,
) -> None:
    """Check the arguments of a control step, and what was made after the grower.

    Raises:
        ValueError: naming the argument, what it must be, and what it is.
        ConfigError: if a scheduler was made, which will meet the kernels' groups, or if torch now
            runs with several processes.
    """
    check_processes()
    _require(callable(evaluate), "evaluate", "a function of the model", evaluate)
    for name, function in (("train", train), ("loss", loss)):
        _require(function is None or callable(function), name, "a function", function)
    is_report = trained is None or isinstance(trained, TrainReport)
    _require(is_report, "trained", "an esper.TrainReport", trained)
    if hasattr(optimizer.step, "_wrapped_by_lr_sched") and not schedulers:
        raise ConfigError(
            f"{type(optimizer).__name__} has a scheduler that was made after the grower: make the "
            "scheduler first, and pass it as schedulers=[scheduler]"
        )


def _require(valid: bool, key: str, rule: str, value: object) -> None:
    """As `require`; prints a value only if it is refused, because one can hold a data set."""
    if not valid:
        require(valid, key, rule, repr(value))


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
