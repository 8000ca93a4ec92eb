"""Improve a network by what its decisions led to: proximal policy optimisation.

    ratio = p(action) / p(action when it was taken)
    loss  = - mean of min(ratio A, clip(ratio, 1 - clip, 1 + clip) A)
            + value_weight (V - R)^2 - entropy H
            + risk_weight cross-entropy of the risk
            + safety_penalty sum over actions of p max(0, risk - max_risk)
            + uncertainty_penalty sum over actions of p doubt
            + anchor sum over actions of p ln(p / p before learning)

Source: Schulman et al. 2017.  A pass over the experiences that moves the policy too far, makes it
certain of everything, or leaves a number that is not finite is taken back, and ends the update.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from esper.contracts.errors import DataError
from esper.learning.advantage import explained_variance, normalised
from esper.learning.options import PPO
from esper.learning.situation import Batch, Judgement, Situation, collate

LEAST_ENTROPY = 1e-4
"""Mean entropy, in nats, under which a policy has collapsed."""


@dataclass(frozen=True, slots=True, eq=False)
class Experience:
    """A decision and what it led to.

    log_prob: of the action when it was taken, <= 0.
    advantage, outcome: of its episode; see `advantage`.
    has_failed: whether its kernel was not kept; None if it asked for none.
    weight: of the experience, > 0, where not all are drawn alike.
    """

    situation: Situation
    action: int
    log_prob: float
    advantage: float
    outcome: float
    has_failed: bool | None = None
    weight: float = 1.0

    def check(self) -> None:
        """Raise DataError if a number is not finite, or the action was not allowed."""
        numbers = (self.log_prob, self.advantage, self.outcome, self.weight)
        if not all(map(math.isfinite, numbers)):
            raise DataError(f"an experience holds a number that is not finite: {numbers}")
        if self.log_prob > 1e-6 or self.weight <= 0:
            raise DataError(f"an experience has log_prob {self.log_prob}, weight {self.weight}")
        allowed = [True, *self.situation.allowed.tolist()]
        if not 0 <= self.action < len(allowed) or not allowed[self.action]:
            raise DataError(f"an experience has an action that is not allowed: {self.action}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostics:
    """What an update did, over all its experiences.

    kl: mean of (ratio - 1 - ln ratio), an estimate of the divergence of the policy before from that
        after (Schulman 2020).
    clip_fraction: share of the ratios beyond the clip.
    entropy: mean, in nats, after the update.
    value_loss: mean squared error of the values, after it; explained_variance: of the outcomes.
    effective_share: (sum w)^2 / (number sum w^2) of the ratios w, in (0, 1].
    gradient_norm: mean over the steps, before it is limited.
    passes: over the experiences, without one that was taken back.
    refused: why a pass was taken back; empty if none was.
    """

    kl: float
    clip_fraction: float
    entropy: float
    value_loss: float
    explained_variance: float
    effective_share: float
    gradient_norm: float
    passes: int
    refused: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """Experiences as tensors, (B,) each; the failures are NaN where unknown."""

    batch: Batch
    actions: Tensor
    log_probs: Tensor
    advantages: Tensor
    outcomes: Tensor
    failed: Tensor
    weights: Tensor


def optimizer_of(net: nn.Module, options: PPO) -> torch.optim.AdamW:
    """Return a new optimizer of a network."""
    decay = options.weight_decay
    return torch.optim.AdamW(net.parameters(), options.rate, eps=1e-5, weight_decay=decay)


def update(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    experiences: Sequence[Experience],
    options: PPO,
    generator: torch.Generator,
    first: nn.Module | None = None,
) -> Diagnostics:
    """Improve a network by experiences, of which there is at least one; return what it did.

    Args:
        net, optimizer: changed in place.
        experiences: what was decided, and what it led to.
        options: how to learn.
        generator: draws the order of the experiences, and the numbers that dropout leaves out.
        first: the network before all learning, for `anchor`; the present one where not given.

    Raises:
        DataError: if an experience is not valid.
    """
    for each in experiences:
        each.check()
    every = _tensors(experiences)
    first_N = _log_probs(net if first is None else first, every) if options.anchor else None
    scaled = normalised(every.advantages)
    drops = generator if options.dropout > 0 else None
    norms: list[float] = []
    passes, refused = 0, ""
    while passes < options.passes and not refused:
        before = copy.deepcopy((net.state_dict(), optimizer.state_dict()))
        order = torch.randperm(len(experiences), generator=generator)
        for rows in torch.split(order, options.batch_size):
            part = _tensors([experiences[row] for row in rows.tolist()])
            said = net(part.batch, drops)
            loss = _loss(said, part, scaled[rows], options)
            if first_N is not None:
                loss = loss + options.anchor * _divergence(said, first_N[rows])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            norms.append(float(nn.utils.clip_grad_norm_(net.parameters(), options.gradient_limit)))
            optimizer.step()
        refused = _obstacle(_diagnose(net, every, options), options)
        if refused:
            net.load_state_dict(before[0])
            optimizer.load_state_dict(before[1])
        else:
            passes += 1
    found = _diagnose(net, every, options)
    norm = sum(norms) / len(norms)
    return replace(found, gradient_norm=norm, passes=passes, refused=refused)


def _loss(said: Judgement, part: _Batch, advantages: Tensor, options: PPO) -> Tensor:
    log_probs = said.log_probs.gather(1, part.actions[:, None])[:, 0]
    ratios = torch.exp(log_probs - part.log_probs)
    clipped = ratios.clamp(1 - options.clip, 1 + options.clip)
    gains = torch.minimum(ratios * advantages, clipped * advantages)
    entropy = _entropy(said)
    scale = 2.0 if float(entropy.detach()) < options.least_entropy else 1.0
    loss = (
        -(part.weights * gains).mean()
        + options.value_weight * (part.weights * (said.values - part.outcomes) ** 2).mean()
        - scale * options.entropy * entropy
        + options.risk_weight * _risk_loss(said, part)
    )
    if options.safety_penalty or options.uncertainty_penalty:
        chances = said.log_probs.exp()[part.batch.offer_rows, part.batch.columns]
        excess = (said.risks.detach().sigmoid() - options.max_risk).clamp(min=0)
        costs = options.safety_penalty * excess + options.uncertainty_penalty * part.batch.doubts
        loss = loss + (chances * costs).sum() / len(part.actions)
    return loss


@torch.no_grad()
def _log_probs(net: nn.Module, every: _Batch) -> Tensor:
    """Return the log probabilities that a network gives all actions, (N, 1 + L)."""
    log_probs: Tensor = net(every.batch).log_probs
    return log_probs


def _divergence(said: Judgement, others: Tensor) -> Tensor:
    """Return the mean divergence from other log probabilities of at least as many actions."""
    others = others[:, : said.log_probs.shape[1]]
    known = said.log_probs.isfinite()
    gaps = torch.where(known, said.log_probs, 0.0) - torch.where(known, others, 0.0)
    return (said.log_probs.exp() * gaps).sum(1).mean()


def _risk_loss(said: Judgement, part: _Batch) -> Tensor:
    """Return the cross-entropy of the risks of the kernels that were asked for."""
    is_chosen = part.batch.columns == part.actions[part.batch.offer_rows]
    failed = part.failed[part.batch.offer_rows]
    known = is_chosen & ~failed.isnan()
    if not bool(known.any()):
        return said.risks.sum() * 0
    return functional.binary_cross_entropy_with_logits(said.risks[known], failed[known])


def _entropy(said: Judgement) -> Tensor:
    """Return the mean entropy, in nats; actions that are not allowed add nothing."""
    finite = said.log_probs.clamp(min=torch.finfo(said.log_probs.dtype).min)
    return -(finite.exp() * finite).sum(1).mean()


def _obstacle(found: Diagnostics, options: PPO) -> str:
    """Return why a pass must be taken back; empty if it need not be."""
    if not all(map(math.isfinite, (found.kl, found.entropy, found.value_loss))):
        return "a number is not finite"
    if found.kl > options.most_kl:
        return f"the divergence is {found.kl:.3g}, above learning.most_kl={options.most_kl:g}"
    if found.entropy < LEAST_ENTROPY:
        return f"the policy has collapsed: its entropy is {found.entropy:.2g}"
    return ""


@torch.no_grad()
def _diagnose(net: nn.Module, every: _Batch, options: PPO) -> Diagnostics:
    said: Judgement = net(every.batch)
    log_ratios = said.log_probs.gather(1, every.actions[:, None])[:, 0] - every.log_probs
    ratios = log_ratios.exp()
    kl, entropy = float((ratios - 1 - log_ratios).mean()), float(_entropy(said))
    value_loss = float(((said.values - every.outcomes) ** 2).mean())
    effective = float(ratios.sum() ** 2 / (len(ratios) * (ratios**2).sum()))
    return Diagnostics(
        kl=kl,
        clip_fraction=float(((ratios - 1).abs() > options.clip).float().mean()),
        entropy=entropy,
        value_loss=value_loss,
        explained_variance=explained_variance(said.values, every.outcomes),
        effective_share=effective,
        gradient_norm=0.0,
        passes=0,
    )


def _tensors(experiences: Sequence[Experience]) -> _Batch:
    def column(values: Iterator[float]) -> Tensor:
        return torch.tensor(list(values), dtype=torch.float32)

    return _Batch(
        batch=collate([each.situation for each in experiences]),
        actions=torch.tensor([each.action for each in experiences]),
        log_probs=column(each.log_prob for each in experiences),
        advantages=column(each.advantage for each in experiences),
        outcomes=column(each.outcome for each in experiences),
        failed=column(math.nan if e.has_failed is None else e.has_failed for e in experiences),
        weights=column(each.weight for each in experiences),
    )
