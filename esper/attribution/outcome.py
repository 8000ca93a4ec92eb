"""Build the outcome of a settled seed, which the reward judges."""

import math
import statistics

from esper.blueprint.cost import kernel_memory_mb
from esper.contracts.outcome import Outcome
from esper.growth.host import Host
from esper.growth.op_log import ClosedSeed


def outcome_of(closed: ClosedSeed, host: Host, epoch: int) -> Outcome:
    """Return the outcome of a seed that was fossilized or culled; unmeasured values are None."""
    activation, slot = closed.activation, host.slots[closed.slot]
    others_flops = host.flops - (activation.flops if closed.fossilized else 0)
    others_parameters = host.num_parameters - (activation.parameters if closed.fossilized else 0)
    losses = [loss for loss in activation.losses if math.isfinite(loss)]
    return Outcome(
        slot=closed.slot,
        seed=closed.seed,
        slot_kind=slot.spec.kind.value,
        placement=slot.spec.placement.value,
        blueprint=activation.blueprint,
        activation=closed.number,
        germinated_epoch=activation.germinated_epoch,
        settled_epoch=epoch,
        fossilized=closed.fossilized,
        gain=activation.gain,
        gain_error=activation.gain_error,
        ablation=activation.ablation,
        expected_gain=activation.expected_gain,
        gains=tuple(activation.gains),
        accuracy_gain=activation.accuracy_gain,
        loss_reduction=_loss_reduction(activation.gain, losses),
        flops_before=others_flops,
        flops_after=others_flops + activation.flops,
        parameters_before=others_parameters,
        parameters_after=others_parameters + activation.parameters,
        loss_variance=statistics.pvariance(losses) if len(losses) > 1 else 0.0,
        errors=activation.errors,
        recoveries=activation.recoveries,
        latency_ms=activation.latency_ms,
        memory_mb=kernel_memory_mb(activation.parameters, activation.trainable),
        rolled_back=closed.rolled_back,
        features=activation.features,
        reading=activation.reading,
        reason=closed.reason,
    )


def _loss_reduction(gain: float | None, losses: list[float]) -> float | None:
    """Return by how much the seed lowers the loss, in units of the loss."""
    if gain is None or not losses or gain >= 1:
        return None
    return losses[-1] * gain / (1 - gain)
