"""Health and births of slots, from probe to probe, with a policy that reads them."""

import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from esper.attribution.first_order import first_order_scores
from esper.checkpoint.tree import join, split
from esper.contracts.decision import Decision
from esper.contracts.event import EventKind
from esper.contracts.observation import Observation
from esper.contracts.slot import SlotState
from esper.grower.checkups import Checkups
from esper.grower.grower import Grower
from esper.growth.host import Host
from esper.growth.requests import growable_states
from esper.kernels.options import Kernels
from esper.kernels.pipeline import KernelPipeline, build_kernel
from esper.policy.base import Policy, wait
from esper.policy.rules.growth import GrowthLimits, GrowthRules
from esper.policy.rules.verdict import VerdictRules
from esper.signals.options import Signals
from tests.unit.grower.ranked import X, blocks, loss, prospects_of
from tests.unit.growth.builders import grow, same, tensors
from tests.unit.growth.faulty import offered
from tests.unit.scripted import EPOCHS, TRAIN, Told, adapt, losses_and_hits, make_grower, train


def square(model: nn.Module) -> Tensor:
    return model(X).square().mean(dim=1)


def classes(model: nn.Module) -> Tensor:
    return functional.cross_entropy(model(TRAIN[0]), TRAIN[1], reduction="none")


class Counted:
    """A probe that counts its calls."""

    def __init__(self) -> None:
        self.num = 0

    def __call__(self, model: nn.Module) -> Tensor:
        self.num += 1
        return square(model)


@dataclass(frozen=True, kw_only=True)
class Reading(GrowthRules, VerdictRules):
    """Grows the slot with the highest birth whenever no seed is live."""

    def build(self, rng_seed: int) -> "ReadingPolicy":
        del rng_seed
        return ReadingPolicy()


@dataclass
class ReadingPolicy(Policy):
    name = "reading"
    reads_health = True

    seen: list[Observation] = field(default_factory=list)

    def decide(self, observation: Observation) -> list[Decision]:
        self.seen.append(observation)
        slots = [slot for slot in observation.slots if slot.births]
        if not observation.may_grow or observation.live_seeds or not slots:
            return [wait("nothing is born")]
        best = max(slots, key=lambda slot: (slot.score or 0.0, slot.spec.name))
        return [adapt(best.spec.name, 2)]


def checkups_of(host: Host, every: int = 3, grow_until: float = 0.75) -> Checkups:
    """Return the checkups of a run of 40 epochs."""
    costs, limits = prospects_of(host).costs, GrowthLimits(grow_until=grow_until)
    return Checkups(costs, KernelPipeline(Kernels(), 0), every=every, limits=limits)


def look(
    checkups: Checkups, epoch: int = 1, affordable_flops: float = math.inf, probe: Any = square
) -> tuple[SlotState, ...]:
    """Return the slots after an epoch."""
    states = growable_states(checkups.host, epoch)
    checkups.look(states, epoch, affordable_flops, probe)
    return checkups.added_to(states)


def test_a_probe_is_taken_every_third_epoch_while_the_network_may_grow() -> None:
    checkups, probe = checkups_of(blocks(2), grow_until=0.2), Counted()
    taken = []
    for epoch, affordable in [(1, 0.0), *((epoch, 99.0) for epoch in range(2, 12))]:
        states = growable_states(checkups.host, epoch)
        spent_ms = checkups.look(states, epoch, affordable, probe)
        (measured,) = {slot.health and slot.health.epoch for slot in checkups.added_to(states)}
        taken.append((epoch, measured, spent_ms > 0))
    assert taken[:5] == [
        (1, None, False), (2, 2, True), (3, 2, False), (4, 2, False), (5, 5, True)
    ]  # fmt: skip
    assert taken[6:] == [(7, 5, False), (8, 8, True), (9, 8, False), (10, 8, False), (11, 8, False)]
    assert probe.num == 3


def test_births_are_those_of_the_blueprints_that_dormant_seeds_are_bound_to() -> None:
    host = blocks(2)
    slots = look(checkups_of(host))
    for slot in slots:
        assert [birth.blueprint for birth in slot.births] == [seed.bound for seed in slot.seeds]
        for index, birth in enumerate(slot.births):
            key = (slot.spec.name, index)
            kernel = build_kernel(host.request(*key, birth.blueprint, 0))
            score = first_order_scores(host, {key: kernel}, loss)[key]
            assert birth.first_order == pytest.approx(score, rel=1e-5)
            assert birth.added_flops == kernel.flops / host.settled_flops
        assert slot.score == max(birth.first_order or 0.0 for birth in slot.births)


def test_kernels_that_cannot_be_paid_or_fail_are_not_born() -> None:
    with offered("bad") as troubles:
        host = blocks(1, ("bad", "affine", "mlp"), num_seeds=3)
        flops = {s.bound: host.request("0", s.index, s.bound, 0).cost.flops for s in host.seeds()}
        assert flops["mlp"] > flops["affine"]
        limit = flops["affine"]
        troubles["bad"].backward = ValueError("mistake")
        (slot,) = look(checkups_of(host), affordable_flops=limit)
    assert [birth.blueprint for birth in slot.births] == ["affine"]
    assert slot.health is not None


def test_births_are_dropped_when_a_seed_of_the_slot_changes() -> None:
    host = blocks(2)
    checkups = checkups_of(host)
    before = look(checkups)
    grow(host, "1", 0, before[1].seeds[0].bound)
    after = look(checkups, 2)
    assert after[0].births == before[0].births != ()
    assert (after[1].births, after[1].score) == ((), None)
    assert [slot.health for slot in after] == [slot.health for slot in before]
    again = look(checkups, 4)
    assert [birth.blueprint for birth in again[1].births] == [s.bound for s in again[1].seeds[1:]]
    host.seed("0", 2).bound = "noop"
    assert look(checkups, 5)[0].births == ()


