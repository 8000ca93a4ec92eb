"""Advance every seed by one epoch: evaluate gates, apply stage transitions.

A stage's gate is evaluated at the end of the stage's length.  A failed gate culls the seed and
gives the measured values as the reason.  A check without a measured value fails.
"""

import math

from esper.contracts.event import Check, Gate, LifecycleMove, SeedHealth
from esper.contracts.metrics import EpochMetrics
from esper.contracts.stage import SeedStage
from esper.growth.attach import kernels_of
from esper.growth.host import Host
from esper.growth.slot import Seed

_S = SeedStage
PROBATION_LIMIT = 4
"""Epochs after which a seed on probation without a verdict is culled."""


def advance_epoch(host: Host, metrics: EpochMetrics, rest_epochs: int) -> list[LifecycleMove]:
    """Advance every seed by one epoch and return the moves.

    Args:
        host: the network.
        metrics: numbers of the epoch that just ended.
        rest_epochs: how long a culled seed stays embargoed.
    """
    moves: list[LifecycleMove] = []
    for seed in host.seeds():
        seed.epochs_in_stage += 1
        activation = seed.current
        if activation is not None:
            if seed.stage is not _S.FOSSILIZED:
                activation.losses.append(metrics.val_loss)
            start, now = activation.start_accuracy, metrics.val_accuracy
            activation.improvement = None if start is None or now is None else now - start
        moves += _advance(host, seed, metrics, rest_epochs)
    return moves


def health(host: Host) -> list[SeedHealth]:
    """Return the gradient health of isolated kernels over the last epoch."""
    return [
        SeedHealth(
            slot=seed.slot,
            seed=seed.index,
            blueprint=seed.bound,
            gradient_norm=seed.activation.gradient.mean,
            finite=seed.activation.gradient.is_finite,
        )
        for seed in host.seeds()
        if seed.stage is _S.TRAINING
    ]


def _advance(
    host: Host, seed: Seed, metrics: EpochMetrics, rest_epochs: int
) -> list[LifecycleMove]:
    lengths = {
        _S.TRAINING: host.options.training_epochs,
        _S.BLENDING: host.options.blending_epochs,
        _S.SHADOWING: host.options.shadowing_epochs,
        _S.EMBARGOED: rest_epochs,
    }
    length = lengths.get(seed.stage)
    if length is None or seed.epochs_in_stage < length:
        return []
    if seed.stage is _S.EMBARGOED:
        return reactivate(host, seed, f"rested {seed.epochs_in_stage} epochs")
    if seed.stage is _S.BLENDING and not _ramp_is_done(seed):
        # This epoch was shorter than the last one; alpha reaches its target in the next.
        return []
    gate = _gate(host, seed, metrics)
    if not gate.passed:
        return cull_and_embargo(host, seed, metrics.epoch, f"gate failed: {gate.describe()}", gate)
    if seed.stage is _S.TRAINING:
        seed.activation.blend_loss = metrics.val_loss
        return [host.blend(seed.slot, seed.index, seed.activation.target, gate, gate.describe())]
    after = _S.SHADOWING if seed.stage is _S.BLENDING else _S.PROBATIONARY
    return [host.advance(seed.slot, seed.index, after, gate, gate.describe())]


def cull_overdue(host: Host, epoch: int, *, is_last: bool) -> list[LifecycleMove]:
    """Cull seeds whose verdict is overdue, and every live seed after the last epoch."""
    moves: list[LifecycleMove] = []
    for seed in host.seeds():
        waited = seed.stage is _S.PROBATIONARY and seed.epochs_in_stage
        if is_last and seed.current is not None and seed.stage is not _S.FOSSILIZED:
            moves += cull_and_embargo(host, seed, epoch, "the budget is over")
        elif waited >= PROBATION_LIMIT:
            reason = f"no verdict within {PROBATION_LIMIT} epochs of probation"
            moves += cull_and_embargo(host, seed, epoch, reason)
    return moves


def reactivate(host: Host, seed: Seed, reason: str) -> list[LifecycleMove]:
    """Return an embargoed seed to DORMANT, bound to another blueprint."""
    return [
        host.advance(seed.slot, seed.index, stage, None, reason)
        for stage in (_S.RESETTING, _S.DORMANT)
    ]


def cull_and_embargo(
    host: Host, seed: Seed, epoch: int, reason: str, gate: Gate | None = None
) -> list[LifecycleMove]:
    """Cull a live seed and embargo it."""
    return [
        host.cull(seed.slot, seed.index, epoch, reason, gate),
        host.advance(seed.slot, seed.index, _S.EMBARGOED, None, reason),
    ]


def _gate(host: Host, seed: Seed, metrics: EpochMetrics) -> Gate:
    """Measure the gate of a stage.  A seed whose kernel rests fails every gate."""
    if seed.stage is _S.TRAINING:
        checks = [_gradient(seed), _finite(host, seed)]
    elif seed.stage is _S.BLENDING:
        checks = [_alpha(seed), _loss(host, seed, metrics.val_loss)]
    else:
        checks = [_measurements(host, seed)]
    if seed.activation.rests:
        errors, limit = float(seed.activation.errors), "its kernel rests after them"
        checks.append(Check(name="failures", passed=False, value=errors, limit=limit))
    return Gate(checks=tuple(checks))


def _alpha(seed: Seed) -> Check:
    target = f"{seed.activation.target:g}"
    return Check(name="alpha", passed=_ramp_is_done(seed), value=seed.alpha, limit=target)


def _loss(host: Host, seed: Seed, val_loss: float) -> Check:
    before = math.inf if seed.activation.blend_loss is None else seed.activation.blend_loss
    # Relative to the size of the loss before, which may be 0 or negative.
    limit = before + (host.options.divergence_factor - 1) * abs(before)
    loss = val_loss if math.isfinite(val_loss) else None
    passed = loss is not None and loss <= limit
    return Check(name="loss", passed=passed, value=loss, limit=f"<= {limit:.4g}")


def _measurements(host: Host, seed: Seed) -> Check:
    least, measured = host.options.shadowing_epochs, float(seed.activation.measurements)
    return Check(name="measurements", passed=measured >= least, value=measured, limit=f">= {least}")


def _ramp_is_done(seed: Seed) -> bool:
    ramp = seed.activation.ramp
    return ramp is not None and ramp.is_done


def _gradient(seed: Seed) -> Check:
    activation = seed.activation
    if activation.trainable == 0:
        return Check(name="gradient", passed=True, value=None, limit="no trainable parameters")
    norm, limit = activation.gradient.mean, "finite and > 0"
    if not activation.gradient.is_finite:
        limit += ", but it was not finite"
    return Check(name="gradient", passed=norm is not None and norm > 0, value=norm, limit=limit)


def _finite(host: Host, seed: Seed) -> Check:
    """Check weights and outputs after the last update, which the gradient does not show."""
    finite = kernels_of(host.slots[seed.slot].module).is_finite(seed.index)
    return Check(name="weights", passed=finite, value=float(finite), limit="finite: 1")
