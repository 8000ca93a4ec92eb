"""Evaluate a network by its per-sample losses on the decision-validation split."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from esper.growth.bank import guarded
from esper.probe.modes import eval_mode
from esper.probe.rng_state import RngState, restored

Evaluate = Callable[[nn.Module], Any]
"""Takes a model; returns per-sample losses (N,), or those and per-sample hits (N,) in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of a network on the decision-validation split.  N samples.

    losses_N: loss of each sample, float64.
    hits_N: share of right answers of each sample, in [0, 1], float64; None if not given.
    """

    losses_N: Tensor
    hits_N: Tensor | None

    @property
    def loss(self) -> float:
        """Mean loss."""
        return float(self.losses_N.mean())

    @property
    def accuracy(self) -> float | None:
        """Share of right answers in [0, 1]; None without hits."""
        return None if self.hits_N is None else float(self.hits_N.mean())


def evaluate_model(evaluate: Evaluate, model: nn.Module) -> Evaluation:
    """Return the scores of `model`, in eval mode and without a graph.

    A kernel that fails is left out and logged; the caller reports the failures.

    Raises:
        ValueError: if `evaluate` does not return one loss for each sample.
    """
    with eval_mode(model), guarded(model), torch.no_grad():
        scores = evaluate(model)
    losses, hits = scores if isinstance(scores, tuple) and len(scores) == 2 else (scores, None)
    _check_real(losses)
    losses_N = _numbers(losses, scores)
    if losses_N.dim() != 1 or len(losses_N) < 2:
        is_column = losses_N.dim() == 2 and losses_N.shape[1] == 1
        raise ValueError(
            "evaluate must return one loss per sample, a 1-d tensor of at least 2 "
            f"(reduction='none'), got shape {tuple(losses_N.shape)}"
            + (": return losses.squeeze(1)" if is_column else "")
        )
    if hits is None:
        return Evaluation(losses_N, None)
    hits_N = _numbers(hits, scores)
    if hits_N.shape != losses_N.shape:
        raise ValueError(
            f"evaluate must return a hit for every loss, got {tuple(hits_N.shape)} hits for "
            f"{tuple(losses_N.shape)} losses"
        )
    wrong = hits_N[~((hits_N >= 0) & (hits_N <= 1))]
    if len(wrong) > 0:
        raise ValueError(f"evaluate must return hits in [0, 1], got {float(wrong[0])}")
    return Evaluation(losses_N, hits_N)


def _check_real(losses: Any) -> None:
    """Raise ValueError if losses are truths or whole numbers, as hits are."""
    try:
        dtype = torch.as_tensor(losses).dtype
    except (RuntimeError, TypeError, ValueError):
        return  # `_numbers` says what is wrong
    if not dtype.is_floating_point:
        raise ValueError(
            f"evaluate must return losses as floating-point numbers, got {dtype}: these look like "
            "hits or counts (wanted: losses, or the pair (losses, hits))"
        )


def _numbers(values: Any, scores: Any) -> Tensor:
    try:
        return torch.as_tensor(values).detach().to("cpu", torch.float64)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            "evaluate must return losses, or the pair (losses, hits), each one number per sample, "
            f"got {type(scores).__name__}"
        ) from error


def repeatable(evaluate: Evaluate) -> Evaluate:
    """Return an `evaluate` that starts each call from the present global random state.

    Networks are compared sample by sample, so that random draws must be equal for all of them.
    The calls do not change the global random state.
    """
    now = RngState.now()

    def again(model: nn.Module) -> Any:
        with restored(now):
            return evaluate(model)

    return again
