"""Advance every seed by one epoch: evaluate gates, apply stage transitions.

A stage's gate is evaluated at the end of the stage's length.  A failed gate culls the seed and
gives the measured values as the reason.  A check without a measured value fails.
"""

import math

from esper.contracts.event import Check, Gate, LifecycleMove
from esper.contracts.metrics import EpochMetrics
from esper.contracts.stage import LIVE, SeedStage
from esper.growth.attach import kernels_of
from esper.growth.host import Host
from esper.growth.slot import Activation, GradientHealth, Seed

_S = SeedStage


def advance_epoch(
    host: Host, metrics: EpochMetrics, rest_epochs: int, blended_loss: float | None = None
) -> list[LifecycleMove]:
    """Advance every seed by one epoch and return the moves.

    Args:
        host: the network.
        metrics: numbers of the epoch that just ended.
        rest_epochs: how long a culled seed stays embargoed.
        blended_loss: validation loss with all blended kernels, None if not measured.
    """
    moves: list[LifecycleMove] = []
    for seed in host.seeds():
        seed.epochs_in_stage += 1
        if seed.stage is _S.DORMANT:
            continue
        activation = seed.current
        if activation is not None and seed.stage is not _S.FOSSILIZED:
            activation.losses.append(metrics.val_loss)
        moves += _advance(host, seed, metrics, rest_epochs, blended_loss)
        if seed.stage in LIVE:
            _close_gradient(seed.activation)
    return moves


def _close_gradient(activation: Activation) -> None:
    """Record the gradient of the epoch, and count the epochs in which it was unhealthy."""
    gradient, activation.gradient = activation.gradient, GradientHealth()
    activation.gradient_norm = gradient.mean
    if activation.trainable and gradient.count:
        is_healthy = gradient.mean is not None and gradient.mean > 0
        activation.unhealthy_epochs = 0 if is_healthy else activation.unhealthy_epochs + 1


def is_ready(host: Host, seed: Seed, epoch: int) -> bool:
    """Return whether a seed's stage is over, or a look due; call it before stages advance."""
    if seed.stage is _S.PROBATIONARY:
        look = seed.activation.look
        return look is not None and look.epoch == epoch
    length = _lengths(host).get(seed.stage)
    return length is not None and seed.epochs_in_stage + 1 >= length


def _advance(
    host: Host,
    seed: Seed,
    metrics: EpochMetrics,
    rest_epochs: int,
    blended_loss: float | None,
) -> list[LifecycleMove]:
    lengths = _lengths(host) | {_S.EMBARGOED: rest_epochs}
    length = lengths.get(seed.stage)
    if length is None or seed.epochs_in_stage < length:
        return []
    if seed.stage is _S.EMBARGOED:
        return reactivate(host, seed, f"rested {seed.epochs_in_stage} epochs")
    if seed.stage is _S.BLENDING and not _ramp_is_done(seed):
        # This epoch was shorter than the last one; alpha reaches its target in the next.
        return []
    gate = _gate(host, seed, blended_loss)
    if not gate.passed:
        return cull_and_embargo(host, seed, metrics.epoch, f"gate failed: {gate.describe()}", gate)
    if seed.stage is _S.TRAINING:
        seed.activation.blend_loss = metrics.val_loss
        return [host.blend(seed.slot, seed.index, seed.activation.target, gate, gate.describe())]
    after = _S.SHADOWING if seed.stage is _S.BLENDING else _S.PROBATIONARY
    return [host.advance(seed.slot, seed.index, after, gate, gate.describe())]


def _lengths(host: Host) -> dict[SeedStage, int]:
    """Return the lengths, in epochs, of the stages that a live seed leaves by itself."""
    return {
        _S.TRAINING: host.options.training_epochs,
        _S.BLENDING: host.options.blending_epochs,
        _S.SHADOWING: host.options.shadowing_epochs,
    }


def cull_overdue(host: Host, epoch: int, epochs: int) -> list[LifecycleMove]:
    """Cull seeds without a verdict at their last look, and all live seeds an epoch before the end.

    A seed that blends again since has further looks.
    Nothing is removed after the last epoch, because the network could not recover from it.
    """
    moves: list[LifecycleMove] = []
    for seed in host.seeds():
        if seed.stage not in LIVE or epoch >= epochs:
            continue
        look = None if seed.stage is _S.BLENDING else seed.activation.look
        if epoch == epochs - 1:
            moves += cull_and_embargo(host, seed, epoch, "no verdict an epoch before the end")
        elif look is not None and look.epoch == epoch and look.is_last:
            reason = f"no verdict at the last look, at age {look.age}"
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


def _gate(host: Host, seed: Seed, blended_loss: float | None) -> Gate:
    """Measure the gate of a stage.  A seed whose kernel rests fails every gate."""
    if seed.stage is _S.TRAINING:
        checks = [_gradient(seed), _finite(host, seed)]
    elif seed.stage is _S.BLENDING:
        checks = [_alpha(seed), _loss(host, seed, blended_loss)]
    else:
        checks = [_epochs(seed, host.options.shadowing_epochs)]
    if seed.activation.rests:
        errors, limit = float(seed.activation.errors), "its kernel rests after them"
        checks.append(Check(name="failures", passed=False, value=errors, limit=limit))
    return Gate(checks=tuple(checks))


def _alpha(seed: Seed) -> Check:
    target = f"{seed.activation.target:g}"
    return Check(name="alpha", passed=_ramp_is_done(seed), value=seed.alpha, limit=target)


def _loss(host: Host, seed: Seed, val_loss: float | None) -> Check:
    before = math.inf if seed.activation.blend_loss is None else seed.activation.blend_loss
    # Relative to the size of the loss before, which may be 0 or negative.
    limit = before + (host.options.divergence_factor - 1) * abs(before)
    loss = val_loss if val_loss is not None and math.isfinite(val_loss) else None
    passed = loss is not None and loss <= limit
    return Check(name="loss", passed=passed, value=loss, limit=f"<= {limit:.4g}")


def _epochs(seed: Seed, least: int) -> Check:
    held = float(seed.epochs_in_stage)
    return Check(name="epochs", passed=held >= least, value=held, limit=f">= {least}")


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
