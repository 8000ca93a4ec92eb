"""A run is the same whether its kernels were prepared ahead or not: dropout, shuffles."""

import threading
from dataclasses import asdict
from typing import Any

import pytest

from esper.contracts.event import EventKind
from esper.kernels import pipeline
from esper.kernels.options import Kernels
from esper.policy.schedule import Schedule
from esper.safety.review import Safety
from tests.unit.scripted import Run, adapt, go, make_grower, same_weights, script, timeless


def run() -> Run:
    done = go(policy=Schedule(fractions=(0.1, 0.2)))
    done.grower.close()
    return done


def events(done: Run) -> list[Any]:
    return [(e.kind, e.epoch, timeless(asdict(e.body))) for e in done.told.events]


def test_a_run_is_the_same_with_and_without_kernels_prepared_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = run()
    assert len(plain.told.of(EventKind.KERNEL)) == 2 * 3
    assert all(kernel.ahead_ms is None for kernel in plain.told.of(EventKind.KERNEL))
    monkeypatch.setattr(pipeline, "SLOW_MS", 0.0)
    ahead = run()
    assert events(ahead) == events(plain)
    assert same_weights(ahead.model, plain.model)
    assert any(kernel.ahead_ms is not None for kernel in ahead.told.of(EventKind.KERNEL))


def test_no_thread_is_left_when_a_grower_is_closed() -> None:
    before = set(threading.enumerate())
    grower, _ = make_grower()
    grower.close()
    assert set(threading.enumerate()) == before


def test_where_no_kernel_fits_the_budget_each_is_refused_by_name_and_none_grows() -> None:
    done = go(
        policy=script(e2=[adapt("0", 1)]), safety=Safety(memory_budget_mb=0.001, max_cost=9.0)
    )
    offered = set(done.grower.host.slots["0"].spec.catalogue)
    refusals = done.told.of(EventKind.SAFETY)
    assert {refusal.rule for refusal in refusals} == {"budget"}
    assert len(refusals) == len({refusal.reason for refusal in refusals}) <= len(offered)
    (selection,) = done.told.of(EventKind.SELECTION)
    assert selection.seed is None
    assert done.told.of(EventKind.LIFECYCLE) == []


def test_a_kernel_over_a_limit_is_not_grown_and_its_refusal_is_told() -> None:
    done = go(policy=script(e2=[adapt("0", 1)]), kernels=Kernels(max_flops=100.0))
    refused = [kernel for kernel in done.told.of(EventKind.KERNEL) if kernel.error]
    assert refused
    assert all("costs too much: flops" in kernel.error for kernel in refused)
    grown = [kernel for kernel in done.told.of(EventKind.KERNEL) if not kernel.error]
    assert all(kernel.flops <= 100 for kernel in grown)
