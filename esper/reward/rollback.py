"""Give the lowest reward to a seed that was part of a network that had to be rolled back.

The reward models do not see the harm, because any gain was measured before the network broke, and
`sparse` gives every culled seed 0.  The lowest reward, at confidence 1, keeps strategies from
learning to repeat it.
"""

from esper.contracts.outcome import Outcome, Reward
from esper.reward.evidence import who

WORST = -1.0


def judge_rollback(outcome: Outcome) -> Reward:
    """Return the reward of an outcome that ended in a rollback: -1, with confidence 1."""
    return Reward(
        total=WORST,
        confidence=1.0,
        explanation=(
            f"{who(outcome)}: reward {WORST:+.3f}; the network had to be rolled back while the "
            f"seed was part of it ({outcome.reason or 'no reason given'})"
        ),
    )
