"""A kernel that fails now and then makes its slot a problem slot, which gets no further kernel."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console
from torch import Tensor, nn

from esper.blueprint import catalogue
from esper.blueprint.base import Blueprint, sites
from esper.contracts.slot import Placement, SlotKind
from esper.report.inspect import inspect
from esper.rundir.records import Run, load_run
from tests.integration.in_process import code_of, only

OPTIONS = (
    *("logger=none", "data=spirals", "model=mlp", "model.slots=[block1]", "store.prior=none"),
    *("epochs=16", "training.steps_per_epoch=10", "blueprint.names=[shaky]"),
    *("policy=schedule", "policy.fractions=[0.1,0.25]", "policy.seeds_per_adaptation=1"),
    *("safety.max_cost=9", "recovery.failures=9", "recovery.quarantine_after=9"),
)


@dataclass
class Fault:
    """Every so many training steps a kernel fails; 0 is never."""

    stride: int = 0
    num_steps: int = 0


class Shaky(nn.Module):
    """A linear layer that fails in training steps alone, and neither in probes nor evaluations."""

    def __init__(self, width: int, fault: Fault) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.fault = fault

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output, or fail."""
        if self.training and len(x) > 4:
            self.fault.num_steps += 1
            if self.fault.stride and self.fault.num_steps % self.fault.stride == 0:
                raise ValueError("mistake")
        output: Tensor = self.linear(x)
        return output


@pytest.fixture
def fault() -> Iterator[Fault]:
    found = Fault()
    catalogue.register(
        Blueprint(
            name="shaky",
            fits_in=sites([SlotKind.DENSE], [Placement.SERIES]),
            risk=0.5,
            build=lambda _, before, __: Shaky(before[0], found),
        )
    )
    yield found
    catalogue.unregister("shaky")


def train(name: str) -> Run:
    """Run the command; the policy asks for a kernel in epoch 2 and for another in epoch 4."""
    assert code_of("train", *OPTIONS, f"name={name}") == 0
    return load_run(only(f"runs/{name}/*"))


def germinations(run: Run) -> list[int]:
    moves = run.of_kind("lifecycle")
    return [move["epoch"] for move in moves if move["to_stage"] == "GERMINATED"]


def refusals(run: Run) -> list[tuple[int, str, str]]:
    return [(event["epoch"], event["rule"], event["reason"]) for event in run.of_kind("safety")]


def test_safety_refuses_to_grow_where_a_kernel_fails(
    fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fault.stride = 5
    run = train("failing")
    told = {(event["epoch"], event["seed"]): event for event in run.of_kind("health")}
    # Of 10 steps the 5th and the 10th fail; no call of an evaluation does.
    assert [told[epoch, 0]["error_rate"] for epoch in (3, 4)] == [0.2, 0.2]
    assert told[4, 0]["is_problem"]
    reason = "slot 'block1' has a problem: the kernel of seed 0 failed in 20 % of its steps"
    assert refusals(run)[0] == (4, "health", reason)
    assert 4 not in germinations(run)
    out = io.StringIO()
    Console(file=out, width=120).print(inspect(run.path))
    assert (
        "adapt add neurons refused  block1  health: slot 'block1' has a problem" in out.getvalue()
    )


def test_without_failures_the_same_run_grows_there(
    fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = train("working")
    assert fault.num_steps > 0
    assert (refusals(run), germinations(run)) == ([], [2, 4])
    health = run.of_kind("health")
    assert {event["error_rate"] for event in health} == {0.0}
    assert {event["why"] for event in health} <= {"ready", "anomaly", "sample"}
    last = [event for event in health if event["seed"] == 0][-1]
    assert last["latency_ms"] > 0.0
