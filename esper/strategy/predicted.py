"""What is predicted of an arm in the context of a germination."""

from collections.abc import Sequence

from esper.strategy.pooling import NOTHING, POOL_WEIGHT, shrunk_mean
from esper.strategy.prior import Prior
from esper.strategy.record import ArmRecord, Pool
from esper.strategy.reward_scale import RewardScale


def by_regression(
    own: ArmRecord, pool: Pool, scale: RewardScale, context: Sequence[float]
) -> tuple[float, float]:
    """Return the reward, mapped, that the regression of a pool expects, and its relative variance.

    The regression knows no slot, so that the prediction moves by as much as the mean of the slot,
    shrunk, differs from that of the pool.
    """
    reward, weight, variance = pool.regression.predict(context)
    predicted = 0.5 + scale.excess(reward, weight)
    count = pool.rewards.count
    if count - own.rewards.count > NOTHING:
        shrunk = shrunk_mean(own.rewards, pool.rewards)
        assert shrunk is not None
        predicted += scale.excess(shrunk - pool.rewards.total / count, 0.0)
        variance += 1 / (own.rewards.count + POOL_WEIGHT)
    return predicted, variance


def with_prior(predicted: float, variance: float, prior: Prior) -> tuple[float, float]:
    """Return a prediction with its variance, the prior weighed in as so many trials."""
    trials = 1 / variance + prior.trials
    return (predicted / variance + prior.trials * prior.mean) / trials, 1 / trials
