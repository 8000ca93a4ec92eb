"""Say what came of a seed's life, for the reward to judge."""

import math
import statistics

from esper.blueprint.cost import kernel_memory_mb
from esper.contracts.outcome import Outcome
from esper.growth.deeds import Closed
from esper.growth.host import Host


def outcome_of(closed: Closed, host: Host, epoch: int) -> Outcome:
    """Return the settled outcome of a seed that was just fossilized or culled.

    Raises nothing; what was never measured is None.
    """
    life, slot = closed.life, host.slots[closed.slot]
    others_flops = host.flops - (life.flops if closed.fossilized else 0)
    others_parameters = host.num_parameters - (life.parameters if closed.fossilized else 0)
    losses = [loss for loss in life.losses if math.isfinite(loss)]
    return Outcome(
        slot=closed.slot,
        seed=closed.seed,
        slot_kind=slot.spec.kind.value,
        placement=slot.spec.placement.value,
        blueprint=life.blueprint,
        activation=closed.activation,
        germinated_epoch=life.germinated_epoch,
        settled_epoch=epoch,
        fossilized=closed.fossilized,
        gain=life.gain,
        gain_error=life.gain_error,
        ablation=life.ablation,
        gains=tuple(life.gains),
        accuracy_gain=life.accuracy_gain,
        loss_reduction=_loss_reduction(life.gain, losses),
        flops_before=others_flops,
        flops_after=others_flops + life.flops,
        parameters_before=others_parameters,
        parameters_after=others_parameters + life.parameters,
        loss_variance=statistics.pvariance(losses) if len(losses) > 1 else 0.0,
        errors=life.errors,
        recoveries=life.recoveries,
        latency_ms=life.latency_ms,
        memory_mb=kernel_memory_mb(life.parameters, life.trainable),
        rolled_back=closed.rolled_back,
        reason=closed.reason,
    )


def _loss_reduction(gain: float | None, losses: list[float]) -> float | None:
    """Return how much lower the loss is than it would have been, in units of the loss."""
    if gain is None or not losses or gain >= 1:
        return None
    return losses[-1] * gain / (1 - gain)
