"""What happens when a life ends: it is judged, and ledger, store and policy learn from it."""

from collections.abc import Iterator
from typing import Any

from esper.contracts.event import EventKind, Judgement, LedgerUpdate, PolicyUpdate
from esper.contracts.outcome import Outcome, Reward
from esper.contracts.slot import SlotSpec
from esper.policy.base import Policy
from esper.reward.base import RewardModel
from esper.strategy.entry import LedgerEntry
from esper.strategy.ledger import Ledger
from esper.strategy.store.base import Store

Told = Iterator[tuple[EventKind, Any]]
"""Kinds and bodies of the events to tell, in order."""


class Settlement:
    """Passes outcomes on to everything that learns from them.

    outcomes: every settled outcome of this run, oldest first.
    snapshot: what the store held at the start.
    """

    def __init__(self, reward: RewardModel, policy: Policy, store: Store, run_id: str) -> None:
        self.reward, self.policy, self.store, self.run_id = reward, policy, store, run_id
        self.outcomes: list[Outcome] = []
        self.snapshot = store.load()
        self.ledger = Ledger()
        self.ledger.warm_start(self.snapshot, run_id)

    def settle(self, outcome: Outcome, spec: SlotSpec) -> Told:
        """Judge an outcome of a seed of the slot `spec`, learn from it, and yield what to tell."""
        reward = self.reward.judge(outcome)
        self.outcomes.append(outcome)
        yield EventKind.REWARD, Judgement(outcome=outcome, reward=reward)
        entry = self._entry(outcome, reward)
        self.ledger.record(entry)
        self.store.write([entry])
        arm = self.ledger.arm(spec, outcome.seed, outcome.blueprint)
        yield (
            EventKind.LEDGER,
            LedgerUpdate(
                slot=outcome.slot,
                seed=outcome.seed,
                blueprint=outcome.blueprint,
                trials=arm.trials,
                mean_reward=arm.mean_reward,
                reward=reward.total,
            ),
        )
        learned = self.policy.learn(outcome, reward)
        if learned:
            yield EventKind.POLICY_UPDATE, PolicyUpdate(policy=self.policy.name, values=learned)

    def _entry(self, outcome: Outcome, reward: Reward) -> LedgerEntry:
        return LedgerEntry(
            run=self.run_id,
            event=f"{outcome.slot}/{outcome.seed}/{outcome.activation}",
            slot=outcome.slot,
            seed=outcome.seed,
            slot_kind=outcome.slot_kind,
            placement=outcome.placement,
            blueprint=outcome.blueprint,
            epoch=outcome.settled_epoch,
            reward=reward.total,
            accuracy_improvement=outcome.accuracy_gain,
            loss_reduction=outcome.gain,
            latency_ms=outcome.latency_ms,
            memory_mb=outcome.memory_mb,
            fossilized=outcome.fossilized,
            success=outcome.succeeded,
        )
