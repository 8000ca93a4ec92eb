"""Judge the outcome of a settled seed; ledger, store and policy learn from it."""

from collections import deque
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from esper.attribution.kept import LaterLook
from esper.blueprint.cost import kernel_memory_mb
from esper.contracts.event import (
    EventBody,
    Judgement,
    LedgerUpdate,
    PolicyUpdate,
    Recovery,
    SeedPerformance,
)
from esper.contracts.ledger import LedgerEntry, Measurement
from esper.contracts.outcome import GainPoint, Outcome, Reward
from esper.contracts.slot import SlotSpec
from esper.growth.slot import Activation
from esper.policy.base import Policy
from esper.reward.base import RewardModel
from esper.reward.rollback import judge_rollback
from esper.store.base import Store
from esper.strategy.agreement import Agreement
from esper.strategy.ledger import MAX_ENTRIES, Ledger


@dataclass(slots=True)
class Tally:
    """Counts over all settled outcomes of a run.

    expectation: gains that were expected beside those measured; a gain from before a rollback does
        not count.
    """

    culled: int = 0
    fossilized: int = 0
    succeeded: int = 0
    expectation: Agreement = field(default_factory=Agreement)

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        self.culled += not outcome.fossilized
        self.fossilized += outcome.fossilized
        self.succeeded += outcome.succeeded
        if not outcome.rolled_back:
            self.expectation.add(outcome.expected_gain, outcome.gain)


class Settler:
    """Judges settled outcomes, and teaches ledger, store and policy.

    outcomes: the last 1,000 settled outcomes of this run, oldest first.
    tally: counts over all of them.
    snapshot: entries of other runs that the store held at the start.

    `ledger` is empty but for its prior; None for one of an unknown task family.
    """

    def __init__(
        self,
        reward: RewardModel,
        policy: Policy,
        store: Store,
        run_id: str,
        ledger: Ledger | None = None,
    ) -> None:
        self.reward, self.policy, self.store, self.run_id = reward, policy, store, run_id
        self.outcomes: deque[Outcome] = deque(maxlen=MAX_ENTRIES)
        self.tally = Tally()
        # A restarted run ignores entries that it wrote before.
        self.snapshot = [entry for entry in store.load() if entry.run != run_id]
        self.ledger = Ledger(reward_model=reward.name) if ledger is None else ledger
        self.ledger.warm_start(self.snapshot, run_id)

    def record(self, performance: SeedPerformance, activation: Activation) -> SeedPerformance:
        """Record a measurement of a live seed in the ledger; return it with the seed's score."""
        measurement = Measurement(
            accuracy_improvement=activation.accuracy_gain,
            loss_reduction=performance.gain,
            memory_mb=kernel_memory_mb(activation.parameters, activation.trainable),
        )
        slot, seed = performance.slot, performance.seed
        self.ledger.note_measurement(slot, seed, measurement)
        return replace(performance, composite=self.ledger.composite(slot, seed))

    def settle(self, outcome: Outcome, spec: SlotSpec) -> list[EventBody]:
        """Judge the outcome of a seed in the slot of `spec`, learn from it, return the events."""
        reward = judge_rollback(outcome) if outcome.rolled_back else self.reward.judge(outcome)
        self.outcomes.append(outcome)
        self.tally.add(outcome)
        entry = self._entry(outcome, reward)
        self.ledger.record(entry)
        self.store.write([entry])
        events = self._entered(Judgement(outcome=outcome, reward=reward), spec)
        learned = self.policy.learn(outcome, reward)
        if learned:
            events.append(PolicyUpdate(policy=self.policy.name, values=learned))
        return events

    def revise(self, look: LaterLook, spec: SlotSpec) -> list[EventBody]:
        """Judge a kept kernel again after a later look, and return the events.

        Ledger and store then hold the revised reward of that trial; the policy does not learn from
        it twice.  Nothing is revised after 1,000 further outcomes.
        """
        key = look.slot, look.seed, look.activation
        keys = [(each.slot, each.seed, each.activation) for each in self.outcomes]
        if key not in keys:
            return []
        index = keys.index(key)
        former = self.outcomes[index]
        outcome = replace(former, gains=(*former.gains, look.point))
        reward = self.reward.judge(outcome)
        self.outcomes[index] = outcome
        self.store.write(
            [self.ledger.revise(self.run_id, event_of(outcome), reward.total, reward.weight)]
        )
        kept_for = look.epochs_after_keeping
        judged = Judgement(outcome=outcome, reward=reward, epochs_after_keeping=kept_for)
        return self._entered(judged, spec)

    def _entered(self, judged: Judgement, spec: SlotSpec) -> list[EventBody]:
        """Return the events of a judgement that the ledger holds, and of the store's outages."""
        outcome = judged.outcome
        known = self.ledger.summary(spec, outcome.blueprint)
        assert known.mean is not None, "this outcome was just recorded"
        update = LedgerUpdate(
            slot=outcome.slot,
            seed=outcome.seed,
            blueprint=outcome.blueprint,
            trials=known.trials,
            mean_reward=known.mean,
            standard_error=known.standard_error,
            reward=judged.reward.total,
            history=self.ledger.history(outcome.slot, outcome.seed),
        )
        return [judged, update, *self.store.drain()]

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes; the ledger includes the store's entries."""
        return {
            "run_id": self.run_id,
            "ledger": self.ledger.state_dict(),
            "tally": asdict(self.tally),
            "outcomes": [asdict(outcome) for outcome in self.outcomes],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state from `state_dict`."""
        self.run_id = state["run_id"]
        self.ledger.load_state_dict(state["ledger"])
        tally = state["tally"]
        self.tally = Tally(**{**tally, "expectation": Agreement(**tally["expectation"])})
        self.outcomes.clear()
        for saved in state["outcomes"]:
            gains = tuple(GainPoint(**point) for point in saved["gains"])
            features = tuple(saved["features"])
            self.outcomes.append(Outcome(**{**saved, "gains": gains, "features": features}))
        # Repeat writes that an unreachable store may have lost when the run was killed.
        self.store.write(self.ledger.entries_of_run())

    def close(self) -> list[Recovery]:
        """Close the store and return outages not yet reported."""
        self.store.close()
        return self.store.drain()

    def _entry(self, outcome: Outcome, reward: Reward) -> LedgerEntry:
        # A gain measured before a rollback predicts nothing about the blueprint.
        is_valid = not outcome.rolled_back
        return LedgerEntry(
            run=self.run_id,
            event=event_of(outcome),
            slot=outcome.slot,
            seed=outcome.seed,
            slot_kind=outcome.slot_kind,
            placement=outcome.placement,
            blueprint=outcome.blueprint,
            task_family=self.ledger.task_family,
            reward_model=self.ledger.reward_model,
            epoch=outcome.settled_epoch,
            reward=reward.total,
            weight=reward.weight,
            accuracy_improvement=outcome.accuracy_gain if is_valid else None,
            loss_reduction=outcome.gain if is_valid else None,
            latency_ms=outcome.latency_ms,
            memory_mb=outcome.memory_mb,
            fossilized=outcome.fossilized,
            success=outcome.succeeded,
            context=self.ledger.context(outcome.slot, outcome.seed, outcome.activation),
            shown=outcome.shown,
            features=outcome.features,
            reading=outcome.reading,
        )


def event_of(outcome: Outcome) -> str:
    """Return the key of an activation in its run's ledger."""
    return f"{outcome.slot}/{outcome.seed}/{outcome.activation}"
