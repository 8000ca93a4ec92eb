"""A rollback restores the host and its fossils bit for bit, and removes live kernels."""

import torch

from esper.contracts.plan import Action
from esper.contracts.stage import LIVE, SeedStage
from esper.growth.param_groups import stale_entries
from esper.probe.tensors import tensors_of
from esper.safety.rollback import Snapshot, roll_back
from tests.unit.attribution.runs import FIRST, Run, plan, run
from tests.unit.growth.builders import germination, train

PLANS = {1: [FIRST], 8: [plan("0", Action.FOSSILIZE)], 9: [germination("1", 1, "mlp")]}


def grown() -> Run:
    """Return a run with a fossil in slot 0 and a live kernel in slot 1."""
    return run(PLANS).go(9)


def ruin(run: Run) -> None:
    """Change all weights and moments."""
    train(run.model, run.host.optimizer, 99)
    with torch.no_grad():
        for tensor in tensors_of(run.model).values():
            assert tensor is not None
            tensor.fill_(float("nan"))
    for state in run.host.optimizer.state.values():
        state["exp_avg"].fill_(float("nan"))


def test_host_and_fossils_come_back_bit_for_bit_with_their_moments() -> None:
    good, broken = grown(), grown()
    snapshot = Snapshot.take(broken.host, 9)
    ruin(broken)
    moves = roll_back(broken.host, snapshot, 11, "it broke")

    open_kernel = "1.esper_kernels"
    kept = {k: v for k, v in tensors_of(good.model).items() if not k.startswith(open_kernel)}
    found = tensors_of(broken.model)
    assert found.keys() == kept.keys()
    assert all(torch.equal(found[name], kept[name]) for name in kept)
    parameters = dict(good.model.named_parameters())
    for name, parameter in broken.model.named_parameters():
        mine, theirs = (
            run.host.optimizer.state[p]
            for run, p in ((broken, parameter), (good, parameters[name]))
        )
        assert all(torch.equal(mine[key], theirs[key]) for key in theirs), name

    assert [move.to_stage for move in moves] == [SeedStage.CULLED, SeedStage.EMBARGOED]
    assert not {seed.stage for seed in broken.host.seeds()} & LIVE
    assert not stale_entries(broken.host.optimizer, broken.model)
    (closed,) = broken.host.closed
    assert (closed.slot, closed.seed, closed.rolled_back) == ("1", 1, False)  # it was isolated


def test_a_kernel_that_the_network_felt_is_said_to_be_rolled_back() -> None:
    felt = run({1: [FIRST]}).go(3)
    roll_back(felt.host, Snapshot.take(felt.host, 3), 4, "it broke")
    assert [closed.rolled_back for closed in felt.host.closed] == [True]


def test_a_snapshot_is_a_copy_and_may_serve_twice() -> None:
    broken = grown()
    snapshot = Snapshot.take(broken.host, 9)
    before = {name: tensor.clone() for name, tensor in snapshot.tensors.items()}
    for _ in range(2):
        ruin(broken)
        roll_back(broken.host, snapshot, 11, "it broke")
        train(broken.model, broken.host.optimizer, 12)
    roll_back(broken.host, snapshot, 13, "it broke")
    found = tensors_of(broken.model)
    assert all(torch.equal(found[name], before[name]) for name in before)


def test_moments_that_the_snapshot_has_not_are_forgotten() -> None:
    fresh = run({})
    snapshot = Snapshot.take(fresh.host, 0)
    train(fresh.model, fresh.host.optimizer, 0)
    assert fresh.host.optimizer.state
    roll_back(fresh.host, snapshot, 1, "it broke")
    assert not fresh.host.optimizer.state


def test_a_buffer_that_changed_its_shape_has_the_old_one_again() -> None:
    broken = grown()
    broken.model[0].register_buffer("cache", torch.tensor([1.0, 2.0]), persistent=False)
    snapshot = Snapshot.take(broken.host, 9)
    broken.model[0].cache = torch.zeros(3, dtype=torch.float64)
    roll_back(broken.host, snapshot, 11, "it broke")
    assert torch.equal(broken.model[0].cache, torch.tensor([1.0, 2.0]))
    broken.model[0].cache.zero_()
    assert snapshot.tensors["0.cache"].tolist() == [1.0, 2.0]


def test_the_network_is_the_hosts_own_only_while_no_kernel_is_felt_or_came_or_went() -> None:
    fresh = run({})
    assert not Snapshot.take(fresh.host, 0).is_grown(fresh.host)

    isolated = run({1: [germination("0", 1, "mlp")]}).go(1)
    assert not Snapshot.take(isolated.host, 1).is_grown(isolated.host)

    blended = run({1: [FIRST]}).go(3)
    felt = Snapshot.take(blended.host, 3)
    assert felt.is_grown(blended.host)
    roll_back(blended.host, felt, 4, "it broke")
    assert felt.is_grown(blended.host)  # it went
    assert not felt.without_live().is_grown(blended.host)  # that is the one rolled back to
    assert not Snapshot.take(blended.host, 4).is_grown(blended.host)

    fossil = run(PLANS).go(8)
    assert not Snapshot.take(fossil.host, 8).is_grown(fossil.host)
