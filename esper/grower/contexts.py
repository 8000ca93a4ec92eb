"""What a strategy that reads health is told of a germination, beside the state of the run.

    number = 0.5 + 0.5 tanh(part / SCALE)

The parts are what the features of the run, of the slot and of the kernel add to the gain that the
model shipped with Esper predicts (see `signals.gain_features`).  A strategy learns in its own run
how much each of them says.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from esper.learning.gain_model import GainModel
from esper.signals.gain_features import Offer, group_of

SCALE = 0.1
"""Log loss that moves a number by three quarters of its way."""


def contexts_of(
    model: GainModel, offers: Sequence[Offer], context: tuple[float, ...]
) -> Mapping[str, tuple[float, ...]]:
    """Return the contexts of a slot's offers by blueprint, from that of the run."""
    if not offers:
        return {}
    groups = [group_of(name) for name in model.names]
    parts_NG = model.parts([each.features for each in offers], groups)
    numbers = (0.5 + 0.5 * np.tanh(parts_NG / SCALE)).tolist()
    return {
        each.birth.blueprint: (*context, *row) for each, row in zip(offers, numbers, strict=True)
    }
