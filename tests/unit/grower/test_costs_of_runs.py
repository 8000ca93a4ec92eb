"""The limit on the cost of a run: real runs keep it, and it decides which kernels they try."""

import math
import re
from typing import Any

import pytest

from esper.attribution.options import Attribution
from esper.contracts.event import EventKind
from esper.contracts.stage import SeedStage
from esper.growth.host import Host
from esper.policy.schedule import Schedule
from esper.safety.options import Safety
from esper.strategy.viability import Viability
from tests.unit.scripted import Run, adapt, go, make_grower, script


def run_of(max_cost: float, **options: Any) -> Run:
    return go(
        policy=Schedule(fractions=tuple(e / 14 for e in range(1, 9)), price=0.0),
        safety=Safety(max_cost=max_cost),
        viability=Viability(min_dormant_epochs=0, max_concurrent_seeds=4),
        **options,
    )


def cost(run: Run) -> float:
    """Return what a run has cost, relative to its final network trained for all epochs."""
    return sum(report.flops for report in run.reports) / (3 * run.grower.host.flops * 48 * 14)


def germinations(run: Run) -> int:
    moves = run.told.of(EventKind.LIFECYCLE)
    return sum(move.to_stage is SeedStage.GERMINATED for move in moves)


@pytest.mark.parametrize(("method", "tight"), [("muting", 1.5), ("ablation", 1.5), ("twin", 2.5)])
def test_no_run_costs_more_than_it_may(method: str, tight: float) -> None:
    attribution = Attribution(method=method)
    strict, lavish = (run_of(most, attribution=attribution) for most in (tight, 20.0))
    assert 0 < germinations(strict) < germinations(lavish)
    assert cost(strict) <= tight < cost(lavish)


def test_a_policy_waits_while_no_trial_is_affordable() -> None:
    run = run_of(1.0)
    assert germinations(run) == 0
    assert all(report.observation.affordable_flops < 0 for report in run.reports[:9])
    said = {decision.reason for decision in run.told.of(EventKind.DECISION)}
    assert "another trial would cost more than safety.max_cost allows" in said
    assert not run.told.of(EventKind.SAFETY)
    assert cost(run) == 1.0


STEPS = 4
"""Steps of an epoch: 48 samples in batches of 12."""


def max_cost_for(host: Host, flops: float, num_kernels: int) -> float:
    """Return the limit that leaves room for one kernel's last look, or for the first look at two.

    They are of ages 9 and 4.  Coins may mute fewer steps than half, by two standard deviations.
    """
    looks, on_trial = (3, 7) if num_kernels == 1 else (1, 2)
    muted = 0.5 - 2 * 0.5 / math.sqrt(on_trial * STEPS)
    whole = 40 * (looks * (2 * num_kernels - 1) + 1)
    trained = 3 * 48 * (2 + on_trial * (1 - muted))
    room = whole * host.settled_flops + flops * (trained + whole)
    return 1 + room / (3 * 14 * 48 * host.settled_flops)


def test_a_kernel_beyond_the_budget_is_not_offered() -> None:
    def of(max_cost: float) -> Run:
        options = {"blueprint": ("mlp",), "slots": ("0",), "steps": 2}
        return go(policy=script(e2=[adapt("0", 1)]), safety=Safety(max_cost=max_cost), **options)

    (kernel,) = of(99.0).told.of(EventKind.KERNEL)
    host = make_grower(slots=("0",))[0].host
    assert germinations(of(max_cost_for(host, 1.01 * kernel.flops, 1))) == 1
    short = of(max_cost_for(host, 0.99 * kernel.flops, 1))
    assert germinations(short) == 0
    (refusal,) = short.told.of(EventKind.SAFETY)
    assert refusal.rule == "budget"
    assert re.search(
        r"blueprint 'mlp' in slot '0' does not fit: .* that safety.max_cost=1\.\d+ leaves",
        refusal.reason,
    )
    assert not short.told.of(EventKind.KERNEL)


def test_a_plan_beyond_the_budget_gets_no_seed_and_says_why() -> None:
    run = go(policy=script(e2=[adapt("0", 1)]), safety=Safety(max_cost=1.0), steps=3)
    assert germinations(run) == 0
    (selection,) = run.told.of(EventKind.SELECTION)
    assert selection.seed is None
    assert "that may be added" in selection.reason


def test_of_kernels_that_fit_one_by_one_as_many_grow_as_fit_together() -> None:
    def of(max_cost: float) -> Run:
        options = {
            "blueprint": ("mlp", "frozen_random"),
            "num_seeds": 2,
            "slots": ("0",),
            "steps": 2,
        }
        policy, safety = script(e2=[adapt("0", 2)]), Safety(max_cost=max_cost)
        return go(policy=policy, orchestrator="diversify", safety=safety, **options)

    both = of(99.0)
    built = both.told.of(EventKind.KERNEL)
    assert len(built) == 2
    now, flops = both.grower.host, sum(each.flops for each in built)
    assert germinations(of(max_cost_for(now, 1.01 * flops, 2))) == 2
    one = of(max_cost_for(now, 0.99 * flops, 2))
    assert germinations(one) == 1
    assert not one.told.of(EventKind.SAFETY)
    reasons = [each.reason for each in one.told.of(EventKind.SELECTION) if each.seed is None]
    assert len(reasons) == 1
    assert "that may be added" in reasons[0]
