"""The gain that a trial of a blueprint is expected to bring.

    expected = (trials * mean + prior) / (trials + 1)
    prior    = typical, times first-order score / highest first-order score on offer if it is > 0

`mean` is the ledger's for the blueprint in this slot, shrunk towards slots like it (see `pooling`),
and `trials` is what both are worth.  `typical` is the same for all trials of the slot's catalogue,
with the slot's live kernels among its own.  Every gain counts as measured, also a negative one, so
that a slot in which trials fail promises ever less.  A blueprint that was not ranked has the prior
`typical`.
"""

from collections.abc import Iterable, Mapping, Sequence

from esper.contracts.slot import SlotState
from esper.strategy.ledger import Ledger
from esper.strategy.pooling import Tally, pool_weight, shrunk_mean


def expected_gains(
    ledger: Ledger, slot: SlotState, names: Sequence[str], first_order: Mapping[str, float]
) -> dict[str, float | None]:
    """Return the relative gain expected of each blueprint; None as long as no gain is known.

    Args:
        ledger: of this run.
        slot: where the blueprints would be tried.
        names: the blueprints.
        first_order: scores of those that were ranked, each >= 0.
    """
    tallies = {name: ledger.gains(slot.spec, name) for name in (*slot.spec.catalogue, *names)}
    typical = _typical(tallies.values(), [s.gain for s in slot.live if s.gain is not None])
    if typical is None:
        return dict.fromkeys(names)
    top = max(first_order.values(), default=0.0)
    expected: dict[str, float | None] = {}
    for name in names:
        is_ranked = typical > 0 and top > 0 and name in first_order
        prior = typical * first_order[name] / top if is_ranked else typical
        own, pool = tallies[name]
        trials = own.count + pool_weight(pool.count - own.count)
        expected[name] = (trials * (shrunk_mean(own, pool) or 0.0) + prior) / (trials + 1)
    return expected


def _typical(tallies: Iterable[tuple[Tally, Tally]], live: Sequence[float]) -> float | None:
    """Return the mean gain in a slot, shrunk; None when none is known."""
    here, everywhere = Tally(len(live), sum(live)), Tally(len(live), sum(live))
    for own, pool in tallies:
        here.add_all(own)
        everywhere.add_all(pool)
    return shrunk_mean(here, everywhere)
