"""What a prior expects of arms: a row for each kind of slot, placement, half of the host, and name.

A row is worth what its trials are worth in another slot (see `pooling`): together with the
first-order score before an arm's own trials, and with the trials of other slots in the gain that is
expected of a blueprint.
"""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from esper.contracts.ledger import PoolPrior
from esper.contracts.slot import SlotSpec
from esper.strategy.pooling import Tally, pool_weight
from esper.strategy.prior import Prior
from esper.strategy.reward_scale import RewardScale

_Key = tuple[str, str, bool, str]


class ExpectedPools:
    """The rows of a prior, by the slots that they speak of."""

    def __init__(self) -> None:
        self._rows: dict[_Key, PoolPrior] = {}

    def add(self, row: PoolPrior) -> None:
        """Take a row; it replaces the one of the same slots."""
        self._rows[row.slot_kind, row.placement, row.is_late, row.blueprint] = row

    def merged(self, spec: SlotSpec, blueprint: str, prior: Prior, scale: RewardScale) -> Prior:
        """Return the first-order prior of an arm together with what is expected of it."""
        row = self._of(spec, blueprint)
        if row is None:
            return prior
        weight = pool_weight(row.trials)
        trials = prior.trials + weight
        known = prior.trials * prior.mean + weight * scale.unit(row.mean_reward)
        return Prior(prior.score, known / trials, trials)

    def with_gains(self, spec: SlotSpec, blueprint: str, gains: Tally) -> Tally:
        """Return the gains of a pool with those that are expected of it."""
        row = self._of(spec, blueprint)
        if row is None or row.mean_gain is None:
            return gains
        weight = pool_weight(row.trials)
        return Tally(gains.count + weight, gains.total + weight * row.mean_gain)

    def state_dict(self) -> list[dict[str, Any]]:
        """Return the rows, ready for JSON."""
        return [asdict(row) for row in self._rows.values()]

    def load_state_dict(self, state: Iterable[dict[str, Any]]) -> None:
        """Replace the rows by what `state_dict` returned."""
        self._rows.clear()
        for values in state:
            self.add(PoolPrior(**values))

    def _of(self, spec: SlotSpec, blueprint: str) -> PoolPrior | None:
        if not self._rows:
            return None
        return self._rows.get((spec.kind, spec.placement, spec.is_late, blueprint))
