"""The gain that a trial of a blueprint is expected to bring.

    expected = (trials * max(0, mean gain) + prior) / (trials + 1)
    prior    = typical * first-order score / highest first-order score on offer

`mean gain` is the ledger's for the blueprint in this slot, shrunk towards slots like it (see
`pooling`), and `trials` is what both are worth.  `typical` is the mean of max(0, gain) over the
tried blueprints of the slot's catalogue and the slot's live kernels.  No trial brings less than 0,
because a kernel without gain is culled.  A blueprint that was not ranked has the prior `typical`.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

from esper.contracts.slot import SlotState
from esper.strategy.ledger import Ledger


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
    spec = slot.spec
    means = {name: ledger.predicted_gain(spec, name) for name in (*spec.catalogue, *names)}
    known = [mean for mean in means.values() if mean is not None]
    known += [seed.gain for seed in slot.live if seed.gain is not None]
    if not known:
        return dict.fromkeys(names)
    typical = fmean(max(0.0, gain) for gain in known)
    top = max(first_order.values(), default=0.0)
    expected: dict[str, float | None] = {}
    for name in names:
        prior = typical * first_order[name] / top if top > 0 and name in first_order else typical
        mean = means[name]
        trials = 0 if mean is None else ledger.arm(spec, 0, name).trials
        expected[name] = (trials * max(0.0, mean or 0.0) + prior) / (trials + 1)
    return expected
