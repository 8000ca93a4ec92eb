"""Learn on from settled trials: what a network expected of a kernel, and what that brought.

    predicted = TEMPERATURE * (rank of the offer - rank of waiting)
    measured  = gain that lasts - gain that was asked
    loss      = mean of huber(predicted - measured, NOISE)

Each pass over the trials is validated on others that were left out, and taken back if it does not
predict them better.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from esper.contracts.errors import DataError
from esper.learning.options import PPO
from esper.learning.ppo import optimizer_of
from esper.learning.reading import Reading
from esper.learning.situation import WAIT, collate

LEAST_TRIALS = 10
"""Fewest trials that are learned from."""
MOST_PASSES = 30
LEFT_OUT = 4
"""One of so many runs is left out; of a single run one of so many trials."""
NOISE = 0.1
"""Errors, in log loss, above which they count linearly: what single trials differ by."""


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """A settled trial.

    run: that it is of.
    gain: that lasts, in log loss.
    """

    run: str
    reading: Reading
    gain: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledReport:
    """What was learned.

    trials, left_out: learned from, and validated on.
    passes: that were kept.
    error_before, error_after: root mean squared error on those left out, in log loss.
    """

    trials: int
    left_out: int
    passes: int
    error_before: float
    error_after: float


def check_number(trials: Sequence[Settled]) -> None:
    """Raise DataError if there are too few trials to learn from."""
    if len(trials) < LEAST_TRIALS:
        raise DataError(
            f"store: a network learns from at least {LEAST_TRIALS} settled trials that a network "
            f"asked for beside the same gain model, this has {len(trials)}"
        )


def learn_settled(
    net: nn.Module, trials: Sequence[Settled], options: PPO, scale: float, seed: int
) -> SettledReport:
    """Improve a network by settled trials; return what it did.

    Args:
        net: changed only where that predicts the trials left out better.
        trials: in the order of the store.
        options: rate, weight decay, batch size and gradient limit.
        scale: log loss of a logit.
        seed: draws the order of the trials.

    Raises:
        DataError: if there are too few.
    """
    check_number(trials)
    left_out = _left_out(trials)
    learned = [each for each, out in zip(trials, left_out, strict=True) if not out]
    judged = [each for each, out in zip(trials, left_out, strict=True) if out]
    generator = torch.Generator().manual_seed(seed)
    optimizer = optimizer_of(net, options)
    before = after = _error(net, judged, scale)
    passes = 0
    while passes < MOST_PASSES:
        kept = copy.deepcopy(net.state_dict())
        order = torch.randperm(len(learned), generator=generator)
        for rows in torch.split(order, options.batch_size):
            part = [learned[row] for row in rows.tolist()]
            differences = _predicted(net, part, scale) - _measured(part)
            optimizer.zero_grad()
            loss = functional.huber_loss(differences, torch.zeros_like(differences), delta=NOISE)
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(net.parameters(), options.gradient_limit)
            optimizer.step()
        error = _error(net, judged, scale)
        if not error < after:
            net.load_state_dict(kept)
            break
        after, passes = error, passes + 1
    return SettledReport(
        trials=len(learned),
        left_out=len(judged),
        passes=passes,
        error_before=before,
        error_after=after,
    )


def _left_out(trials: Sequence[Settled]) -> list[bool]:
    """Return which trials are left out: those of every fourth run.

    Where these are less than an eighth of all trials, or more than half, it is every fourth trial.
    """
    runs = list(dict.fromkeys(each.run for each in trials))
    out = {run for place, run in enumerate(runs) if place % LEFT_OUT == 1}
    left_out = [each.run in out for each in trials]
    if len(trials) / 8 <= sum(left_out) <= len(trials) / 2:
        return left_out
    return [place % LEFT_OUT == LEFT_OUT - 1 for place in range(len(trials))]


def _predicted(net: nn.Module, trials: Sequence[Settled], scale: float) -> Tensor:
    ranks: Tensor = net(collate([each.reading.situation for each in trials])).ranks
    return scale * (ranks[:, 1] - ranks[:, WAIT])


def _measured(trials: Sequence[Settled]) -> Tensor:
    return torch.tensor([each.gain - each.reading.asked for each in trials])


@torch.no_grad()
def _error(net: nn.Module, trials: Sequence[Settled], scale: float) -> float:
    differences = _predicted(net, trials, scale) - _measured(trials)
    return float(differences.square().mean().sqrt())
