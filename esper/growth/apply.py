"""Apply a plan to a host: all of it or nothing.

Every kernel is built and checked, and every move is checked against the lifecycle table, before the
first change is made; what fails later all the same is undone.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from esper.contracts.errors import LifecycleError
from esper.contracts.event import KernelBuilt, LifecycleMove
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.stage import RETARGETABLE, SeedStage, check_move
from esper.growth import attach
from esper.growth.host import Host, Moment
from esper.growth.lifecycle import cull_and_embargo, reactivate
from esper.growth.slot import Activation, Seed
from esper.kernels.faults import FaultTracker
from esper.kernels.kernel import Kernel, KernelError, kernel_event
from esper.kernels.pipeline import KernelPipeline

_S = SeedStage


@dataclass(frozen=True, slots=True)
class Applied:
    """What a plan changed.  germinated: the (slot, seed) pairs that hold a new kernel."""

    moves: list[LifecycleMove] = field(default_factory=list)
    built: list[KernelBuilt] = field(default_factory=list)
    germinated: list[tuple[str, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and when a plan is applied.

    kernels: gives those that are not ready.
    event: number of the growth event, for the seeds that germinate in it.
    cooldown_epochs: how long the slot rests afterwards.
    reason: why seeds germinate, in the words of who decided it.
    """

    kernels: KernelPipeline
    event: int
    cooldown_epochs: int
    moment: Moment
    reason: str = ""


def apply(
    host: Host, plan: Plan, setting: Setting, ready: Mapping[tuple[int, str], Kernel]
) -> Applied:
    """Apply `plan` and return what changed; the host is as it was if anything fails.

    Args:
        host: the network.
        plan: every germination names its seed and its blueprint.
        setting: where and when.
        ready: kernels that were built already, by (seed, blueprint).

    Raises:
        LifecycleError: if a change is no move of the lifecycle table.
        KernelError: if a kernel cannot be built, or the optimizer does not take it.
    """
    _check(host, plan)
    kernels, grown = setting.kernels, {}
    for change in plan.changes:
        seed, blueprint = change.seed, change.blueprint
        if change.action is Action.GERMINATE and seed is not None and blueprint is not None:
            request = host.request(plan.slot, seed, blueprint, kernels.rng_seed)
            kernel = ready.get((seed, blueprint)) or kernels.take(request)
            grown[seed] = kernels.compiled(request, kernel)
    before = remember(host, plan.slot)
    applied = Applied(
        built=[kernel_event(plan.slot, seed, kernel) for seed, kernel in grown.items()]
    )
    try:
        for change in plan.changes:
            _change(host, plan, change, setting, grown, applied)
    except BaseException as error:
        restore(host, before)
        if isinstance(error, ValueError) and applied.built:
            # The optimizer does not take the parameters, which some other group holds already.
            built = applied.built[0]
            problem = f"cannot be trained: {error}"
            raise KernelError(plan.slot, built.seed, built.blueprint, problem) from error
        raise
    if any(change.action is not Action.FOSSILIZE for change in plan.changes):
        host.slots[plan.slot].rests_until = setting.moment.epoch + setting.cooldown_epochs
    return applied


def _check(host: Host, plan: Plan) -> None:
    """Raise unless the table allows every change, one after the other."""
    stages = {seed.index: seed.stage for seed in host.slots[plan.slot].seeds}
    for change in plan.changes:
        assert change.seed in stages, f"the plan names no seed of slot '{plan.slot}': {change}"
        target = {
            Action.GERMINATE: _S.GERMINATED,
            Action.RETARGET: _S.BLENDING,
            Action.FOSSILIZE: _S.FOSSILIZED,
            Action.CULL: _S.CULLED,
        }[change.action]
        check_move(plan.slot, change.seed, stages[change.seed], target)
        if change.action is Action.RETARGET and stages[change.seed] not in RETARGETABLE:
            raise LifecycleError(
                f"slot '{plan.slot}' seed {change.seed}: cannot get another alpha target in "
                f"{stages[change.seed]} (allowed in: {', '.join(sorted(RETARGETABLE))})"
            )
        if target is _S.CULLED:
            target = _S.EMBARGOED if change.rests else _S.DORMANT
        stages[change.seed] = target