def test_kernels_of_our_own_are_built_once_and_again_when_a_seed_was_used() -> None:
    host = blocks(2)
    checkups, taken = checkups_of(host), []
    take = checkups.pipeline.take
    checkups.pipeline.take = lambda request: taken.append(request) or take(request)  # type: ignore
    first = look(checkups)
    assert len(taken) == 8
    second = look(checkups, 4)
    assert len(taken) == 8
    assert [slot.births for slot in second] == [slot.births for slot in first]
    host.seed("0", 1).activations += 1
    third = look(checkups, 7)
    assert [(request.slot, request.seed) for request in taken[8:]] == [("0", 1)]
    assert third[0].births[1] != first[0].births[1], "other weights"


def test_kernels_of_others_are_built_for_each_probe() -> None:
    with offered("theirs"):
        host = blocks(1, ("theirs",), num_seeds=1)
        checkups, taken = checkups_of(host), []
        take = checkups.pipeline.take
        checkups.pipeline.take = lambda r: taken.append(r) or take(r)  # type: ignore
        look(checkups)
        look(checkups, 4)
    assert len(taken) == 2


def test_what_was_found_survives_a_save() -> None:
    host = blocks(2)
    checkups, again = checkups_of(host), checkups_of(host)
    found = look(checkups)
    again.load_state_dict(json.loads(json.dumps(checkups.state_dict())))
    probe = Counted()
    assert look(again, 3, probe=probe) == look(checkups, 3) != found[:1]
    assert [slot.births for slot in look(again, 3)] == [slot.births for slot in found]
    assert probe.num == 0
    look(again, 4, probe=probe)
    assert probe.num == 1


def test_a_probe_leaves_no_trace_in_the_network() -> None:
    host = blocks(2)
    before, generator, modules = tensors(host.model), torch.get_rng_state(), str(host.model)
    look(checkups_of(host))
    assert same(tensors(host.model), before)
    assert torch.equal(torch.get_rng_state(), generator)
    assert str(host.model) == modules


def grown(**options: Any) -> tuple[Grower, Told]:
    return make_grower(policy=Reading(), **options)


def steps(grower: Grower, num: int, probe: Any = classes) -> Iterator[Any]:
    for _ in range(num):
        train(grower.host.model, grower.host.optimizer)
        yield grower.step(losses_and_hits, train, probe=probe)


def test_a_policy_that_reads_health_decides_by_births() -> None:
    grower, told = grown(signals=Signals(probe_every=2))
    torch.manual_seed(7)
    reports = list(steps(grower, EPOCHS))
    probed = [report.metrics.epoch for report in reports if report.probe_ms > 0]
    # The last epoch in which this policy may grow is 8, 0.6 of 14.
    assert probed == [1, 3, 5, 7]
    seen = grower.policy.seen  # type: ignore[attr-defined]
    assert [slot.health.epoch for slot in seen[3].slots] == [3, 3]
    assert [slot.health.epoch for slot in seen[-1].slots] == [7, 7]
    births = {slot.spec.name: slot.score for slot in seen[0].slots}
    best = max(births, key=lambda name: births[name])
    moves = told.of(EventKind.LIFECYCLE)
    assert moves[0].slot == best


def test_a_run_with_probes_goes_on_bit_for_bit() -> None:
    whole, told = grown()
    torch.manual_seed(7)
    random.seed(7)
    saved = []
    for _ in range(EPOCHS):
        tree, values = split(whole.state_dict())
        saved.append((tree, {key: value.clone() for key, value in values.items()}))
        list(steps(whole, 1))
    assert any(event.kind is EventKind.LIFECYCLE for event in told.events)
    for epoch in (1, 2, 4, 5, 9):
        resumed, _ = grown()
        resumed.load_state_dict(join(*saved[epoch]))
        list(steps(resumed, EPOCHS - epoch))
        mine, theirs = whole.host.model.state_dict(), resumed.host.model.state_dict()
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine), epoch
        seen = whole.policy.seen[epoch:]  # type: ignore[attr-defined]
        assert [each.slots for each in seen] == [
            each.slots
            for each in resumed.policy.seen  # type: ignore[attr-defined]
        ]


def test_a_policy_that_reads_health_needs_a_probe() -> None:
    grower, _ = grown()
    train(grower.host.model, grower.host.optimizer)
    with pytest.raises(ValueError, match=r"reads the health of slots: pass step\(..., probe="):
        grower.step(losses_and_hits)
    with pytest.raises(ValueError, match="probe must be a function, got Tensor"):
        grower.step(losses_and_hits, probe=torch.ones(3))  # type: ignore[arg-type]
    assert grower.epoch == 0


def test_other_policies_are_not_probed() -> None:
    grower, _ = make_grower(policy="heuristic")
    for report in steps(grower, 3, lambda model: pytest.fail("nothing reads it")):
        assert report.probe_ms == 0.0
        assert all(slot.health is None and slot.births == () for slot in report.observation.slots)


def test_for_a_strategy_births_of_seeds_that_did_not_change_stay() -> None:
    host = blocks(2)
    checkups = checkups_of(host)
    checkups.gives_scores = False
    before = look(checkups)
    grow(host, "1", 0, before[1].seeds[0].bound)
    first, second = checkups.added_to(growable_states(host, 2))
    assert first.births == before[0].births
    assert second.births == before[1].births[1:]
    assert first.score is None, "the policy ranks slots by itself"
