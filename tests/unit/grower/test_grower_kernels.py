"""A run is the same whatever is known of its kernels, and whoever makes them: dropout, shuffles."""

import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from esper.contracts.event import EventKind
from esper.kernels import background
from esper.kernels.options import Kernels
from esper.policy.schedule import Schedule
from tests.unit.scripted import (
    Run,
    adapt,
    go,
    losses_and_hits,
    make_grower,
    same_weights,
    script,
    timeless,
)


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "REST", 0.0)


def patient(model: nn.Module) -> Any:
    """Score a model when nothing is being made any more: an epoch here is over in milliseconds."""
    while any(thread.name == "esper-kernels" for thread in threading.enumerate()):
        time.sleep(0.001)
    return losses_and_hits(model)


def run(**options: Any) -> Run:
    kernels = Kernels(**options)
    done = go(policy=Schedule(fractions=(0.1, 0.2)), kernels=kernels, evaluate=patient)
    done.grower.close()
    return done


def events(done: Run) -> list[Any]:
    return [(e.kind, e.epoch, timeless(asdict(e.body))) for e in done.told.events]


def test_a_run_is_the_same_ahead_or_not_and_with_a_cold_or_a_warm_cache(tmp_path: Path) -> None:
    disk = {"cache_dir": str(tmp_path), "disk_mb": 1}
    plain = run(ahead=False, memory_entries=0, disk_mb=0)
    assert len(plain.told.of(EventKind.KERNEL)) == 2
    others = {
        "ahead, cold": run(**disk),
        "ahead, warm": run(**disk),
        "warm": run(ahead=False, **disk),
        "ahead": run(memory_entries=0, disk_mb=0),
    }
    for name, other in others.items():
        assert events(other) == events(plain), name
        assert same_weights(other.model, plain.model), name
    works = [done.told.of(EventKind.KERNEL)[0] for done in others.values()]
    assert [work.ahead_ms is not None for work in works] == [True, True, False, True]
    assert [work.load_ms is not None for work in works][2]
    assert [work.validate_ms is not None for work in works] == [True, False, False, True]


def test_a_kernel_that_was_made_ahead_is_hardly_waited_for(tmp_path: Path) -> None:
    done = run(cache_dir=str(tmp_path))
    kernels = done.told.of(EventKind.KERNEL)
    assert len(kernels) == 2
    for kernel in kernels:
        assert kernel.ahead_ms is not None
        assert 0 < kernel.wait_ms < kernel.ahead_ms


def test_a_corrupt_cache_changes_nothing_and_is_told(tmp_path: Path) -> None:
    clean = run(cache_dir=str(tmp_path))
    damaged = list(tmp_path.iterdir())
    for path in damaged:
        path.write_bytes(path.read_bytes()[:-9])
    done = run(cache_dir=str(tmp_path))
    told = done.told.of(EventKind.RECOVERY)
    assert [each.where for each in told] == ["cache"] * len(damaged)
    assert [e for e in events(done) if e[0] is not EventKind.RECOVERY] == events(clean)
    assert run(cache_dir=str(tmp_path)).told.of(EventKind.RECOVERY) == []


def test_no_thread_is_left_when_a_grower_is_closed() -> None:
    before = set(threading.enumerate())
    grower, _ = make_grower(kernels=Kernels(disk_mb=0))
    grower.close()
    assert set(threading.enumerate()) == before


def test_a_kernel_over_a_limit_is_not_grown_and_its_refusal_is_told() -> None:
    done = go(policy=script(e2=[adapt("0", 1)]), kernels=Kernels(max_parameters=50, disk_mb=0))
    refused = [kernel for kernel in done.told.of(EventKind.KERNEL) if kernel.error]
    assert refused
    assert all("costs too much: parameters" in kernel.error for kernel in refused)
    grown = [kernel for kernel in done.told.of(EventKind.KERNEL) if not kernel.error]
    assert all(kernel.parameters <= 50 for kernel in grown)
