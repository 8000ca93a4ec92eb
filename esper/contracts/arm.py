"""The statistics of one arm: a seed of a slot with the blueprint that it is bound to."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmStats:
    """Summary of an arm's settled activations, its own and those of similar slots.

    trials: number of settled activations.
    mean_reward: mean reward, mapped to [0, 1] by the ledger's scale; 0.5 when untried.
    recent_rewards: last `window_size` rewards, oldest first, each in [0, 1].
    selections: number of times that this run has selected the seed.
    first_order: L1 norm of the kernel's gradient at germination, None when not measured.
    """

    seed: int
    blueprint: str
    trials: int = 0
    mean_reward: float = 0.5
    recent_rewards: tuple[float, ...] = ()
    selections: int = 0
    first_order: float | None = None
