"""Judge a seed with which a network had to be rolled back: as badly as can be.

No reward model is asked.  A seed's harm is not among what they weigh: its gain was measured before
the network broke, if at all, and may well be positive; and `sparse` gives every culled seed 0.  So
that none of them learns to try the same again, the reward is the lowest there is, with certainty.
"""

from esper.contracts.outcome import Outcome, Reward
from esper.reward.evidence import who

WORST = -1.0


def judge_rollback(outcome: Outcome) -> Reward:
    """Return the reward of an outcome that a rollback made: -1, with confidence 1."""
    return Reward(
        total=WORST,
        confidence=1.0,
        explanation=(
            f"{who(outcome)}: reward {WORST:+.3f}; the network had to be rolled back while the "
            f"seed was part of it ({outcome.reason or 'no reason given'})"
        ),
    )
