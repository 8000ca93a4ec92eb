"""Train a model for one epoch.  Only the host's learning rate is set here; kernels follow it."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from esper.contracts.metrics import TrainReport
from esper.growth.param_groups import TAG, host_group
from esper.training.objective import mean_loss
from esper.training.options import Training
from esper.training.safeguard import Safeguard
from esper.training.schedule import learning_rate_factor


class Epoch:
    """One epoch of a budget: where it begins, and how many steps it has."""

    def __init__(self, options: Training, epoch: int, epochs: int, num_steps: int) -> None:
        self.options = options
        self.begins = (epoch - 1) / epochs
        self.step_share = 1 / (epochs * num_steps)

    def learning_rate(self, step: int) -> float:
        """Return the host's learning rate at a step of this epoch, counted from 0."""
        progress = self.begins + step * self.step_share
        options = self.options
        return options.lr * learning_rate_factor(options.schedule, progress, options.grow_until)

    def train(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        batches: Iterable[tuple[Tensor, Tensor]],
        progress: "Progress | None" = None,
        is_asked_to_pause: Callable[[], bool] = lambda: False,
    ) -> TrainReport | None:
        """Train on every batch once and report the means over its samples.

        Args:
            model: the network.
            optimizer: of its parameters.
            batches: those of the epoch that are left.
            progress: what the steps before them gave; those to come are added to it.
            is_asked_to_pause: asked before each step; where it is, None is returned.

        A step whose loss, or gradient of the host, is not finite is not taken, and ends the epoch:
        what came after it could only do more harm.  A step that raises is taken without the kernels
        that it fails with; see `safeguard` for what it raises all the same.
        """
        model.train()
        told = progress or Progress()
        guard = Safeguard(model)
        for x_B, y_B in batches:
            if is_asked_to_pause():
                return None
            started = time.perf_counter()
            self._set_learning_rate(optimizer, told.num_steps)
            loss, logits = guard.run(partial(_gradients, model, optimizer, x_B, y_B))
            norms = clip_each_group(optimizer, self.options.clip_norm)
            told.is_finite = _are_finite(loss, norms)
            if told.is_finite:
                optimizer.step()
            told.busy_ms += (time.perf_counter() - started) * 1e3
            told.add(loss, logits, y_B)
            if not told.is_finite:
                break
        return TrainReport(
            loss=_finite(told.loss),
            accuracy=told.accuracy,
            num_samples=told.num_samples,
            num_steps=told.num_steps,
            busy_ms=told.busy_ms,
            learning_rate=host_group(optimizer)["lr"],
            is_finite=told.is_finite,
        )

    def _set_learning_rate(self, optimizer: Optimizer, step: int) -> None:
        rate = self.learning_rate(step)
        for group in optimizer.param_groups:
            if TAG not in group:
                group["lr"] = rate


def _gradients(
    model: nn.Module, optimizer: Optimizer, x_B: Tensor, y_B: Tensor
) -> tuple[Tensor, Tensor]:
    """Set the gradients of a batch; return its mean loss and the answers."""
    optimizer.zero_grad(set_to_none=True)
    logits = model(x_B)
    loss = mean_loss(logits, y_B)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss, logits


class Progress:
    """What the steps of an epoch gave so far, put together at its end: a step only takes notes.

    busy_ms: time spent in them.
    is_finite: False when the last one found a loss or a gradient that was not.
    """

    def __init__(self) -> None:
        self.losses: list[Tensor] = []
        self.answers: list[Tensor] = []
        self.targets: list[Tensor] = []
        self.busy_ms = 0.0
        self.is_finite = True

    @property
    def num_steps(self) -> int:
        """Steps taken."""
        return len(self.losses)

    def state_dict(self) -> dict[str, Any]:
        """Return all notes."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Take over the notes that `state_dict` gave, on the device of the network."""
        vars(self).update(state)
        for name in ("losses", "answers", "targets"):
            setattr(self, name, [note.to(device) for note in state[name]])

    def add(self, loss: Tensor, logits: Tensor, targets: Tensor) -> None:
        """Note a step's mean loss, its answers and what they should have been."""
        self.losses.append(loss.detach())
        self.answers.append(logits.argmax(dim=-1))
        self.targets.append(targets)

    @property
    def num_samples(self) -> int:
        """Samples of all steps."""
        return sum(map(len, self.targets))

    @property
    def loss(self) -> float:
        """Mean loss of the samples."""
        losses: list[float] = torch.stack(self.losses).tolist()
        pairs = zip(losses, self.targets, strict=True)
        return sum(loss * len(targets) for loss, targets in pairs) / self.num_samples

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        right = torch.cat(self.answers) == torch.cat(self.targets)
        return int(right.sum()) / right.numel()


def clip_each_group(optimizer: Optimizer, max_norm: float) -> Sequence[Tensor]:
    """Clip the gradient norm of every parameter group by itself; return the norms before.

    One norm over all groups would let a kernel shrink the host's step, and one that is not finite
    destroy it.  Nothing is clipped, and nothing returned, where `max_norm` is 0.
    """
    if max_norm <= 0:
        return ()
    found = ([p.grad for p in g["params"] if p.grad is not None] for g in optimizer.param_groups)
    groups = [grads for grads in found if grads]
    if len({grad.device for grads in groups for grad in grads}) == 1:
        return _clip_at_once(groups, max_norm)
    return [
        torch.nn.utils.clip_grad_norm_(group["params"], max_norm)
        for group in optimizer.param_groups
    ]


@torch.no_grad()
def _clip_at_once(groups: list[list[Tensor]], max_norm: float) -> Sequence[Tensor]:
    """Clip groups on one device, to the bit as torch's `clip_grad_norm_` would one by one.

    That function takes longer for its bookkeeping than a small group for its step.
    """
    norms = torch.stack(torch._foreach_norm([grad for grads in groups for grad in grads]))
    parts = torch.split(norms, [len(grads) for grads in groups])
    totals = torch.stack([torch.linalg.vector_norm(part) for part in parts])
    factors = (max_norm / (totals + 1e-6)).clamp(max=1.0)
    for grads, factor in zip(groups, factors.unbind(), strict=True):
        torch._foreach_mul_(grads, factor)
    return totals.unbind()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _are_finite(loss: Tensor, norms: Sequence[Tensor]) -> bool:
    """Look at the loss and the norm of the host's gradient; an isolated kernel's is its own."""
    felt = [loss.detach(), *norms[:1]]
    return all(math.isfinite(float(value)) for value in felt)
