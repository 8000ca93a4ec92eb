"""Forks, true gains and trials, on tiny real runs."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from esper.blueprint import catalogue
from esper.contracts.slot import Placement, SlotKind, SlotSpec
from esper.growth.attach import bank_of
from esper.model.mlp import MLP
from esper.training.options import Training
from experiments.gate_forks import CONSTANT_EPOCHS, DECAY_EPOCHS, Fork
from experiments.gate_kernels import PERMUTED, Permuted
from experiments.gate_table import fitting, groups, some, tables
from experiments.gate_trials import LAST_AGE, follow, never, trials
from experiments.tasks import Place

EVENT = 2


@pytest.fixture(autouse=True, scope="module")
def _leaves_no_blueprint_behind() -> Iterator[None]:
    yield
    if "permuted" in catalogue.names():
        catalogue.unregister("permuted")


@pytest.fixture(scope="module")
def fork() -> Fork:
    # Wide enough that the loss falls within a few steps.
    config = Place("spirals", 40).config(
        0, training=Training(steps_per_epoch=6), model=MLP(hidden=(24,))
    )
    return Fork(config, EVENT, repeats=2)


def test_a_permuted_kernel_reads_no_sample_of_its_own() -> None:
    kernel = Permuted(torch.nn.Sequential(torch.nn.Identity()))
    x = torch.arange(8.0)
    assert sorted(kernel(x).tolist()) == x.tolist()
    assert not torch.equal(kernel(x), x)
    assert torch.equal(kernel(x), kernel(x))


def test_branches_start_from_the_same_training_and_stay_apart(fork: Fork) -> None:
    (one, optimizer), (other, _) = fork.branch(), fork.branch()
    assert optimizer.param_groups[0]["params"][0] is next(one.parameters())
    moments = optimizer.state[next(one.parameters())]
    assert float(moments["step"]) == 6 * (EVENT - 1)
    before = [p.clone() for p in other.parameters()]
    fork.task.train(one, optimizer, EVENT)
    assert all(torch.equal(a, b) for a, b in zip(before, other.parameters(), strict=True))
    assert not torch.equal(next(one.parameters()), next(other.parameters()))


def test_noop_has_no_true_gain_and_a_kernel_that_learns_has_one(fork: Fork) -> None:
    (slot,) = fork.host().slots
    nothing = fork.true_gain(slot, "noop")
    assert nothing["test"].value == nothing["val"].value == 0
    assert nothing["test"].error == 0
    learned = fork.true_gain(slot, "mlp")
    assert learned["val"].value != 0
    assert learned["val"].error > 0, "each repeat has another order of the data"
    losses = [each["test"] for each in fork.never]
    assert losses[0] != losses[1]


def test_a_branch_decays_its_learning_rate_after_the_constant_part(
    fork: Fork, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates, stages = {}, []
    train = type(fork.task).train

    def noted(task: Any, model: Any, optimizer: Any, epoch: int) -> Any:
        report = train(task, model, optimizer, epoch)
        rates[epoch] = report.learning_rate
        bank = bank_of(model.block1)
        stages.append(None if bank is None else (len(bank.isolated), float(bank.alpha_0)))
        return report

    monkeypatch.setattr(type(fork.task), "train", noted)
    (slot,) = fork.host().slots
    fork._losses(0, slot, "mlp")
    last = EVENT + CONSTANT_EPOCHS + DECAY_EPOCHS
    assert list(rates) == list(range(EVENT, last + 1))
    assert {rates[epoch] for epoch in range(EVENT, EVENT + CONSTANT_EPOCHS + 1)} == {0.01}
    assert 0 < rates[last] < rates[last - 1] < 0.01
    # Without a kernel, isolated for an epoch, blended in the next, then always on.
    assert stages[:3] == [None, (1, 0.0), (0, 1.0)]
    assert set(stages[3:]) == {(0, 1.0)}


def test_a_trial_shows_gains_by_age_and_costs_more_than_no_trial(fork: Fork) -> None:
    (slot,) = fork.host().slots
    baseline = never(fork)
    assert baseline.gains == baseline.blueprints == {}
    rows = trials(fork, baseline, slot, ("mlp", PERMUTED), {"default": {}})
    assert [(r["blueprint"], r["is_useless"], r["ensemble"]) for r in rows] == [
        ("mlp", False, 2),
        (PERMUTED, True, 2),
    ]
    for row in rows:
        assert row["looks"], "something was measured"
        assert all(0 < int(age) <= LAST_AGE for age in row["looks"])
        assert all(len(look) == 4 for look in row["looks"].values())
        shares = row["costs"]["flops_share"]
        assert shares["0"] == 0, "nothing germinated before the first epoch's end"
        assert shares[str(LAST_AGE)] > shares["4"] > 0
        assert row["added_flops"] > 0
    assert rows[0]["costs"]["host_flops"] == pytest.approx(fork.host().base_flops)


def test_a_trial_in_which_a_kernel_is_missing_is_refused(fork: Fork) -> None:
    (slot,) = fork.host().slots
    with pytest.raises(RuntimeError, match="only these germinated"):
        follow(fork, slot, ("mlp", "mlp"), {})


def test_every_blueprint_is_tried_alone_and_ensembles_are_half_useless(fork: Fork) -> None:
    spec = SlotSpec(
        name="a",
        kind=SlotKind.DENSE,
        placement=Placement.PARALLEL,
        in_shape=(4,),
        out_shape=(3,),
        catalogue=(),
    )
    useful, useless = fitting(spec)
    assert useful == ["mlp", "gated_mlp", "affine", "lora"]
    assert useless == ["noop", "frozen_random", PERMUTED]
    assert PERMUTED in catalogue.names(), "a fork registers it"
    kernels = list(groups(useful, useless, rng_seed=3))
    assert kernels[:7] == [(name,) for name in (*useful, *useless)]
    assert kernels[7:] == [("lora", "noop"), ("lora", "mlp", "noop", "frozen_random")]
    assert list(groups(["mlp"], ["noop"], 0)) == [("mlp",), ("noop",), ("mlp", "noop")]


def test_tables_split_rows_by_task_and_by_number_of_kernels() -> None:
    shares = {str(age): 0.0 for age in range(LAST_AGE + 1)}
    row = {
        "task": "digits",
        "method": "muting",
        "is_useless": False,
        "ensemble": 1,
        "true_gain": 0.1,
        "looks": {str(age): (0.1, 0.0) for age in (4, 6, 9)},
        "added_flops": 1.0,
        "costs": {"host_flops": 1.0, "flops_share": shares, "processor_share": shares},
    }
    found = tables([row, {**row, "task": "text"}, {**row, "ensemble": 4}])
    assert {k: v[0]["num_good"] for k, v in found["by_task"].items()} == {
        "all": 2,
        "digits": 1,
        "text": 1,
    }
    assert {k: v[0]["num_good"] for k, v in found["by_ensemble"].items()} == {
        "all": 3,
        "1": 2,
        "4": 1,
    }


def test_some_of_the_slots_rotate_with_the_rng_seed() -> None:
    assert some(["a", "b", "c"], 2, rng_seed=0) == ["a", "b"]
    assert some(["a", "b", "c"], 2, rng_seed=2) == ["c", "a"]
    assert some(["a"], 2, rng_seed=5) == ["a"]
