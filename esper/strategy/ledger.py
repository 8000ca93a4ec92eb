"""The record of every settled activation, and the statistics of arms.

An arm is a seed of a slot with the blueprint that it is bound to.  Its statistics cover all settled
activations of that blueprint in slots of the same kind and placement, its own slot included.
"""

from collections import defaultdict
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import asdict
from typing import Any

from esper.contracts.arm import ArmStats
from esper.contracts.ledger import LedgerEntry, Measurement, PoolPrior
from esper.contracts.slot import SlotSpec
from esper.strategy.record import Pool, SeedRecord
from esper.strategy.reward_scale import RewardScale

MAX_ENTRIES = 1000
"""Number of entries of this run that are kept for the store."""

_UNTRIED = Pool()


class Ledger:
    """Records per (slot, seed) of this run; pools per (slot kind, placement, blueprint) of all."""

    def __init__(self) -> None:
        self.selections = 0
        self._records: dict[tuple[str, int], SeedRecord] = defaultdict(SeedRecord)
        self._pools: dict[tuple[str, str, str], Pool] = defaultdict(Pool)
        self._scale = RewardScale()
        self._entries: dict[tuple[str, str], LedgerEntry] = {}

    def warm_start(self, entries: Iterable[LedgerEntry], run: str) -> int:
        """Pool entries of other runs; return how many counted.

        Repeated keys count once.  Entries of `run` itself do not count: a restarted run ignores
        entries that it wrote before.
        """
        fresh = {(entry.run, entry.event): entry for entry in entries if entry.run != run}
        for entry in fresh.values():
            self._pool(entry)
        return len(fresh)

    def start_from(self, priors: Iterable[PoolPrior]) -> None:
        """Count what pools are expected to be; call it once, before the first trial."""
        for prior in priors:
            self._pools[prior.slot_kind, prior.placement, prior.blueprint].expect(prior)
            self._scale.add_many(prior.trials, prior.mean_reward, prior.spread)

    def note_activation(self, slot: str, seed: int) -> None:
        """Count that `seed` of `slot` germinated."""
        self.selections += 1
        self._records[slot, seed].activate()

    def note_measurement(self, slot: str, seed: int, measurement: Measurement) -> None:
        """Append the measurement of a live seed to the windows of its composite score."""
        self._records[slot, seed].measure(measurement)

    def record(self, entry: LedgerEntry) -> None:
        """Count a settled activation; raise ValueError if its key was recorded before."""
        key = (entry.run, entry.event)
        if key in self._entries:
            raise ValueError(f"ledger: event '{entry.event}' of run '{entry.run}' is recorded")
        self._entries[key] = entry
        if len(self._entries) > MAX_ENTRIES:
            del self._entries[next(iter(self._entries))]
        self._pool(entry)

    def arm(
        self,
        spec: SlotSpec,
        seed: int,
        blueprint: str,
        first_order: float | None = None,
        window_size: int = 0,
    ) -> ArmStats:
        """Return the statistics of `seed` with `blueprint`, rewards mapped to [0, 1] as of now."""
        record = self._records.get((spec.name, seed))
        pool = self._pools.get((spec.kind, spec.placement, blueprint), _UNTRIED)
        trials, scale = pool.trials, self._scale
        return ArmStats(
            seed=seed,
            blueprint=blueprint,
            trials=trials,
            mean_reward=scale.unit(pool.reward_sum / trials) if trials else 0.5,
            recent_rewards=scale.units(pool.recent[-window_size:]) if window_size else (),
            selections=record.activations if record else 0,
            first_order=first_order,
        )

    def composite(self, slot: str, seed: int) -> float | None:
        """Return the composite score of a seed's present activation; None when nothing is known."""
        record = self._records.get((slot, seed))
        return record.composite() if record else None

    def predicted_gain(self, spec: SlotSpec, blueprint: str) -> float | None:
        """Return the mean relative gain of `blueprint` in slots like `spec`; None when unknown."""
        pool = self._pools.get((spec.kind, spec.placement, blueprint))
        return pool.gain_sum / pool.gains if pool and pool.gains else None

    def entries_of_run(self) -> list[LedgerEntry]:
        """Return the last 1,000 entries that this run recorded, oldest first."""
        return list(self._entries.values())

    def state_dict(self) -> dict[str, Any]:
        """Return the state for `load_state_dict`, ready for JSON."""
        return {
            "selections": self.selections,
            "scale": self._scale.state_dict(),
            "records": [[*key, asdict(record)] for key, record in self._records.items()],
            "pools": [[*map(str, key), asdict(pool)] for key, pool in self._pools.items()],
            "entries": [asdict(entry) for entry in self._entries.values()],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace everything by what `state_dict` returned."""
        state = deepcopy(state)
        self.selections = state["selections"]
        self._scale.load_state_dict(state["scale"])
        self._records.clear()
        for slot, seed, values in state["records"]:
            self._records[slot, seed] = SeedRecord(**values)
        self._pools.clear()
        for kind, placement, blueprint, values in state["pools"]:
            self._pools[kind, placement, blueprint] = Pool(**values)
        entries = [LedgerEntry(**values) for values in state["entries"]]
        self._entries = {(entry.run, entry.event): entry for entry in entries}

    def _pool(self, entry: LedgerEntry) -> None:
        self._pools[entry.slot_kind, entry.placement, entry.blueprint].settle(entry)
        if entry.reward is not None:
            self._scale.add(entry.reward)
