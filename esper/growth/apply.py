"""Apply a plan to a host: all of it or nothing.

Before the first change, every kernel is built and validated and every move is checked against the
lifecycle table.  If a change fails all the same, those before it are undone.
"""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from esper.contracts.errors import LifecycleError
from esper.contracts.event import KernelBuilt, LifecycleMove
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.stage import RETARGETABLE, SeedStage, check_move
from esper.growth import attach
from esper.growth.host import Host, Moment
from esper.growth.lifecycle import cull_and_embargo, reactivate
from esper.growth.slot import Activation
from esper.kernels.kernel import Kernel, KernelError, told
from esper.kernels.pipeline import KernelPipeline

_S = SeedStage


@dataclass(frozen=True, slots=True)
class Applied:
    """The changes that a plan made.  germinated: the (slot, seed) pairs that hold a new kernel."""

    moves: list[LifecycleMove] = field(default_factory=list)
    built: list[KernelBuilt] = field(default_factory=list)
    germinated: list[tuple[str, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and when a plan is applied.

    kernels: builds those that are not ready.
    event: number of the growth event, for the seeds that germinate in it.
    cooldown_epochs: epochs in which nothing more germinates in the slot.
    reason: why seeds germinate, in the words of the decision.
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
    kernels = setting.kernels
    grown = {
        change.seed: kernels.compiled(
            host,
            plan.slot,
            change.seed,
            ready.get((change.seed, change.blueprint))
            or kernels.take(host, plan.slot, change.seed, change.blueprint),
        )
        for change in plan.changes
        if change.action is Action.GERMINATE
        and change.seed is not None
        and change.blueprint is not None
    }
    applied = Applied(built=[told(plan.slot, seed, kernel) for seed, kernel in grown.items()])
    try:
        with _undone_on_error(host, plan.slot):
            for change in plan.changes:
                _change(host, plan, change, setting, grown, applied)
    except ValueError as error:
        if not applied.built:
            raise
        # The optimizer does not take the parameters, which some other group holds already.
        built = applied.built[0]
        problem = f"cannot be trained: {error}"
        raise KernelError(plan.slot, built.seed, built.blueprint, problem) from error
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


@contextmanager
def _undone_on_error(host: Host, slot: str) -> Iterator[None]:
    """Make a slot and the optimizer what they were before if the block raises.

    Kernels and parameters themselves are put back, not copies: the optimizer knows them.
    """
    place, optimizer = host.slots[slot], host.optimizer
    bank = attach.bank_of(place.module)
    kernels = [] if bank is None else bank.kernels.values()
    kept = {id(each): each for each in (place.spec, place.module, *kernels)}
    place_before, bank_before = copy.deepcopy(place, kept), copy.deepcopy(bank, kept)
    groups, moments = list(optimizer.param_groups), dict(optimizer.state)
    num_ops, num_closed = len(host.op_log), len(host.closed)
    try:
        yield
    except BaseException:
        attach.put_bank(place.module, bank_before)
        host.slots[slot] = place_before
        optimizer.param_groups[:] = groups
        optimizer.state.clear()
        optimizer.state.update(moments)
        del host.op_log[num_ops:], host.closed[num_closed:]
        raise
