"""What a ledger says about each pool, as numbers: for people, and for the shipped prior."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from esper.contracts.ledger import LedgerEntry

_KEY = attrgetter("task_family", "reward_model", "slot_kind", "placement", "blueprint")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSummary:
    """All trials of one blueprint in slots of one kind and placement, of comparable runs.

    trials: number of settled activations.
    rewards: number of them with a reward.
    mean_reward: None if there is no reward.
    spread: sample standard deviation of the rewards; None for fewer than two.
    mean_gain: mean relative gain; None if none was measured.
    success_share: share of trials with a gain above 0.
    last_run: run of the newest entry.
    """

    task_family: str
    reward_model: str
    slot_kind: str
    placement: str
    blueprint: str
    trials: int
    rewards: int
    mean_reward: float | None
    spread: float | None
    mean_gain: float | None
    success_share: float
    last_run: str


def summarise(entries: Sequence[LedgerEntry]) -> list[PoolSummary]:
    """Return the pools of `entries`, given oldest first, in the order of their keys.

    An entry whose run and event occurred before does not count again.
    """
    pools: dict[tuple[str, ...], list[LedgerEntry]] = defaultdict(list)
    keys = set()
    for entry in entries:
        if (entry.run, entry.event) not in keys:
            keys.add((entry.run, entry.event))
            pools[_KEY(entry)].append(entry)
    return [_summary(pools[key]) for key in sorted(pools)]


def _summary(entries: Sequence[LedgerEntry]) -> PoolSummary:
    rewards = [entry.reward for entry in entries if entry.reward is not None]
    gains = [entry.loss_reduction for entry in entries if entry.loss_reduction is not None]
    last = entries[-1]
    return PoolSummary(
        task_family=last.task_family,
        reward_model=last.reward_model,
        slot_kind=last.slot_kind,
        placement=last.placement,
        blueprint=last.blueprint,
        trials=len(entries),
        rewards=len(rewards),
        mean_reward=statistics.fmean(rewards) if rewards else None,
        spread=statistics.stdev(rewards) if len(rewards) > 1 else None,
        mean_gain=statistics.fmean(gains) if gains else None,
        success_share=sum(entry.success for entry in entries) / len(entries),
        last_run=last.run,
    )
