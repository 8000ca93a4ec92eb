"""Let seeds grow older by an epoch: gates are measured, and stages advance by themselves.

A gate is asked once a stage has lasted its length.  A seed whose gate does not pass is culled, with
what was measured as the reason; a check that was not measured has not passed.
"""

import math

from esper.contracts.event import Check, Gate, LifecycleMove, SeedHealth
from esper.contracts.stage import SeedStage
from esper.growth.attach import bank_of
from esper.growth.host import Host, Moment
from esper.growth.slot import Seed

_S = SeedStage
PROBATION_LIMIT = 4
"""Epochs after which a seed on probation that nobody judged is culled."""


def advance_epoch(host: Host, moment: Moment, rest_epochs: int) -> list[LifecycleMove]:
    """Advance every seed by one epoch and return the moves that were made.

    Args:
        host: the network.
        moment: the epoch that just ended and its validation loss.
        rest_epochs: how long a culled seed stays embargoed.
    """
    moves: list[LifecycleMove] = []
    for seed in host.seeds():
        seed.epochs_in_stage += 1
        if seed.current is not None:
            if seed.stage is not _S.FOSSILIZED:
                seed.current.losses.append(moment.val_loss)
            seed.current.improvement = _improvement(seed, moment)
        moves += _advance(host, seed, moment, rest_epochs)
    return moves


def health(host: Host) -> list[SeedHealth]:
    """Return what was measured of the gradients of isolated kernels in the epoch that ended."""
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


def _improvement(seed: Seed, moment: Moment) -> float | None:
    start = seed.activation.start_accuracy
    if start is None or moment.val_accuracy is None:
        return None
    return moment.val_accuracy - start


def _advance(host: Host, seed: Seed, moment: Moment, rest_epochs: int) -> list[LifecycleMove]:
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
        # An epoch shorter than the last one: alpha goes on to its target in the next.
        return []
    gate = _gate(host, seed, moment)
    if not gate.passed:
        return cull_and_embargo(host, seed, moment.epoch, f"gate failed: {gate.describe()}", gate)
    if seed.stage is _S.TRAINING:
        seed.activation.blend_loss = moment.val_loss
        return [host.blend(seed.slot, seed.index, seed.activation.target, gate, gate.describe())]
    after = _S.SHADOWING if seed.stage is _S.BLENDING else _S.PROBATIONARY
    return [host.advance(seed.slot, seed.index, after, gate, gate.describe())]


def cull_overdue(host: Host, epoch: int, *, is_last: bool) -> list[LifecycleMove]:
    """Cull what nobody judged in time, and after the last epoch of the budget all that is open."""
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
    """Cull a live seed and put its place under embargo."""
    return [
        host.cull(seed.slot, seed.index, epoch, reason, gate),
        host.advance(seed.slot, seed.index, _S.EMBARGOED, None, reason),
    ]


def _gate(host: Host, seed: Seed, moment: Moment) -> Gate:
    """Measure a stage's gate; a seed whose kernel rests passes none: it was not there."""
    gate = _stage_gate(host, seed, moment)
    return Gate(checks=(*gate.checks, _rest(seed))) if seed.activation.rests else gate


def _rest(seed: Seed) -> Check:
    errors = float(seed.activation.errors)
    return Check(name="failures", passed=False, value=errors, limit="its kernel rests after them")


def _stage_gate(host: Host, seed: Seed, moment: Moment) -> Gate:
    activation = seed.activation
    if seed.stage is _S.TRAINING:
        return Gate(checks=(_gradient(seed), _finite(host, seed)))
    if seed.stage is _S.BLENDING:
        before = math.inf if activation.blend_loss is None else activation.blend_loss
        # From where it was, so that a loss may be 0 or negative.
        limit = before + (host.options.divergence_factor - 1) * abs(before)
        loss = moment.val_loss if math.isfinite(moment.val_loss) else None
        done = _ramp_is_done(seed)
        return Gate(
            checks=(
                Check(name="alpha", passed=done, value=seed.alpha, limit=f"{activation.target:g}"),
                Check(
                    name="loss",
                    passed=loss is not None and loss <= limit,
                    value=loss,
                    limit=f"<= {limit:.4g}",
                ),
            )
        )
    wanted = host.options.shadowing_epochs
    return Gate(
        checks=(
            Check(
                name="measurements",
                passed=activation.measurements >= wanted,
                value=float(activation.measurements),
                limit=f">= {wanted}",
            ),
        )
    )


def _ramp_is_done(seed: Seed) -> bool:
    ramp = seed.activation.ramp
    return ramp is not None and ramp.is_done


def _gradient(seed: Seed) -> Check:
    activation = seed.activation
    if activation.trainable == 0:
        return Check(name="gradient", passed=True, value=None, limit="no trainable parameters")
    norm = activation.gradient.mean
    limit = (
        "finite and > 0"
        if activation.gradient.is_finite
        else "finite and > 0, but it was not finite"
    )
    return Check(name="gradient", passed=norm is not None and norm > 0, value=norm, limit=limit)


def _finite(host: Host, seed: Seed) -> Check:
    """Look at what a gradient does not show: its last steps' weights, and what it gave."""
    bank = bank_of(host.slots[seed.slot].module)
    assert bank is not None, "a seed with a life has a kernel"
    finite = bank.is_finite(seed.index)
    return Check(name="weights", passed=finite, value=float(finite), limit="finite: 1")
