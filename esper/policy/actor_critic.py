"""Grows where a plain network of the run's features ranks a germination first.

It is the control for `gnn`: it reads the 27 features of the run and the state of each slot's seeds,
but neither the health of the blocks, unless `health` is set, nor the data flow or the gain model.
Only the verdicts on kernels are those of `gnn`.
"""

from dataclasses import dataclass
from typing import ClassVar

from esper.policy.learned_rules import LearnedRules


@dataclass(frozen=True, kw_only=True)
class ActorCritic(LearnedRules):
    """Grows by a plain network.

    health: whether a new network is shown the health of the blocks.
    """

    kind: ClassVar[str] = "actor_critic"
    hidden: ClassVar[int] = 256

    health: bool = False

    @property
    def reads_health(self) -> bool:
        """Whether a new network is shown the health of the blocks."""
        return self.health
