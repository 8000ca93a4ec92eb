"""Train a model for one epoch.  Sets only the host's learning rate, which kernels follow."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from esper.contracts.metrics import TrainReport
from esper.growth.param_groups import TAG, host_group
from esper.signals.windows import finite_or_none
from esper.training.frozen import hold_statistics
from esper.training.objective import mean_loss
from esper.training.options import Training
from esper.training.safeguard import Safeguard
from esper.training.schedule import USUAL, learning_rate_factor

PARTS = 8
"""Parts of an epoch whose mean losses are reported."""


class Epoch:
    """One epoch of a budget of `epochs`, counted from 1."""

    def __init__(self, options: Training, epoch: int, epochs: int, num_steps: int) -> None:
        self.options = options
        self.start = (epoch - 1) / epochs
        self.step_share = 1 / (epochs * num_steps)
        self.steps_before = (epoch - 1) * num_steps
        self.warmup_steps = options.warmup_epochs * num_steps

    def learning_rate(self, step: int) -> float:
        """Return the host's learning rate at a step of this epoch, counted from 0."""
        options, progress = self.options, self.start + step * self.step_share
        schedule = options.schedule or USUAL
        rate = options.lr * learning_rate_factor(schedule, progress, options.decay_from)
        steps = self.steps_before + step + 1
        return rate * min(1.0, steps / self.warmup_steps) if self.warmup_steps else rate

    def train(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        batches: Iterable[tuple[Tensor, Tensor]],
        progress: "Progress | None" = None,
        is_asked_to_pause: Callable[[], bool] = lambda: False,
    ) -> TrainReport | None:
        """Train on every batch once; return the means over their samples.

        Args:
            model: the network.
            optimizer: the optimizer of its parameters.
            batches: the remaining batches of the epoch.
            progress: results of the steps before them; results of further steps are added.
            is_asked_to_pause: called before each step; if it returns True, training stops and None
                is returned.

        If the loss or the host's gradient is not finite, the step is skipped and the epoch ends,
        because further steps would not repair it.  A step that raises is repeated without the
        kernels that make it fail; `Safeguard.run` lists the errors that propagate.
        """
        model.train()
        if self.options.freeze_host:
            hold_statistics(model)
        progress = progress or Progress()
        guard = Safeguard(model)
        for x_B, y_B in batches:
            if is_asked_to_pause():
                return None
            started = time.perf_counter()
            self._set_learning_rate(optimizer, progress.num_steps)
            loss, logits = guard.run(partial(_gradients, model, optimizer, x_B, y_B))
            norms = clip_each_group(optimizer, self.options.clip_norm)
            # The first norm is the host's; those of isolated kernels do not matter.
            progress.is_finite = all(math.isfinite(float(v)) for v in (loss.detach(), *norms[:1]))
            if progress.is_finite:
                optimizer.step()
            progress.busy_ms += (time.perf_counter() - started) * 1e3
            progress.add(loss, logits, y_B)
            if not progress.is_finite:
                break
        return TrainReport(
            loss=finite_or_none(progress.loss),
            accuracy=progress.accuracy,
            losses=progress.part_losses,
            first_loss=finite_or_none(float(progress.losses[0])),
            num_samples=progress.num_samples,
            num_steps=progress.num_steps,
            busy_ms=progress.busy_ms,
            learning_rate=host_group(optimizer)["lr"],
            is_finite=progress.is_finite,
        )

    def _set_learning_rate(self, optimizer: Optimizer, step: int) -> None:
        for group in optimizer.param_groups:
            if TAG not in group:
                group["lr"] = self.learning_rate(step)


def _gradients(
    model: nn.Module, optimizer: Optimizer, x_B: Tensor, y_B: Tensor
) -> tuple[Tensor, Tensor]:
    """Set the gradients of a batch; return its mean loss and its logits."""
    optimizer.zero_grad(set_to_none=True)
    logits = model(x_B)
    loss = mean_loss(logits, y_B)
    if loss.requires_grad:  # not that of a frozen host without kernels
        loss.backward()  # type: ignore[no-untyped-call]
    return loss, logits