def _change(
    host: Host,
    plan: Plan,
    change: SeedChange,
    setting: Setting,
    grown: Mapping[int, Kernel],
    applied: Applied,
) -> None:
    assert change.seed is not None, "the plan was checked"
    slot, seed, moment = plan.slot, change.seed, setting.moment
    if change.action is Action.CULL:
        applied.moves.extend(
            cull_and_embargo(host, host.seed(slot, seed), moment.epoch, plan.reasoning)
        )
        if not change.rests:
            applied.moves.extend(reactivate(host, host.seed(slot, seed), "replaced at once"))
    elif change.action is Action.RETARGET:
        record = host.seed(slot, seed)
        record.activation.blend_loss = moment.val_loss
        target = change.alpha_target
        applied.moves.append(host.blend(slot, seed, target, None, plan.reasoning))
    elif change.action is Action.FOSSILIZE:
        applied.moves.append(host.advance(slot, seed, _S.FOSSILIZED, None, plan.reasoning))
    else:
        kernel = grown[seed]
        activation = Activation(
            event=setting.event,
            germinated_epoch=moment.epoch,
            blueprint=kernel.blueprint,
            parameters=kernel.parameters,
            trainable=kernel.trainable,
            flops=kernel.flops,
            latency_ms=kernel.latency_ms,
            start_accuracy=moment.val_accuracy,
            start_loss=moment.val_loss,
            target=change.alpha_target,
        )
        applied.moves.extend(host.germinate(slot, seed, kernel, activation, setting.reason))
        applied.germinated.append((slot, seed))


@dataclass(frozen=True, slots=True)
class Before:
    """What one slot and the optimizer held: kernels and parameters themselves, not copies."""

    slot: str
    seeds: list[Seed]
    rests_until: int
    last_cull_epoch: int | None
    kernels: dict[int, tuple[nn.Module, float]]
    bank: dict[str, Any]
    care: FaultTracker | None
    groups: list[dict[str, Any]]
    state: dict[torch.Tensor, Any]
    num_deeds: int
    num_closed: int


def remember(host: Host, slot: str) -> Before:
    """Return what a plan for `slot` may change."""
    place = host.slots[slot]
    bank = attach.bank_of(place.module)
    kernels = {}
    if bank is not None:
        kernels = {int(key): (kernel, bank.alpha(int(key))) for key, kernel in bank.kernels.items()}
    return Before(
        slot=slot,
        seeds=copy.deepcopy(place.seeds),
        rests_until=place.rests_until,
        last_cull_epoch=place.last_cull_epoch,
        kernels=kernels,
        bank={} if bank is None else bank.bookkeeping(),
        care=None if bank is None else copy.deepcopy(bank.care),
        groups=list(host.optimizer.param_groups),
        state=dict(host.optimizer.state),
        num_deeds=len(host.op_log),
        num_closed=len(host.closed),
    )


def restore(host: Host, before: Before) -> None:
    """Make the slot and the optimizer what they were."""
    place = host.slots[before.slot]
    bank = attach.bank_of(place.module)
    for key in list(bank.kernels) if bank is not None else []:
        attach.take_kernel(place.module, int(key))
    for seed, (kernel, alpha) in before.kernels.items():
        host.put_kernel(before.slot, seed, kernel)
        bank = attach.bank_of(place.module)
        assert bank is not None, "a kernel was just put in"
        bank.set_alpha(seed, alpha)
    if bank is not None and before.care is not None:
        bank.take_bookkeeping(before.bank)
        bank.care = before.care
    place.seeds = before.seeds
    place.rests_until, place.last_cull_epoch = before.rests_until, before.last_cull_epoch
    host.optimizer.param_groups[:] = before.groups
    host.optimizer.state.clear()
    host.optimizer.state.update(before.state)
    del host.op_log[before.num_deeds :], host.closed[before.num_closed :]
