"""The statistics of one arm: a slot with a blueprint, and the seed that is bound to it there."""

from typing import NamedTuple


class ArmStats(NamedTuple):
    """Summary of what is known of an arm; rewards are mapped to [0, 1] by the ledger's scale.

    A named tuple, because a selection makes one of every viable seed.

    trials: weight of all that is known, in trials: `own_trials + prior_trials`.
    mean_reward: mean over all of that; 0.5 when nothing is known.
    own_trials: weight of the settled activations of the blueprint in this slot.
    prior_trials, prior_mean: weight and mean of similar slots and of the first-order score.
    recent_rewards: last `window_size` rewards in this slot, oldest first.
    num_latest, latest_mean: number and mean of those rewards in this slot that are among the last
        `latest_size` of the whole ledger; the mean of none is 0.5.
    selections: number of times that this run has selected the seed.
    first_order: L1 norm of the kernel's gradient at germination, None when not measured.
    predicted: reward expected in the present context, for a contextual strategy; else the mean.
    uncertainty: variance of `predicted`, relative to that of one reward.
    """

    seed: int
    blueprint: str
    trials: float = 0.0
    mean_reward: float = 0.5
    own_trials: float = 0.0
    prior_trials: float = 0.0
    prior_mean: float = 0.5
    recent_rewards: tuple[float, ...] = ()
    num_latest: int = 0
    latest_mean: float = 0.5
    selections: int = 0
    first_order: float | None = None
    predicted: float = 0.5
    uncertainty: float = 1.0
