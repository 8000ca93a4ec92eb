"""The comparison of policies on growth tasks, by hand."""

import math
from dataclasses import asdict
from typing import Any

import pytest

from esper.policy.heuristic import Heuristic
from esper.policy.planner import Planner
from esper.policy.random import Random
from esper.policy.schedule import Schedule
from esper.run.episodes.episode import EpisodeResult
from esper.run.episodes.task import draw_task
from experiments import policies as module
from experiments.policies import POLICIES, net_gains, policy_of, print_table, run_cell, table_of
from tests.unit.run.episodes.small_tasks import small_task


def row(loss: float, flops: float = 1.0, events: int = 0, culled: int = 0) -> dict[str, Any]:
    result = EpisodeResult(
        index=0,
        rng_seed=0,
        loss=loss,
        accuracy=0.5,
        flops=flops,
        train_flops=3.0 * flops,
        events=events,
        kept=events - culled,
        culled=culled,
        processor_s=2.0,
    )
    return asdict(result)


# Tasks 0 and 2 have scarce events, 1 has plenty.
ROWS = {
    (0, 0, "never"): row(1.0),
    (0, 1, "never"): row(1.0),
    (0, 0, "planner"): row(math.exp(-0.5), events=2),
    (0, 1, "planner"): row(math.exp(-0.1), events=4, culled=3),
    (0, 0, "random"): row(1.0, flops=4.0),
    (0, 1, "random"): row(1.0),
    (2, 0, "never"): row(0.5),
    (2, 0, "planner"): row(0.5 * math.exp(-0.1)),
    (2, 0, "random"): row(0.5 * math.exp(-0.2)),
    (1, 0, "never"): row(0.5),
    (1, 0, "planner"): row(0.5 * math.exp(0.3), events=1),
}


def test_net_gains_are_means_over_the_seeds_of_a_task() -> None:
    gains = net_gains(ROWS)
    assert gains[0, "planner"] == pytest.approx(0.3)
    # Four times the FLOPs in one of two runs: a doubling on average.
    assert gains[0, "random"] == pytest.approx(-draw_task(0).price)
    assert gains[2, "random"] == pytest.approx(0.2)
    assert gains[1, "planner"] == pytest.approx(-0.3)
    assert [gains[task, "never"] for task in range(3)] == [0, 0, 0]


@pytest.fixture(scope="module")
def table() -> dict[str, Any]:
    return table_of(ROWS)


def test_the_table_compares_the_planner_with_each_policy_in_each_regime(
    table: dict[str, Any],
) -> None:
    assert list(table) == ["scarce", "plentiful"]
    scarce, plentiful = table["scarce"], table["plentiful"]
    assert set(scarce) == {"never", "planner", "random"}
    assert set(plentiful) == {"never", "planner"}
    # Tasks weigh the same, whatever the number of their seeds.
    assert scarce["planner"]["net_gain"] == pytest.approx([0.2, 0.1, 0.3])
    assert scarce["planner"]["planner_minus"] == [0, 0, 0]
    assert scarce["never"]["planner_minus"] == pytest.approx([0.2, 0.1, 0.3])
    price = draw_task(0).price
    value, low, high = scarce["random"]["planner_minus"]
    assert value == pytest.approx((0.3 + price - 0.1) / 2)
    assert (low, high) == pytest.approx((-0.1, 0.3 + price))
    assert plentiful["never"]["planner_minus"] == pytest.approx([-0.3] * 3)
    # Sizes and costs are means over the runs.
    assert scarce["planner"]["events"] == 2.0
    assert scarce["planner"]["success"] == pytest.approx(3 / 6)
    assert scarce["planner"]["false_positives"] == 0.0
    assert (scarce["never"]["success"], scarce["never"]["false_positives"]) == (None, None)
    assert plentiful["planner"]["false_positives"] == 1.0
    assert scarce["random"]["flops"] == 2.0
    assert scarce["random"]["train_flops"] == 6.0


def test_a_printed_row_holds_gain_advantage_size_and_cost(
    table: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    print_table(table)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("scarce: net gain, planner minus policy")
    never = next(line for line in lines if line.startswith("  never"))
    assert " ".join(never.split()) == (
        "never +0.0000 +0.2000 [+0.1000, +0.3000] 1.00 1.00 0.0 0.0 - - 2.00 s"
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [("heuristic", Heuristic), ("schedule", Schedule), ("random", Random), ("planner", Planner)],
)
def test_every_policy_pays_the_price_of_its_task(name: str, kind: type[Any]) -> None:
    task = draw_task(5)
    policy = policy_of(name, task, "somewhere")
    assert type(policy) is kind
    assert policy.price == task.price
    assert name in POLICIES
    if name == "random":
        assert policy.events == task.events
    if name == "planner":
        assert policy.path == "somewhere"


def test_a_cell_is_a_whole_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    task = small_task(7, epochs=8)
    monkeypatch.setattr(module, "draw_task", lambda index: task)
    never, grown = (EpisodeResult(**run_cell(7, 1, name)) for name in ("never", "random"))
    assert (never.index, never.rng_seed, never.events, never.flops) == (7, 1, 0, 1.0)
    assert (grown.index, grown.rng_seed, grown.events) == (7, 1, 3)


def test_a_graph_network_is_the_shipped_one_unless_another_is_named() -> None:
    task = draw_task(7)
    assert policy_of("gnn", task).pretrained == "shipped"
    assert policy_of("hierarchical", task).pretrained is None
    assert policy_of("gnn", task, networks={"gnn": "mine"}).pretrained == "mine"
