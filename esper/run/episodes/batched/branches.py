"""Measure what germinations bring to many dense tasks at once."""

from collections.abc import Sequence

from esper.contracts.observation import Observation
from esper.contracts.step import StepReport
from esper.run.episodes.batched.engine import run_batched
from esper.run.episodes.batched.row import Job
from esper.run.episodes.branches import Branches, BranchPlan, measure_branches
from esper.run.episodes.episode import EpisodeResult
from esper.run.episodes.scripted import Event
from esper.run.episodes.task import EpisodeTask


def measure_branches_batched(tasks: Sequence[EpisodeTask], rng_seed: int) -> list[Branches]:
    """Return what `measure_branches` does for each of some dense tasks, but for rounding.

    A task of which a run cannot be part of a batch is measured by `measure_branches`.
    """
    plans = [BranchPlan(task, rng_seed) for task in tasks]
    observations: dict[int, Observation] = {}

    def watch(position: int, report: StepReport) -> None:
        if report.metrics.epoch == plans[position].start:
            observations[position] = report.observation

    bases = run_batched([Job(plan.task, rng_seed, plan.base) for plan in plans], watch)
    branches = [
        (position, event)
        for position, plan in enumerate(plans)
        if position in observations
        for event in plan.events(observations[position])
    ]
    jobs = [Job(tasks[at], rng_seed, plans[at].branch(event)) for at, event in branches]
    ends: list[list[tuple[Event, EpisodeResult | str]]] = [[] for _ in tasks]
    for (position, event), end in zip(branches, run_batched(jobs), strict=True):
        ends[position].append((event, end))
    measured = []
    for position, (plan, base) in enumerate(zip(plans, bases, strict=True)):
        known = [(event, end) for event, end in ends[position] if not isinstance(end, str)]
        if isinstance(base, str) or len(known) < len(ends[position]):
            measured.append(measure_branches(plan.task, rng_seed))
        else:
            measured.append(plan.result(observations[position], base, known))
    return measured
