"""The health of kernels in a network, epoch by epoch, in numbers that one can count."""

import json
from collections.abc import Iterator

import pytest
import torch

from esper.contracts.event import SeedHealth
from esper.growth.bank import guarded
from tests.unit.growth.builders import grow, make_host, make_input
from tests.unit.growth.faulty import Trouble, bank_in, offered, plant
from tests.unit.safety.failing_runs import MISTAKE, Run, fossilize


@pytest.fixture
def trouble() -> Iterator[Trouble]:
    with offered("bad") as found:
        yield found["bad"]


def train(run: Run, steps: int = 4) -> list[SeedHealth]:
    """Train an epoch of so many steps; return what the watch tells at its end."""
    run.epoch += 1
    for _ in range(steps):
        run.host.optimizer.zero_grad()
        run.forward().sum().backward()
        run.host.optimizer.step()
    run.guard.review(run.epoch)
    told = run.guard.watch.look(run.epoch)
    run.host.end_epoch()
    run.guard.prepare(run.epoch)
    run.host.begin_epoch()
    return told


def rate_of(run: Run) -> float | None:
    return run.host.seed("1", 0).activation.error_rate


def test_the_error_rate_counts_the_steps_of_one_epoch(trouble: Trouble) -> None:
    run = Run.of("bad")
    assert rate_of(run) is None
    train(run)
    assert rate_of(run) == 0.0
    trouble.forward, trouble.calls = MISTAKE, {6}
    (told,) = train(run)
    assert (told.error_rate, told.why, told.is_problem) == (0.25, "error", True)
    assert rate_of(run) == 0.25
    train(run)
    assert rate_of(run) == 0.0


def test_a_kernel_that_always_fails_has_rate_1_and_keeps_it_while_it_rests(
    trouble: Trouble,
) -> None:
    run = Run.of("bad", rest_epochs=2)
    trouble.forward = MISTAKE
    train(run, steps=40)
    assert trouble.num_calls == 3, "then it rests"
    assert rate_of(run) == 1.0
    train(run)
    assert (trouble.num_calls, rate_of(run)) == (3, 1.0)
    trouble.heal()
    train(run)
    assert rate_of(run) == 1.0, "it still rests"
    train(run)
    assert (trouble.num_calls, rate_of(run)) == (7, 0.0)


def test_steps_before_a_rest_count_in_full(trouble: Trouble) -> None:
    run = Run.of("bad")
    trouble.forward, trouble.calls = MISTAKE, {5, 10, 21}
    train(run, steps=40)
    assert rate_of(run) == 3 / 20


def test_a_healthy_kernel_is_told_of_every_tenth_epoch(trouble: Trouble) -> None:
    run = Run.of("bad")
    fossilize(run)
    told = [train(run, steps=1) for _ in range(20)]
    assert [number for number, signals in enumerate(told, 1) if signals] == [10, 20]
    (signal,) = told[9]
    assert (signal.why, signal.error_rate, signal.is_ready) == ("sample", 0.0, False)


def test_errors_are_told_before_what_is_ready(trouble: Trouble) -> None:
    run = Run.of()
    grow(run.host, "1", 0, "mlp")
    plant(run.host, "1", 1, "bad")
    run.guard.prepare(0)
    trouble.forward, trouble.calls = MISTAKE, {1}
    told = train(run)
    assert [(signal.blueprint, signal.why, signal.error_rate) for signal in told] == [
        ("bad", "error", 0.25),
        ("mlp", "ready", 0.0),
    ]


def test_latency_is_measured_in_evaluations_of_the_grower_alone(trouble: Trouble) -> None:
    host = make_host("sequential", ["1"])
    plant(host, "1", 0, "bad")
    bank = bank_in(host, "1")
    with guarded(host.model):
        for _ in range(3):
            host.model.train()(make_input("sequential"))
    with torch.no_grad():
        for _ in range(3):
            host.model.eval()(make_input("sequential"))
    assert bank.latencies.median(0) is None
    with torch.no_grad(), guarded(host.model):
        for _ in range(3):
            host.model(make_input("sequential"))
    latency_ms = bank.latencies.median(0)
    assert latency_ms is not None
    assert 0.0 < latency_ms < 1e3
    assert trouble.num_calls == 9


def test_the_guard_saves_the_filter(trouble: Trouble) -> None:
    run, other = Run.of("bad"), Run.of("bad")
    for _ in range(2):
        train(run, steps=1)
    other.guard.load_state_dict(json.loads(json.dumps(run.guard.state_dict())))
    assert other.guard.watch.state_dict() == run.guard.watch.state_dict()
    assert len(run.guard.watch.state_dict()["norms"]) == 2
