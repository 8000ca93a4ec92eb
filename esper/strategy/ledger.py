"""The record of every settled activation, and the statistics of arms.

An arm is a blueprint in a slot, offered by the seed that is bound to it there.  Its own record has
the settled activations of that blueprint in slots of that name, kind and placement, of this run and
of earlier ones.  It is shrunk towards its pool (see `pooling`), which has those of all slots of the
kind and placement.  Only runs of the same task family and reward model count.  The ledger of a
strategy that reads no health leaves out what earlier runs knew of it.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import asdict, replace
from typing import Any

from esper.contracts.arm import ArmStats
from esper.contracts.ledger import (
    CONTEXT_SIZES,
    RUN_CONTEXT,
    UNKNOWN,
    LedgerEntry,
    Measurement,
    PoolPrior,
    RewardSummary,
    SeedHistory,
)
from esper.contracts.slot import SlotSpec
from esper.strategy.ageing import aged
from esper.strategy.base import COUNTS, MAX_WINDOW, View
from esper.strategy.expected_pools import ExpectedPools
from esper.strategy.foresight import MOST_TRIALS, Foresight, trials_of
from esper.strategy.pooling import NOTHING, Tally, pool_weight
from esper.strategy.predicted import by_regression, with_prior
from esper.strategy.prior import NO_PRIOR, Prior
from esper.strategy.record import ArmRecord, Pool, SeedRecord, arm_of, pool_of
from esper.strategy.reward_scale import RewardScale

MAX_ENTRIES = 1000
"""Number of entries of this run that are kept for the store."""

_UNTRIED = ArmRecord(-1)
_EMPTY = Pool()


class Ledger:
    """Records per (slot, seed) of this run; per arm, and per pool, of all comparable runs."""

    def __init__(
        self,
        task_family: str = UNKNOWN,
        reward_model: str = UNKNOWN,
        *,
        reads_health: bool = True,
    ) -> None:
        self.task_family, self.reward_model = task_family, reward_model
        self._context_size = max(CONTEXT_SIZES) if reads_health else RUN_CONTEXT
        self.selections = 0
        self._records: dict[tuple[str, int], SeedRecord] = defaultdict(SeedRecord)
        self._arms: dict[tuple[str, str, str, str], ArmRecord] = {}
        self._pools: dict[tuple[str, str, str], Pool] = defaultdict(Pool)
        self._latest: list[int] = []
        self._scale = RewardScale()
        self._entries: dict[tuple[str, str], LedgerEntry] = {}
        self._expected = ExpectedPools()
        self._foresight = Foresight()

    def warm_start(self, entries: Iterable[LedgerEntry], run: str) -> int:
        """Pool entries of other runs; return how many counted.

        Repeated keys count once.  Entries of another task family or reward model do not count, and
        neither do those of `run` itself: a restarted run ignores entries that it wrote before.
        """
        fresh = {
            (entry.run, entry.event): entry
            for entry in entries
            if entry.run != run and self.is_comparable(entry)
        }
        counted = [
            replace(entry, context=entry.context[: self._context_size])
            for entry in aged(list(fresh.values()))
        ]
        for entry in counted:
            self._count(entry)
        self._foresight.former = trials_of(counted)[-MOST_TRIALS:]
        return len(fresh)

    def start_from(self, priors: Iterable[PoolPrior]) -> None:
        """Count what comparable pools are expected to be; call it once, before the first trial."""
        for prior in filter(self.is_comparable, priors):
            self._expected.add(prior)
            self._scale.expect(prior.mean_reward, prior.spread)

    def note_activation(self, slot: str, seed: int, epoch: int) -> None:
        """Count that `seed` of `slot` germinated at the end of `epoch`."""
        self.selections += 1
        self._records[slot, seed].activate(epoch)

    def note_context(
        self, slot: str, seed: int, activation: int, context: tuple[float, ...]
    ) -> None:
        """Keep the context in which a seed germinated, until its activation is settled."""
        self._records[slot, seed].note_context(activation, context)

    def context(self, slot: str, seed: int, activation: int) -> tuple[float, ...]:
        """Return the context of one of a seed's last two activations; () when unknown."""
        record = self._records.get((slot, seed))
        return record.context(activation) if record else ()

    def note_measurement(self, slot: str, seed: int, measurement: Measurement) -> None:
        """Append the measurement of a live seed to the windows of its composite score."""
        self._records[slot, seed].measure(measurement)

    def record(self, entry: LedgerEntry) -> None:
        """Count a settled activation of this run.

        Raises:
            ValueError: if its key was recorded before, or it is of another task family or model.
        """
        key = (entry.run, entry.event)
        if key in self._entries:
            raise ValueError(f"ledger: event '{entry.event}' of run '{entry.run}' is recorded")
        if not self.is_comparable(entry):
            raise ValueError(
                f"ledger: of {self.task_family}, {self.reward_model}, got an entry of "
                f"{entry.task_family}, {entry.reward_model}"
            )
        self._entries[key] = entry
        if len(self._entries) > MAX_ENTRIES:
            del self._entries[next(iter(self._entries))]
        self._records[entry.slot, entry.seed].settle(is_graft=entry.fossilized)
        self._count(entry)

    def revise(self, run: str, event: str, reward: float, weight: float) -> LedgerEntry:
        """Replace the reward of a recorded activation, and return its entry.

        Sums, windows and the scale then are those of the entry as it is now; it stays one trial.

        Raises:
            ValueError: if it is not among the last 1,000 of this run, or had no reward.
        """
        former = self._entries.get((run, event))
        if former is None or former.reward is None:
            raise ValueError(f"ledger: event '{event}' of run '{run}' has no reward to revise")
        entry = replace(former, reward=reward, weight=weight)
        own = self._arms[arm_of(entry)]
        rewarded = [
            key
            for key, each in self._entries.items()
            if each.reward is not None and arm_of(each) == arm_of(entry)
        ]
        num_later = len(rewarded) - 1 - rewarded.index((run, event))
        self._entries[run, event] = entry
        self._pools[pool_of(entry)].revise(former, entry)
        self._scale.revise(former.reward, reward, own.revise(former, entry, num_later))
        return entry

    def arm(
        self,
        spec: SlotSpec,
        seed: int,
        blueprint: str,
        prior: Prior = NO_PRIOR,
        view: View = COUNTS,
    ) -> ArmStats:
        """Return the statistics of `blueprint` in a slot, rewards mapped to [0, 1] as of now."""
        record = self._records.get((spec.name, seed))
        kind, placement = spec.kind, spec.placement
        own = self._arms.get((spec.name, kind, placement, blueprint), _UNTRIED)
        pool = self._pools.get((kind, placement, blueprint), _EMPTY)
        prior = self._expected.merged(spec, blueprint, prior, self._scale)
        scale, num_own, weight = self._scale, own.rewards.count, prior.trials
        known = weight * prior.mean
        if (others := pool.rewards.count - num_own) > NOTHING:
            shared = pool_weight(others)
            known += shared * scale.unit((pool.rewards.total - own.rewards.total) / others)
            weight += shared
        trials = num_own + weight
        total = known + num_own * scale.unit(own.rewards.total / num_own) if num_own else known
        mean = total / trials if trials else 0.5
        predicted, uncertainty = mean, 1 / (1 + trials)
        if view.features:
            if view.is_network:
                where = str(kind), str(placement), blueprint
                entries, unit = self._entries.values(), scale.unit
                foreseen = self._foresight.predict(entries, unit, where, view.features)
            else:
                foreseen = by_regression(own, pool, scale, view.features)
            predicted, uncertainty = with_prior(*foreseen, prior)
        num_latest, latest_mean = (0, 0.5)
        if view.latest_size:
            num_latest, latest_mean = self._latest_of(own, view.latest_size)
        return ArmStats(  # by position, which is faster
            seed,
            blueprint,
            trials,
            mean,
            num_own,
            weight,
            known / weight if weight else 0.5,
            scale.units(own.recent[-view.window_size :]) if view.window_size else (),
            num_latest,
            latest_mean,
            record.activations if record else 0,
            prior.score,
            predicted,
            uncertainty,
        )

    @property
    def noise(self) -> float:
        """Standard deviation of an arm's rewards, mapped to [0, 1] as those of `arm`."""
        return self._scale.noise

    def unit(self, reward: float) -> float:
        """Return a reward mapped to [0, 1] as those of `arm`."""
        return self._scale.unit(reward)

    @property
    def break_even(self) -> float:
        """A reward of 0, mapped to [0, 1] as those of `arm`; infinite while none is known."""
        return self.unit(0.0) if self._scale.count else math.inf

    def summary(self, spec: SlotSpec, blueprint: str) -> RewardSummary:
        """Return this run's rewards of `blueprint` in a slot, unmapped; no score reads it."""
        arm, entries = (spec.name, blueprint), self._entries.values()
        own = [entry for entry in entries if (entry.slot, entry.blueprint) == arm]
        return RewardSummary.of([entry.reward for entry in own if entry.reward is not None])

    def history(self, slot: str, seed: int) -> SeedHistory:
        """Return what became of a seed's activations in this run."""
        record = self._records.get((slot, seed))
        return SeedHistory() if record is None else record.history()

    def composite(self, slot: str, seed: int) -> float | None:
        """Return the composite score of a seed's present activation; None when nothing is known."""
        record = self._records.get((slot, seed))
        return record.composite() if record else None

    def gains(self, spec: SlotSpec, blueprint: str) -> tuple[Tally, Tally]:
        """Return the relative gains of `blueprint` in a slot, and in all slots like it."""
        kind, placement = spec.kind, spec.placement
        own = self._arms.get((spec.name, kind, placement, blueprint), _UNTRIED)
        pool = self._pools.get((kind, placement, blueprint), _EMPTY)
        return own.gains, self._expected.with_gains(spec, blueprint, pool.gains)

    def entries_of_run(self) -> list[LedgerEntry]:
        """Return the last 1,000 entries that this run recorded, oldest first."""
        return list(self._entries.values())

    def state_dict(self) -> dict[str, Any]:
        """Return the state for `load_state_dict`, ready for JSON."""
        return {
            "selections": self.selections,
            "scale": self._scale.state_dict(),
            "records": [[*key, asdict(record)] for key, record in self._records.items()],
            "arms": [[*map(str, key), asdict(arm)] for key, arm in self._arms.items()],
            "pools": [[*map(str, key), asdict(pool)] for key, pool in self._pools.items()],
            "latest": list(self._latest),
            "expected": self._expected.state_dict(),
            "former": self._foresight.state_dict(),
            "entries": [asdict(entry) for entry in self._entries.values()],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace everything by what `state_dict` returned."""
        state = deepcopy(state)
        self.selections = state["selections"]
        self._scale.load_state_dict(state["scale"])
        self._records.clear()
        for slot, seed, values in state["records"]:
            self._records[slot, seed] = SeedRecord.of(values)
        self._arms = {tuple(key): ArmRecord.of(values) for *key, values in state["arms"]}
        self._pools.clear()
        for kind, placement, blueprint, values in state["pools"]:
            self._pools[kind, placement, blueprint] = Pool.of(values)
        self._latest = state["latest"]
        self._expected.load_state_dict(state["expected"])
        self._foresight.load_state_dict(state["former"])
        entries = [LedgerEntry.of(values) for values in state["entries"]]
        self._entries = {(entry.run, entry.event): entry for entry in entries}

    def is_comparable(self, entry: LedgerEntry | PoolPrior) -> bool:
        """Return whether an entry is of this ledger's task family and reward model, and counts."""
        is_family = entry.task_family == self.task_family
        return is_family and entry.reward_model == self.reward_model

    def _latest_of(self, own: ArmRecord, size: int) -> tuple[int, float]:
        """Return number and mean, mapped, of an arm's rewards among the last `size` of all."""
        count = self._latest[-size:].count(own.index)
        return count, self._scale.unit(sum(own.recent[-count:]) / count) if count else 0.5

    def _count(self, entry: LedgerEntry) -> None:
        own = self._arms.setdefault(arm_of(entry), ArmRecord(len(self._arms)))
        within = own.settle(entry)
        self._pools[pool_of(entry)].settle(entry)
        if entry.reward is not None:
            self._latest.append(own.index)
            del self._latest[:-MAX_WINDOW]
            self._scale.add(entry.reward, within, entry.weight)
