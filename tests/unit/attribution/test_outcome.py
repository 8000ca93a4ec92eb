import math

import pytest

from esper.attribution.outcome import outcome_of
from esper.blueprint.cost import kernel_memory_mb
from esper.contracts.stage import SeedStage
from esper.growth.host import Host
from tests.unit.growth.builders import grow, make_host

# 4 -> 5 -> 8 -> 6 -> 3 with biases.
BARE_PARAMETERS, BARE_FLOPS = 126 + 22, 2 * 126
AFFINE_PARAMETERS, AFFINE_FLOPS = 4 * 8 + 8, 2 * 4 * 8


def ended(*, fossilized: bool) -> Host:
    """Return a host whose only seed, with an affine kernel and a filled record, has settled."""
    host = make_host("mlp")
    assert (host.num_parameters, host.flops) == (BARE_PARAMETERS, BARE_FLOPS)
    grow(host, "block1", 2, "affine")
    activation = host.seed("block1", 2).activation
    activation.gain, activation.gain_error, activation.ablation, activation.accuracy_gain = (
        0.2,
        0.05,
        0.3,
        0.01,
    )
    activation.losses = [1.0, 0.6, 0.8]
    activation.latency_ms = 0.25
    activation.errors, activation.recoveries = 4, 3
    if not fossilized:
        host.cull("block1", 2, 7, "too weak")
        return host
    host.blend("block1", 2, 1.0, None, "")
    for stage in (SeedStage.SHADOWING, SeedStage.PROBATIONARY, SeedStage.FOSSILIZED):
        host.advance("block1", 2, stage, None, "strong")
    return host


@pytest.mark.parametrize("fossilized", [True, False])
def test_an_outcome_holds_the_life_and_the_network_with_and_without_it(fossilized: bool) -> None:
    host = ended(fossilized=fossilized)
    (closed,) = host.closed

    found = outcome_of(closed, host, 7)

    assert found.fossilized is fossilized
    assert (found.slot, found.seed, found.activation) == ("block1", 2, 1)
    assert (found.blueprint, found.slot_kind, found.placement) == ("affine", "dense", "parallel")
    assert (found.germinated_epoch, found.settled_epoch) == (0, 7)
    assert (found.gain, found.gain_error, found.ablation) == (0.2, 0.05, 0.3)
    assert (found.accuracy_gain, found.latency_ms) == (0.01, 0.25)
    assert (found.errors, found.recoveries) == (4, 3)
    assert found.reason == ("strong" if fossilized else "too weak")
    assert found.parameters_before == BARE_PARAMETERS
    assert found.parameters_after == BARE_PARAMETERS + AFFINE_PARAMETERS
    assert (found.flops_before, found.flops_after) == (BARE_FLOPS, BARE_FLOPS + AFFINE_FLOPS)
    # A loss of 0.8 that is a fifth less than it would have been: 1.0 - 0.8.
    assert found.loss_reduction == pytest.approx(0.2)
    # Mean 0.8; deviations 0.2, -0.2, 0.
    assert found.loss_variance == pytest.approx(0.08 / 3)


def test_what_was_never_measured_is_unknown() -> None:
    host = make_host("mlp")
    grow(host, "block1", 0, "noop")
    host.cull("block1", 0, 1, "")
    found = outcome_of(host.closed[0], host, 1)
    assert (found.gain, found.ablation, found.loss_reduction) == (None, None, None)
    assert (found.gains, found.loss_variance, found.memory_mb) == ((), 0.0, 0.0)
    assert not found.succeeded


def test_losses_that_are_no_number_leave_no_trace() -> None:
    host = ended(fossilized=False)
    host.closed[0].activation.losses[1:] = [math.nan, 0.8, math.inf]
    found = outcome_of(host.closed[0], host, 7)
    assert found.loss_reduction == pytest.approx(0.2)
    assert found.loss_variance == pytest.approx(0.01)


def test_memory_counts_weights_gradients_and_moments() -> None:
    assert kernel_memory_mb(2**18, 2**18) == 4.0
    assert kernel_memory_mb(2**18, 0) == 1.0
