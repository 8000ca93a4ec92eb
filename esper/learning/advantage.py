"""How much better an episode's return was than expected.

leave one out  A_tk = R_tk - mean over j != k of R_tj, of K episodes of the same task and seed
               (Kool, van Hoof and Welling 2019)
GAE            A_s = sum over i of (gamma lambda)^i delta_(s+i),
               delta_s = r_s + gamma V_(s+1) - V_s       (Schulman et al. 2016)
"""

from collections.abc import Sequence

from torch import Tensor

LEAST_VARIANCE = 1e-8
"""Variance of returns under which they do not differ but for rounding."""


def leave_one_out(returns_TK: Tensor) -> Tensor:
    """Return each return less the mean of the other episodes of its task, (T, K).

    Raises:
        ValueError: if a task has a single episode.
    """
    number = returns_TK.shape[1]
    if number < 2:
        raise ValueError(f"leave-one-out needs >= 2 episodes of a task, got {number}")
    return (returns_TK - returns_TK.mean(1, keepdim=True)) * (number / (number - 1))


def gae(
    rewards: Sequence[float], values: Sequence[float], *, decay: float, discount: float = 1.0
) -> list[float]:
    """Return the advantage of each step of an episode that ends after the last one.

    Args:
        rewards: that follow each step.
        values: expected at each step.
        decay: lambda, in [0, 1].
        discount: gamma, in [0, 1].
    """
    advantages, last, following = [0.0] * len(rewards), 0.0, 0.0
    for step in reversed(range(len(rewards))):
        delta = rewards[step] + discount * following - values[step]
        last = delta + discount * decay * last
        advantages[step], following = last, values[step]
    return advantages


def normalised(advantages: Tensor) -> Tensor:
    """Return advantages with mean 0 and standard deviation 1; all 0 if they do not differ."""
    spread = advantages.std(unbiased=False)
    return (advantages - advantages.mean()) / (spread + 1e-8)


def explained_variance(values: Tensor, returns: Tensor) -> float:
    """Return 1 - var(returns - values) / var(returns); 0 if the returns do not vary."""
    total = float(returns.var(unbiased=False))
    left = float((returns - values).var(unbiased=False))
    return 1 - left / total if total > LEAST_VARIANCE else 0.0
