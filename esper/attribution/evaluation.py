"""Per-sample losses of a network, and the comparison of two networks on the same samples."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from esper.growth.attach import bank_of
from esper.growth.host import Host
from esper.probe.modes import eval_mode
from esper.probe.rng_state import RngState, restored

Evaluate = Callable[[nn.Module], Any]
"""Takes a model; returns per-sample losses (N,), or those and per-sample hits (N,) in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a network scored on the decision-validation split.  N samples.

    losses_N: loss of each sample, float64.  hits_N: share answered rightly, None when not given.
    """

    losses_N: Tensor
    hits_N: Tensor | None

    @property
    def loss(self) -> float:
        """Mean loss."""
        return float(self.losses_N.mean())

    @property
    def accuracy(self) -> float | None:
        """Share of right answers in [0, 1]; None when hits were not given."""
        return None if self.hits_N is None else float(self.hits_N.mean())


def evaluate_model(evaluate: Evaluate, model: nn.Module) -> Evaluation:
    """Return what `model` scores, in eval mode and without a graph.

    Raises:
        ValueError: if `evaluate` does not give one loss a sample.
    """
    with eval_mode(model), torch.no_grad():
        given = evaluate(model)
    losses, hits = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
    losses_N = _numbers(losses, given)
    if losses_N.dim() != 1 or len(losses_N) < 2:
        raise ValueError(
            "evaluate must return one loss per sample, a 1-d tensor of at least 2 "
            f"(reduction='none'), got shape {tuple(losses_N.shape)}"
        )
    if hits is None:
        return Evaluation(losses_N, None)
    hits_N = _numbers(hits, given)
    if hits_N.shape != losses_N.shape:
        raise ValueError(
            f"evaluate must return a hit for every loss, got {tuple(hits_N.shape)} hits for "
            f"{tuple(losses_N.shape)} losses"
        )
    if not bool(((hits_N >= 0) & (hits_N <= 1)).all()):
        wrong = hits_N[~((hits_N >= 0) & (hits_N <= 1))][0]
        raise ValueError(f"evaluate must return hits in [0, 1], got {float(wrong)}")
    return Evaluation(losses_N, hits_N)


def _numbers(values: Any, given: Any) -> Tensor:
    try:
        return torch.as_tensor(values).detach().to("cpu", torch.float64)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            "evaluate must return losses, or the pair (losses, hits), each one number per sample, "
            f"got {type(given).__name__}"
        ) from error


def repeatable(evaluate: Evaluate) -> Evaluate:
    """Return an `evaluate` that finds the global generators, each time, as they are now.

    Networks are compared sample by sample, so one that draws or shuffles must draw the same for
    all; and what is evaluated for comparison must not move the generators of the run.
    """
    now = RngState.now()

    def again(model: nn.Module) -> Any:
        with restored(now):
            return evaluate(model)

    return again


def evaluate_muted(evaluate: Evaluate, host: Host, slot: str, seed: int) -> Evaluation:
    """Return what a host scores while one of its seeds is left out."""
    bank = bank_of(host.slots[slot].module)
    assert bank is not None, "only a seed with a kernel can be muted"
    bank.muted.add(str(seed))
    try:
        return evaluate_model(evaluate, host.model)
    finally:
        bank.muted.discard(str(seed))
