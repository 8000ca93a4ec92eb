"""The costs of a run that can be computed by hand."""

from typing import Any

from esper.attribution.options import Attribution
from esper.grower.costs import Costs
from esper.growth.host import Host
from esper.safety.options import Safety
from tests.unit.growth.builders import make_host

EPOCHS = 40
TRAINED, SCORED = 100, 50
"""Samples of an epoch of training and of an evaluation."""
MANY_STEPS = 10**14
"""So that coins mute as many steps as expected."""
BATCH = 7
"""Samples of the example."""


def costs_of(
    host: Host, spent_epochs: float = 10, max_cost: float | None = None, **attribution: Any
) -> Costs:
    """Return the costs of a run that has trained the settled network for some epochs."""
    costs = made(host, max_cost, **attribution)
    costs.begin_epoch(TRAINED)
    costs.add(spent_epochs * 3 * TRAINED * host.settled_flops, SCORED)
    return costs


def made(host: Host, max_cost: float | None = None, **attribution: Any) -> Costs:
    return Costs(host, Attribution(**attribution), Safety(max_cost=max_cost), EPOCHS, BATCH)


def paid_host() -> Host:
    """Return a host with two places for slots, whose coins mute as many steps as expected."""
    host = make_host("sequential", ["0", "1"])
    host.steps_per_epoch = MANY_STEPS
    return host
