"""Runs that are measured, and the networks of the controls."""

import math
import time
from dataclasses import replace
from typing import Any

import pytest
import torch

import esper.run.run
from esper.attribution.options import Attribution
from esper.config import RunConfig
from esper.growth.attach import kernels_of
from esper.kernels.pipeline import build_kernel
from esper.policy.never import Never
from esper.policy.schedule import Schedule
from esper.run.checkpoints import RunCheckpoints
from esper.run.model import initial_host
from esper.safety.options import Safety
from esper.training.options import Training
from experiments import arms
from experiments.arms import EQUAL_FLOPS, Controls, chosen, halve, rung_budgets, size_results
from experiments.final import final_model
from experiments.measured import measure
from experiments.meter import metered
from experiments.tasks import SIZES, Place

SHORT = Training(steps_per_epoch=4)


def config(**changes: Any) -> RunConfig:
    return Place("spirals", 2).config(0, **{"training": SHORT, "policy": Never(), **changes})


def burn(seconds: float) -> None:
    began = time.process_time()
    while time.process_time() - began < seconds:
        pass


def test_epochs_are_measured_and_saving_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    class Saver:
        def save(self) -> None:
            burn(0.3)

    def epochs(saver: Saver) -> str:
        burn(0.2)
        saver.save()
        time.sleep(0.2)
        return "done"

    monkeypatch.setattr(esper.run.run, "run_epochs", epochs)
    monkeypatch.setattr(RunCheckpoints, "save", Saver.save)
    with metered() as meter:
        saver: Any = RunCheckpoints.__new__(RunCheckpoints)
        assert esper.run.run.run_epochs(saver) == "done"
    assert 0.2 <= meter.processor_s < 0.29
    assert esper.run.run.run_epochs is epochs


def test_a_measured_run_counts_less_than_the_whole_process() -> None:
    run = measure(config())
    assert 0 < run.processor_s < run.summary["processor_s"]
    assert run.epochs == len(run.lines) == 2
    assert run.flops_per_epoch * 2 == run.flops == run.summary["final_plain_flops"]
    assert run.summary["test_accuracy"] == pytest.approx(float(run.test_hits_N.mean()))
    assert run.summary["test_loss"] == pytest.approx(float(run.test_losses_N.mean()))
    assert run.lines[-1]["val_loss"] == pytest.approx(run.val_loss)


def test_the_final_network_from_the_start_starts_as_the_host() -> None:
    """New kernels give 0, so output and weights are the host's; its size is the grown one's."""
    plain = config()
    spec = plain.data.load().spec
    (slot,) = initial_host(plain, plain.data.load()).slots
    spots = [{"slot": slot, "seed": seed, "blueprint": "mlp", "alpha": 0.5} for seed in (0, 2)]
    option = final_model(plain, spots)
    torch.manual_seed(0)
    built = option.build(spec)
    after = torch.rand(1)
    torch.manual_seed(0)
    host = plain.model.build(spec)
    assert torch.equal(after, torch.rand(1)), "kernels draw no global random numbers"
    x = torch.randn(5, 2)
    assert torch.equal(built(x), host(x))
    grown = initial_host(plain, plain.data.load())
    for spot in spots:
        kernel = build_kernel(grown.request(slot, spot["seed"], "mlp", plain.rng_seed))
        grown.put_kernel(slot, spot["seed"], kernel.module, kernel.blueprint)
    bank = kernels_of(grown.slots[slot].module)
    assert grown.num_parameters == sum(p.numel() for p in built.parameters())
    theirs = [p for kernel in bank.kernels.values() for p in kernel.parameters()]
    ours = [p for name, p in built.named_parameters() if ".kernels." in name]
    assert len(ours) == len(theirs) > 0
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    # The last bias of a kernel adds alpha times itself to the logits.
    with torch.no_grad():
        ours[-1].add_(3.0)
    assert torch.allclose(built(x), host(x) + 1.5)
    run = measure(replace(plain, model=option))
    assert run.summary["params_final"] == grown.num_parameters
    assert final_model(plain, []) is plain.model


