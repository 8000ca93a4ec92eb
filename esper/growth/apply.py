"""Apply a plan to a host: all of it or nothing.

All moves are checked against the lifecycle table before the first change.  If a change still
fails, the host is restored.
"""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from esper.contracts.errors import LifecycleError
from esper.contracts.event import KernelBuilt, LifecycleMove
from esper.contracts.metrics import EpochMetrics
from esper.contracts.plan import TARGET_STAGE, Action, Plan, SeedChange
from esper.contracts.stage import RETARGETABLE, SeedStage, check_move
from esper.growth import attach
from esper.growth.host import Host
from esper.growth.lifecycle import cull_and_embargo, reactivate
from esper.growth.slot import Activation
from esper.kernels.kernel import Kernel, KernelError, kernel_event

_S = SeedStage


@dataclass(frozen=True, slots=True)
class Applied:
    """The moves that a plan made, and the kernels that it germinated."""

    moves: list[LifecycleMove] = field(default_factory=list)
    built: list[KernelBuilt] = field(default_factory=list)


def apply(
    host: Host,
    plan: Plan,
    kernels: Mapping[tuple[int, str], Kernel],
    metrics: EpochMetrics,
    event: int,
    reason: str = "",
) -> Applied:
    """Apply `plan` and return what changed; if anything fails, the host does not change.

    Args:
        host: the network.
        plan: every germination names its seed and its blueprint.
        kernels: the kernel of every germination, by (seed, blueprint).
        metrics: numbers of the epoch that just ended.
        event: number of the growth event that the germinating seeds belong to.
        reason: the decision's reason, recorded with each germination.

    Raises:
        LifecycleError: if the lifecycle table does not allow a change.
        KernelError: if the optimizer does not accept a kernel's parameters.
    """
    _check(host, plan)
    applied = Applied()
    try:
        with _undone_on_error(host, plan.slot):
            for change in plan.changes:
                if change.action is not Action.GERMINATE:
                    applied.moves.extend(_change(host, plan, change, metrics))
                    continue
                assert change.seed is not None, "the plan was checked"
                assert change.blueprint is not None, "a germination names its blueprint"
                kernel = kernels[change.seed, change.blueprint]
                applied.built.append(kernel_event(plan.slot, change.seed, kernel))
                activation = _activation(kernel, change, metrics, event)
                moves = host.germinate(plan.slot, change.seed, kernel, activation, reason)
                applied.moves.extend(moves)
    except ValueError as error:
        if not applied.built:
            raise
        # The optimizer refuses parameters that another of its groups holds already.
        built = applied.built[-1]
        problem = f"cannot be trained: {error}"
        raise KernelError(plan.slot, built.seed, built.blueprint, problem) from error
    return applied


def _check(host: Host, plan: Plan) -> None:
    """Raise `LifecycleError` unless the table allows all changes in their order."""
    stages = {seed.index: seed.stage for seed in host.slots[plan.slot].seeds}
    for change in plan.changes:
        assert change.seed in stages, f"the plan names no seed of slot '{plan.slot}': {change}"
        stage, target = stages[change.seed], TARGET_STAGE[change.action]
        check_move(plan.slot, change.seed, stage, target)
        if change.action is Action.RETARGET and stage not in RETARGETABLE:
            raise LifecycleError(
                f"slot '{plan.slot}' seed {change.seed}: cannot get another alpha target in "
                f"{stage} (allowed in: {', '.join(sorted(RETARGETABLE))})"
            )
        if target is _S.CULLED:
            target = _S.EMBARGOED if change.rests else _S.DORMANT
        stages[change.seed] = target


def _change(
    host: Host, plan: Plan, change: SeedChange, metrics: EpochMetrics
) -> list[LifecycleMove]:
    """Make a change other than a germination."""
    assert change.seed is not None, "the plan was checked"
    slot, seed = plan.slot, host.seed(plan.slot, change.seed)
    if change.action is Action.CULL:
        moves = cull_and_embargo(host, seed, metrics.epoch, plan.reasoning)
        return moves if change.rests else [*moves, *reactivate(host, seed, "replaced at once")]
    if change.action is Action.RETARGET:
        seed.activation.blend_loss = metrics.val_loss
        # Blending is over one epoch later, as after the isolated epoch of a new kernel.
        seed.activation.aged_from = metrics.epoch - host.options.training_epochs
        return [host.blend(slot, seed.index, change.alpha_target, None, plan.reasoning)]
    return [host.advance(slot, seed.index, _S.FOSSILIZED, None, plan.reasoning)]


def _activation(
    kernel: Kernel, change: SeedChange, metrics: EpochMetrics, event: int
) -> Activation:
    return Activation(
        event=event,
        germinated_epoch=metrics.epoch,
        aged_from=metrics.epoch,
        blueprint=kernel.blueprint,
        parameters=kernel.parameters,
        trainable=kernel.trainable,
        flops=kernel.flops,
        latency_ms=kernel.latency_ms,
        start_accuracy=metrics.val_accuracy,
        start_loss=metrics.val_loss,
        target=change.alpha_target,
        expected_gain=change.expected_gain,
    )


@contextmanager
def _undone_on_error(host: Host, slot: str) -> Iterator[None]:
    """Restore a slot and the optimizer if the block raises.

    Restores the same module objects, not copies, because the optimizer holds their parameters.
    """
    place, optimizer = host.slots[slot], host.optimizer
    bank = attach.bank_of(place.module)
    kernels = [] if bank is None else bank.kernels.values()
    memo = {id(each): each for each in (place.spec, place.module, *kernels)}
    place_before, bank_before = copy.deepcopy(place, memo), copy.deepcopy(bank, memo)
    groups, moments = list(optimizer.param_groups), dict(optimizer.state)
    num_ops, num_closed = len(host.op_log), len(host.closed)
    host.average.catch_up()
    means = dict(host.average.mean)
    try:
        yield
    except BaseException:
        attach.put_bank(place.module, bank_before)
        host.slots[slot] = place_before
        host.steps.stages_changed()
        host.average.load(dict(means))
        optimizer.param_groups[:] = groups
        optimizer.state.clear()
        optimizer.state.update(moments)
        del host.op_log[num_ops:], host.closed[num_closed:]
        raise
