"""What a strategy knows of one arm: a seed of a slot with the blueprint that it is bound to."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmStats:
    """Summary of an arm's settled activations, its own and its pool's.

    trials: number of settled activations.
    mean_reward: mean reward, mapped to [0, 1] over what the ledger has seen; 0.5 when untried.
    recent_rewards: last `window_size` rewards, oldest first, each in [0, 1].
    selections: how often this seed has been selected so far in this run.
    first_order: L1 norm of the kernel's gradient at birth, None when not measured.
    """

    seed: int
    blueprint: str
    trials: int = 0
    mean_reward: float = 0.5
    recent_rewards: tuple[float, ...] = ()
    selections: int = 0
    first_order: float | None = None

    @property
    def successes(self) -> float:
        """A reward r in [0, 1] counts as r of a success."""
        return self.trials * self.mean_reward

    @property
    def failures(self) -> float:
        """A reward r in [0, 1] counts as 1 - r of a failure."""
        return self.trials - self.successes
