"""Apply a plan to a host: all of it or nothing.

Every move is checked against the lifecycle table before the first change is made.  If a change
fails all the same, the host is restored.
"""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from esper.contracts.errors import LifecycleError
from esper.contracts.event import KernelBuilt, LifecycleMove
from esper.contracts.metrics import EpochMetrics
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.stage import RETARGETABLE, SeedStage, check_move
from esper.growth import attach
from esper.growth.host import Host
from esper.growth.lifecycle import cull_and_embargo, reactivate
from esper.growth.slot import Activation
from esper.kernels.kernel import Kernel, KernelError, kernel_event

_S = SeedStage


@dataclass(frozen=True, slots=True)
class Applied:
    """What a plan changed.  germinated: the (slot, seed) pairs that hold a new kernel."""

    moves: list[LifecycleMove] = field(default_factory=list)
    built: list[KernelBuilt] = field(default_factory=list)
    germinated: list[tuple[str, int]] = field(default_factory=list)


def apply(
    host: Host,
    plan: Plan,
    kernels: Mapping[tuple[int, str], Kernel],
    metrics: EpochMetrics,
    event: int,
    reason: str = "",
) -> Applied:
    """Apply `plan` and return what changed; the host is as it was if anything fails.

    Args:
        host: the network.
        plan: every germination names its seed and its blueprint.
        kernels: one for every germination, by (seed, blueprint).
        metrics: numbers of the epoch that just ended.
        event: number of the growth event, for the seeds that germinate in it.
        reason: why seeds germinate, in the words of the decision.

    Raises:
        LifecycleError: if a change is no move of the lifecycle table.
        KernelError: if the optimizer does not take a kernel's parameters.
    """
    _check(host, plan)
    grown = {
        change.seed: kernels[change.seed, change.blueprint]
        for change in plan.changes
        if change.action is Action.GERMINATE
        and change.seed is not None
        and change.blueprint is not None
    }
    applied = Applied()
    try:
        with _undone_on_error(host, plan.slot):
            for change in plan.changes:
                if change.action is Action.GERMINATE:
                    assert change.seed is not None, "the plan was checked"
                    kernel = grown[change.seed]
                    applied.germinated.append((plan.slot, change.seed))
                    applied.built.append(kernel_event(plan.slot, change.seed, kernel))
                    activation = _activation(kernel, change, metrics, event)
                    applied.moves.extend(
                        host.germinate(plan.slot, change.seed, kernel, activation, reason)
                    )
                else:
                    applied.moves.extend(_change(host, plan, change, metrics))
    except ValueError as error:
        if not applied.built:
            raise
        # The optimizer does not take the parameters, which some other group holds already.
        built = applied.built[-1]
        problem = f"cannot be trained: {error}"
        raise KernelError(plan.slot, built.seed, built.blueprint, problem) from error
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
    host: Host, plan: Plan, change: SeedChange, metrics: EpochMetrics
) -> list[LifecycleMove]:
    """Make one change that needs no kernel."""
    assert change.seed is not None, "the plan was checked"
    slot, seed = plan.slot, host.seed(plan.slot, change.seed)
    if change.action is Action.CULL:
        moves = cull_and_embargo(host, seed, metrics.epoch, plan.reasoning)
        return moves if change.rests else [*moves, *reactivate(host, seed, "replaced at once")]
    if change.action is Action.RETARGET:
        seed.activation.blend_loss = metrics.val_loss
        return [host.blend(slot, seed.index, change.alpha_target, None, plan.reasoning)]
    return [host.advance(slot, seed.index, _S.FOSSILIZED, None, plan.reasoning)]


def _activation(
    kernel: Kernel, change: SeedChange, metrics: EpochMetrics, event: int
) -> Activation:
    return Activation(
        event=event,
        germinated_epoch=metrics.epoch,
        blueprint=kernel.blueprint,
        parameters=kernel.parameters,
        trainable=kernel.trainable,
        flops=kernel.flops,
        latency_ms=kernel.latency_ms,
        start_accuracy=metrics.val_accuracy,
        start_loss=metrics.val_loss,
        target=change.alpha_target,
    )


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
