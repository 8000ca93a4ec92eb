from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Adam

from esper.blueprint import catalogue
from esper.blueprint.base import Blueprint, sites
from esper.contracts.errors import LifecycleError
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.slot import Placement, SlotKind
from esper.contracts.stage import SeedStage
from esper.growth.apply import apply
from esper.growth.attach import bank_of
from esper.growth.host import Host
from esper.growth.param_groups import stale_entries
from esper.kernels.errors import Remedy
from esper.kernels.kernel import KernelError
from esper.kernels.options import RecoveryOptions
from esper.kernels.pipeline import build_kernel
from tests.unit.growth.builders import (
    adam_host,
    apply_plan,
    evaluate,
    germination,
    grow,
    kernel_of,
    make_host,
    make_input,
    make_metrics,
    train,
)

_S = SeedStage


class Unmovable(nn.Linear):
    """Passes every check, but fails when a host moves it to its device."""

    has_moved = False

    def to(self, *_: Any, **__: Any) -> "Unmovable":
        if self.has_moved:
            raise RuntimeError("out of memory")
        self.has_moved = True
        return self


@pytest.fixture
def blueprints() -> Iterator[None]:
    """Offer blueprints that fail in different ways."""

    def misshapen(*_: Any) -> nn.Module:
        return nn.Linear(4, 9)

    def raising(*_: Any) -> nn.Module:
        raise ZeroDivisionError("a user's mistake")

    def unmovable(*_: Any) -> nn.Module:
        return Unmovable(4, 8)

    builds = {"misshapen": misshapen, "raising": raising, "unmovable": unmovable}
    for name, build in builds.items():
        catalogue.register(
            Blueprint(
                name=name,
                fits_in=sites([SlotKind.DENSE], Placement),
                risk=0.5,
                build=build,
            )
        )
    yield
    for name in builds:
        del catalogue._added[name]


def plan_of(*changes: SeedChange) -> Plan:
    return Plan(slot="block1", kind="test", changes=changes, reasoning="a test wants it")


def change(action: Action, seed: int, **fields: Any) -> SeedChange:
    return SeedChange(action=action, seed=seed, **fields)


def lived_in() -> Host:
    """Return a host with a blended seed 0 and an isolated seed 1, both with moments."""
    host = adam_host("mlp")
    train(host.model, host.optimizer)
    host.end_epoch()
    grow(host, "block1", 0)
    host.blend("block1", 0, 0.5, None, "")
    grow(host, "block1", 1, "affine")
    train(host.model, host.optimizer, epoch=1)
    bank = bank_of(host.slots["block1"].module)
    assert bank is not None
    bank.faults.options = RecoveryOptions(failures=2)
    bank.faults.fossils.add(0)
    bank.faults.failed(0, ValueError("mistake"), Remedy.FALLBACK)
    bank.faults.failed(1, MemoryError(), Remedy.DEGRADE)
    host.op_log.clear()
    return host


def facts(host: Host) -> dict[str, Any]:
    """Return everything of a host that a failed plan must not change."""
    bank = bank_of(host.slots["block1"].module)
    host.model.eval()
    with torch.no_grad():
        output = host.model(make_input("mlp"))
    host.model.train()
    return {
        "output": output.tolist(),
        "model": {key: value.tolist() for key, value in host.model.state_dict().items()},
        "groups": [
            {k: [id(p) for p in v] if k == "params" else v for k, v in group.items()}
            for group in host.optimizer.param_groups
        ],
        "moments": {
            id(p): {k: v.tolist() for k, v in state.items()}
            for p, state in host.optimizer.state.items()
        },
        "average": {key: value.tolist() for key, value in host.average.mean.items()},
        "seeds": [repr(seed) for seed in host.seeds()],
        "slot": (host.slots["block1"].rests_until, host.slots["block1"].last_cull_epoch),
        "op_log": (len(host.op_log), len(host.closed)),
        "bank": (
            None
            if bank is None
            else (
                sorted(bank.isolated),
                list(bank.kernels),
                [id(k) for k in bank.kernels.values()],
                [bank.is_finite(int(seed)) for seed in bank.kernels],
                bank.faults.state(),
                bank.faults.options,
                sorted(bank.faults.fossils),
            )
        ),
    }


def test_a_plan_germinates_culls_retargets_and_fossilizes() -> None:
    host = lived_in()
    host.advance("block1", 0, _S.SHADOWING, None, "")
    plan = plan_of(
        change(Action.RETARGET, 0, alpha_target=0.9),
        change(Action.CULL, 1),
        change(Action.GERMINATE, 2, blueprint="gated_mlp", alpha_target=0.3),
    )

    applied = apply_plan(host, plan, event=7, epoch=4, val_loss=0.6)

    assert [(move.seed, str(move.from_stage), str(move.to_stage)) for move in applied.moves] == [
        (0, "SHADOWING", "BLENDING"),
        (1, "TRAINING", "CULLED"),
        (1, "CULLED", "EMBARGOED"),
        (2, "DORMANT", "GERMINATED"),
        (2, "GERMINATED", "TRAINING"),
    ]
    assert [(built.slot, built.seed) for built in applied.built] == [("block1", 2)]
    (built,) = applied.built
    # 4 -> (2 x 8) -> 8 with biases.
    assert (built.blueprint, built.parameters) == ("gated_mlp", 4 * 16 + 16 + 8 * 8 + 8)
    life = host.seed("block1", 2).activation
    assert (life.event, life.germinated_epoch, life.target, life.start_loss) == (7, 4, 0.3, 0.6)
    assert host.seed("block1", 0).activation.target == 0.9
    assert host.seed("block1", 0).activation.blend_loss == 0.6
    assert host.slots["block1"].last_cull_epoch == 4
    assert not stale_entries(host.optimizer, host.model)


