from collections.abc import Callable
from typing import Any

from esper.reward.rollback import judge_rollback


def test_a_rollback_is_the_worst_there_is_and_says_why(settle: Callable[..., Any]) -> None:
    reason = "rolled back: validation loss is nan"
    outcome = settle(fossilized=False, gain=0.3, rolled_back=True, reason=reason)
    reward = judge_rollback(outcome)
    assert (reward.total, reward.confidence, reward.components) == (-1.0, 1.0, {})
    assert reward.explanation == (
        "seed 1 of slot 'block' (mlp, culled): reward -1.000; the network had to be rolled back "
        "while the seed was part of it (rolled back: validation loss is nan)"
    )


def test_what_was_rolled_back_is_no_success_whatever_it_gained(settle: Callable[..., Any]) -> None:
    assert settle(gain=0.3).succeeded
    assert not settle(gain=0.3, rolled_back=True).succeeded