@pytest.mark.parametrize("task", ["digits", "text"])
def test_the_final_network_of_a_run_is_trained_from_the_start(task: str) -> None:
    training = Training(steps_per_epoch=6)
    # Nothing that lowers the loss at all is culled, so that something is kept.
    policy = Schedule(fractions=(0.1, 0.1), price=0.0)
    lenient = Attribution(min_gain=0.0, standard_errors=0.0)
    place = Place(task, 14).config(
        0, training=training, policy=policy, attribution=lenient, safety=Safety(max_cost=99.0)
    )
    growth = {"model": replace(place.model, num_seeds=2)}
    grown = measure(replace(place, **growth))
    kernels = grown.kernels
    assert all(kernel["alpha"] == 1.0 for kernel in kernels)
    assert 1 <= len(kernels) <= grown.summary["seeds_fossilized"]
    option = final_model(place, kernels)
    final = measure(replace(place, model=option, policy=Never(), epochs=1))
    assert final.summary["params_final"] == grown.summary["params_final"]
    assert final.flops == pytest.approx(grown.summary["final_plain_flops"] / 14)


def test_controls_get_the_flops_that_they_are_given() -> None:
    controls = Controls(config())
    host = controls.size(1.0)
    assert controls.size_with_flops(1.0, 3.4 * host.flops_per_epoch).epochs == 3
    assert controls.size_with_flops(1.0, 0.1 * host.flops_per_epoch).epochs == 1
    assert controls.size(1.0) is host, "run once"
    wide = controls.size_with_flops(4.0, 8 * controls.size(4.0).flops_per_epoch)
    assert wide.epochs == 8
    assert wide.summary["params_final"] > host.summary["params_final"]


def test_every_size_is_reported_twice_and_a_choice_repeats_its_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(arms, "SIZES", (1.0, 2.0))
    controls = Controls(config())
    flops = 3 * controls.size(1.0).flops_per_epoch
    found = size_results(controls, flops)
    assert [each.arm for each in found] == ["x1", "x1, equal FLOPs", "x2", "x2, equal FLOPs"]
    assert found[1].flops == flops
    drawn = chosen(found, 2.0, "random size")
    assert [each.arm for each in drawn] == ["random size", "random size" + EQUAL_FLOPS]
    assert [replace(each, arm="", choice=None) for each in drawn] == [
        replace(each, arm="") for each in found[2:]
    ]
    assert all(each.choice == 2.0 for each in drawn)


def test_the_rungs_of_halving_cost_the_whole_and_each_the_same() -> None:
    budgets = rung_budgets(len(SIZES))
    assert [count for count, _ in budgets] == [5, 3, 2, 1]
    shares = [share for _, share in budgets]
    steps = [end - start for start, end in zip([0.0, *shares], shares, strict=False)]
    costs = [count * step for (count, _), step in zip(budgets, steps, strict=True)]
    assert costs == pytest.approx([0.25] * 4)
    assert rung_budgets(1) == [(1, 1.0)]


def test_halving_drops_by_the_lowest_loss_so_far() -> None:
    # Four sizes: 4, 2, 1 are left; rungs end after 1, 2 and 4 epochs.
    losses = {
        1.0: [0.5, 0.9, 0.9, 0.9],
        2.0: [0.4, 0.8, 0.8, 0.8],
        4.0: [0.6, 0.1, 0.1, 0.1],
        8.0: [0.7, 0.0, 0.0, 0.0],
    }
    ends = {size: [1, 2, 4] for size in losses}
    best, trained = halve(losses, ends)
    # 4 and 8 are out after the first epoch, whatever they would have reached; 2 has seen 0.4.
    assert best == 2.0
    assert trained == {1.0: 2, 2.0: 4, 4.0: 1, 8.0: 1}
    late, _ = halve(losses, {size: [2, 3, 4] for size in losses})
    assert late == 8.0
    assert math.isclose(rung_budgets(4)[-1][1], 1 / 12 + 1 / 6 + 1 / 3)