@dataclass
class Progress:
    """Results of an epoch's steps so far; means are computed at its end to keep steps fast.

    losses: mean loss of each step.
    answers, targets: predicted and true classes of each step.
    busy_ms: milliseconds spent in the steps.
    is_finite: whether loss and gradient of the last step were finite.
    """

    losses: list[Tensor] = field(default_factory=list)
    answers: list[Tensor] = field(default_factory=list)
    targets: list[Tensor] = field(default_factory=list)
    busy_ms: float = 0.0
    is_finite: bool = True

    @property
    def num_steps(self) -> int:
        """Number of steps so far."""
        return len(self.losses)

    def state_dict(self) -> dict[str, Any]:
        """Return all results."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Load what `state_dict` returned, on the network's device."""
        vars(self).update(state)
        for name in ("losses", "answers", "targets"):
            setattr(self, name, [tensor.to(device) for tensor in state[name]])

    def add(self, loss: Tensor, logits: Tensor, targets: Tensor) -> None:
        """Add a step: its mean loss, its logits and the true classes."""
        self.losses.append(loss.detach())
        self.answers.append(logits.argmax(dim=-1))
        self.targets.append(targets)

    @property
    def num_samples(self) -> int:
        """Number of samples of all steps."""
        return sum(map(len, self.targets))

    @property
    def loss(self) -> float:
        """Mean loss over the samples."""
        losses: list[float] = torch.stack(self.losses).tolist()
        pairs = zip(losses, self.targets, strict=True)
        return sum(loss * len(targets) for loss, targets in pairs) / self.num_samples

    @property
    def part_losses(self) -> tuple[float, ...]:
        """Mean losses over the steps of `PARTS` equal parts, in order; fewer if steps are fewer."""
        losses: list[float] = torch.stack(self.losses).tolist()
        parts = min(PARTS, len(losses))
        ends = [part * len(losses) // parts for part in range(parts + 1)]
        return tuple(sum(losses[a:b]) / (b - a) for a, b in pairwise(ends))

    @property
    def accuracy(self) -> float:
        """Fraction of correct answers, in [0, 1]."""
        hits = torch.cat(self.answers) == torch.cat(self.targets)
        return int(hits.sum()) / hits.numel()


def clip_each_group(optimizer: Optimizer, max_norm: float) -> Sequence[Tensor]:
    """Clip the gradient norm of each parameter group separately; return the norms before clipping.

    With a common norm, large gradients of a kernel would shrink the host's step, and gradients that
    are not finite would destroy it.  If `max_norm` is 0, nothing is clipped and () is returned.
    """
    if max_norm <= 0:
        return ()
    grads = [[p.grad for p in g["params"] if p.grad is not None] for g in optimizer.param_groups]
    groups = [group for group in grads if group]
    if len({grad.device for group in groups for grad in group}) == 1:
        return _clip_at_once(groups, max_norm)
    return [
        torch.nn.utils.clip_grad_norm_(group["params"], max_norm)
        for group in optimizer.param_groups
    ]


@torch.no_grad()
def _clip_at_once(groups: list[list[Tensor]], max_norm: float) -> Sequence[Tensor]:
    """Clip groups on one device, bit-identical to torch's `clip_grad_norm_` on each group.

    That function has an overhead longer than the step of a small group.
    """
    norms = torch.stack(torch._foreach_norm([grad for grads in groups for grad in grads]))
    parts = torch.split(norms, [len(grads) for grads in groups])
    totals = torch.stack([torch.linalg.vector_norm(part) for part in parts])
    factors = (max_norm / (totals + 1e-6)).clamp(max=1.0)
    for grads, factor in zip(groups, factors.unbind(), strict=True):
        torch._foreach_mul_(grads, factor)
    return totals.unbind()
