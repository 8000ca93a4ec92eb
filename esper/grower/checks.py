"""Check what a `Grower` and its `step` are given besides options and model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from esper.attribution.evaluation import Evaluate
from esper.attribution.first_order import Loss
from esper.attribution.health import Probe
from esper.attribution.twin import Train
from esper.contracts.budget import AUTO
from esper.contracts.checks import is_whole, require
from esper.contracts.decision import Adaptation, Decision, Refusal
from esper.contracts.errors import ConfigError
from esper.contracts.metrics import TrainReport
from esper.growth.host import Host
from esper.growth.inputs import BatchSize
from esper.growth.refusals import check_processes
from esper.logger.bus import EventBus
from esper.probe.tensors import weights_norm


@dataclass(frozen=True, slots=True)
class StepInputs:
    """The arguments of a control step, see `Grower.step`."""

    evaluate: Evaluate
    train: Train | None = None
    trained: TrainReport = field(default_factory=TrainReport)
    loss: Loss | None = None
    probe: Probe | None = None


def check_arguments(*, epochs: Any, rng_seed: object, bus: object) -> None:
    """Check the arguments of a grower that are no options.

    Raises:
        ValueError: naming the argument, what it must be, and what it is.
    """
    valid = epochs == AUTO or (is_whole(epochs) and epochs >= 1)
    require(valid, "epochs", "a whole number >= 1, or 'auto'", repr(epochs))
    require(is_whole(rng_seed), "rng_seed", "a whole number", repr(rng_seed))
    require(bus is None or isinstance(bus, EventBus), "bus", "an esper.EventBus", repr(bus))


def check_step(optimizer: Optimizer, schedulers: Sequence[Any], given: StepInputs) -> None:
    """Check the arguments of a control step, and what was made after the grower.

    Raises:
        ValueError: naming the argument, what it must be, and what it is.
        ConfigError: if a scheduler was made, which will meet the kernels' groups, or if torch now
            runs with several processes.
    """
    check_processes()
    _require(callable(given.evaluate), "evaluate", "a function of the model", given.evaluate)
    for name, function in (("train", given.train), ("loss", given.loss)):
        _require(function is None or callable(function), name, "a function", function)
    is_report = isinstance(given.trained, TrainReport)
    _require(is_report, "trained", "an esper.TrainReport", given.trained)
    if hasattr(optimizer.step, "_wrapped_by_lr_sched") and not schedulers:
        raise ConfigError(
            f"{type(optimizer).__name__} has a scheduler that was made after the grower: make the "
            "scheduler first, and pass it as schedulers=[scheduler]"
        )


def split(
    decisions: Sequence[Decision], *, can_widen: bool
) -> tuple[list[Decision], Decision | None, list[Decision | Refusal]]:
    """Return the decisions about seeds, that to widen the host, and what to tell of refused ones.

    The latter is told by whoever carries it out.
    """
    widens = [each for each in decisions if each.adaptation is Adaptation.WIDEN]
    others = [each for each in decisions if each.adaptation is not Adaptation.WIDEN]
    if can_widen or not widens:
        return others, next(iter(widens), None), []
    reason = "only a run of esper train can make its host wider"
    told = [(each, Refusal(rule="widen", reason=reason, decision=each)) for each in widens]
    return others, None, [each for pair in told for each in pair]


def check_fresh(epoch: int) -> None:
    """Raise ValueError if a grower at `epoch` has taken a step, so that no state can be loaded."""
    if epoch:
        raise ValueError(f"a state is loaded into a fresh grower, this one is at {epoch}")


def check_open(epoch: int, epochs: int, *, is_read_out: bool) -> None:
    """Check that a step may follow `epoch`.

    Raises:
        ValueError: if the budget is over, or the network was read out.
    """
    if epoch >= epochs:
        raise ValueError(f"the budget of {epochs} epochs is over")
    if is_read_out:
        raise ValueError(f"the network was read out after epoch {epoch}: growth is over")


def check_trained(host: Host, batch_size: BatchSize) -> None:
    """Check how the network was trained since the last control step.

    Raises:
        ValueError: if it was trained by another optimizer, or was not in train mode.
    """
    kind = type(host.optimizer).__name__
    # Weights that are not finite are the governor's: such a loop may have skipped its steps.
    if not host.steps_in_epoch and weights_norm(host.model) not in (host.begun_with, math.inf):
        raise ValueError(
            f"the weights changed since the last control step, but the {kind} that the grower was "
            "given took no step: train with it"
        )
    if batch_size.is_in_eval_mode:
        raise ValueError(
            "the model was trained in eval mode, in which no kernel learns: call model.train(), "
            "and eval() of those parts alone that shall stay as they are"
        )


def check_finite(losses_N: Tensor, epoch: int) -> None:
    """Check the losses before `epoch` 1; those of a network that diverged are not finite at all.

    Raises:
        ValueError: if some losses are finite and others are not.
    """
    if epoch:
        return
    (broken,) = torch.nonzero(~losses_N.isfinite(), as_tuple=True)
    if 0 < len(broken) < len(losses_N):
        index = int(broken[0])
        raise ValueError(
            f"evaluate must return finite losses, got {float(losses_N[index])} for sample {index} "
            f"({len(broken)} of {len(losses_N)} are not finite)"
        )


def _require(valid: bool, key: str, rule: str, value: object) -> None:
    """As `require`; prints a value only if it is refused, because one can hold a data set."""
    if not valid:
        require(valid, key, rule, repr(value))
