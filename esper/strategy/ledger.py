"""The record of what every seed did, and what it says of the arms at hand.

An arm is a seed of a slot with the blueprint that it is bound to.  Its statistics are those of its
own settled activations with that blueprint together with those of every other slot of the same kind
and placement.  A seed's own are among its pool's, so reading the pool counts each exactly once.
"""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from esper.contracts.arm import ArmStats
from esper.contracts.ledger import LedgerEntry, Measurement
from esper.contracts.slot import SlotSpec
from esper.strategy.record import Pool, SeedRecord
from esper.strategy.reward_scale import RewardScale

MAX_ENTRIES = 1000
"""Entries of this run that are kept for the store."""


class Ledger:
    """Records per (slot, seed) of this run; pools per (slot kind, placement, blueprint) of all."""

    def __init__(self) -> None:
        self.selections = 0
        self._records: dict[tuple[str, int], SeedRecord] = {}
        self._pools: dict[tuple[str, str, str], Pool] = {}
        self._scale = RewardScale()
        self._entries: dict[tuple[str, str], LedgerEntry] = {}

    def warm_start(self, entries: Iterable[LedgerEntry], run: str) -> int:
        """Pool what other runs settled; return how many entries counted.

        Entries of `run` itself are left out, as are repeated keys: a run that starts anew must not
        learn from its own former self.
        """
        fresh = {(entry.run, entry.event): entry for entry in entries if entry.run != run}
        for entry in fresh.values():
            self._pool(entry)
        return len(fresh)

    def note_activation(self, slot: str, seed: int, epoch: int) -> None:
        """Count that `seed` of `slot` germinated at `epoch`."""
        self.selections += 1
        self._record(slot, seed).activate(epoch)

    def note_measurement(self, slot: str, seed: int, measurement: Measurement) -> None:
        """Append what was measured of a live seed; the composite score reads it."""
        self._record(slot, seed).measure(measurement)

    def record(self, entry: LedgerEntry) -> None:
        """Count a settled activation.

        Raises:
            ValueError: if an entry of the same run and event was recorded before.
        """
        key = (entry.run, entry.event)
        if key in self._entries:
            raise ValueError(f"ledger: event '{entry.event}' of run '{entry.run}' is recorded")
        self._entries[key] = entry
        if len(self._entries) > MAX_ENTRIES:
            del self._entries[next(iter(self._entries))]
        self._record(entry.slot, entry.seed).settle(entry)
        self._pool(entry)

    def arm(
        self,
        spec: SlotSpec,
        seed: int,
        blueprint: str,
        first_order: float | None = None,
        window_size: int = 0,
    ) -> ArmStats:
        """Return what is known of `seed` with `blueprint`, rewards mapped to [0, 1] as of now."""
        record = self._records.get((spec.name, seed))
        pool = self._pools.get((spec.kind, spec.placement, blueprint))
        selections = record.activations if record else 0
        if pool is None or not pool.trials:
            return ArmStats(
                seed=seed, blueprint=blueprint, selections=selections, first_order=first_order
            )
        return ArmStats(
            seed=seed,
            blueprint=blueprint,
            trials=pool.trials,
            mean_reward=self._scale.unit(pool.reward_sum / pool.trials),
            recent_rewards=self._scale.units(pool.recent[-window_size:]) if window_size else (),
            selections=selections,
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

    def seed_record(self, slot: str, seed: int) -> SeedRecord:
        """Return the record of a seed, to be read only; an empty one if it was never used."""
        return self._records.get((slot, seed)) or SeedRecord()

    def entries_of_run(self) -> list[LedgerEntry]:
        """Return the last 1,000 entries that this run recorded, oldest first."""
        return list(self._entries.values())

    @property
    def trials(self) -> int:
        """Number of rewards seen, those of other runs included."""
        return self._scale.count

    def state_dict(self) -> dict[str, Any]:
        """Return everything that `load_state_dict` needs, as JSON holds it."""
        return {
            "selections": self.selections,
            "scale": self._scale.state_dict(),
            "records": [[*key, record.state_dict()] for key, record in self._records.items()],
            "pools": [[*map(str, key), pool.state_dict()] for key, pool in self._pools.items()],
            "entries": [asdict(entry) for entry in self._entries.values()],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state that `state_dict` gave, in place of everything held."""
        self.selections = state["selections"]
        self._scale.load_state_dict(state["scale"])
        self._records = {
            (slot, seed): SeedRecord.from_state(values) for slot, seed, values in state["records"]
        }
        self._pools = {
            (kind, placement, blueprint): Pool.from_state(values)
            for kind, placement, blueprint, values in state["pools"]
        }
        entries = [LedgerEntry(**values) for values in state["entries"]]
        self._entries = {(entry.run, entry.event): entry for entry in entries}

    def _record(self, slot: str, seed: int) -> SeedRecord:
        record = self._records.get((slot, seed))
        if record is None:
            record = self._records[slot, seed] = SeedRecord()
        return record

    def _pool(self, entry: LedgerEntry) -> None:
        key = (entry.slot_kind, entry.placement, entry.blueprint)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = Pool()
        pool.settle(entry)
        if entry.reward is not None:
            self._scale.add(entry.reward)