def test_a_seed_is_replaced_within_one_plan() -> None:
    host = lived_in()
    old = kernel_of(host, "block1", 0)
    plan = plan_of(
        change(Action.CULL, 0, rests=False), change(Action.GERMINATE, 0, blueprint="affine")
    )
    applied = apply_plan(host, plan, epoch=3)
    assert [str(move.to_stage) for move in applied.moves] == [
        "CULLED", "EMBARGOED", "RESETTING", "DORMANT", "GERMINATED", "TRAINING",
    ]  # fmt: skip
    seed = host.seed("block1", 0)
    assert (seed.stage, seed.activations, seed.bound) == (_S.TRAINING, 2, "affine")
    assert kernel_of(host, "block1", 0) is not old
    assert not any(p in host.optimizer.state for p in old.parameters())


def test_an_empty_plan_changes_nothing() -> None:
    host = lived_in()
    before = facts(host)
    applied = apply_plan(host, plan_of(), epoch=9)
    assert (applied.moves, applied.built) == ([], [])
    assert facts(host) == before


GERMINATE = change(Action.GERMINATE, 2, blueprint="mlp")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ([GERMINATE, change(Action.GERMINATE, 3, blueprint="raising")], KernelError,
         "'raising' in slot 'block1' cannot be built: ZeroDivisionError: a user's mistake"),
        ([GERMINATE, change(Action.GERMINATE, 3, blueprint="misshapen")], KernelError,
         r"'misshapen' .* is not sane: shape not measured \(\(4, 8\), got \(4, 9\)\)"),
        ([GERMINATE, change(Action.GERMINATE, 3, blueprint="unknown")], KernelError,
         "unknown blueprint 'unknown'"),
        ([change(Action.CULL, 0), GERMINATE, change(Action.GERMINATE, 3, blueprint="unmovable")],
         RuntimeError, "out of memory"),
        ([change(Action.CULL, 1, rests=False), change(Action.GERMINATE, 1, blueprint="unmovable")],
         RuntimeError, "out of memory"),
        ([GERMINATE, change(Action.GERMINATE, 0, blueprint="mlp")], LifecycleError,
         r"seed 0: cannot move BLENDING -> GERMINATED \(allowed: SHADOWING, CULLED\)"),
        ([GERMINATE, GERMINATE], LifecycleError, "seed 2: cannot move GERMINATED -> GERMINATED"),
        ([change(Action.CULL, 0), change(Action.GERMINATE, 0, blueprint="mlp")], LifecycleError,
         r"seed 0: cannot move EMBARGOED -> GERMINATED \(allowed: RESETTING\)"),
        ([GERMINATE, change(Action.RETARGET, 0)], LifecycleError,
         "cannot move BLENDING -> BLENDING"),
        ([GERMINATE, change(Action.RETARGET, 1)], LifecycleError,
         r"seed 1: .* in TRAINING \(allowed in: PROBATIONARY, SHADOWING\)"),
        ([GERMINATE, change(Action.FOSSILIZE, 0)], LifecycleError,
         "cannot move BLENDING -> FOSSILIZED"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("blueprints")
def test_a_plan_that_fails_anywhere_leaves_everything_as_it_was(
    changes: list[SeedChange], error: type[Exception], message: str
) -> None:
    host = lived_in()
    before = facts(host)

    with pytest.raises(error, match=message):
        apply_plan(host, plan_of(*changes), epoch=4)

    assert facts(host) == before
    assert not stale_entries(host.optimizer, host.model)
    twin = lived_in()
    for each in (host, twin):
        train(each.model, each.optimizer, epoch=2)
    assert torch.equal(evaluate(host.model)[0], evaluate(twin.model)[0])


def test_an_optimizer_that_takes_no_further_group_leaves_the_host_without_kernels() -> None:
    class Full(Adam):
        def add_param_group(self, param_group: dict[str, Any]) -> None:
            if len(self.param_groups) > 1:
                raise ValueError("no more groups")
            super().add_param_group(param_group)

    host = make_host("mlp", optimizer=Full)
    train(host.model, host.optimizer)
    before = facts(host)
    plan = plan_of(GERMINATE, change(Action.GERMINATE, 3, blueprint="affine"))
    with pytest.raises(KernelError, match="cannot be trained: no more groups"):
        apply_plan(host, plan)
    assert facts(host) == before
    assert before["bank"] is None


def test_a_kernel_that_is_ready_is_taken() -> None:
    host = make_host("mlp")
    ready = build_kernel(host.request("block1", 0, "mlp", 0))
    apply(host, germination("block1", 0, "mlp"), {(0, "mlp"): ready}, make_metrics(), event=0)
    assert kernel_of(host, "block1") is ready.module


def test_a_kernel_error_says_what_was_asked_for() -> None:
    with pytest.raises(KernelError) as caught:
        build_kernel(make_host("mlp").request("block1", 2, "conv", 0))
    attempt = caught.value.attempt
    assert (attempt.slot, attempt.seed, attempt.blueprint) == ("block1", 2, "conv")
    assert attempt.error == str(caught.value)


def test_what_a_slot_reads_is_not_touched_by_an_application() -> None:
    host, x = make_host("mlp"), make_input("mlp")
    kept: Tensor = x.clone()
    grow(host, "block1")
    host.model(x)
    assert torch.equal(x, kept)
