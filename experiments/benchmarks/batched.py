"""Figures of episodes in a batch: their speed, and how well they agree with those of `Grower`.

Speed is that of one process with one thread, in processor time for an epoch of an episode; 2 ms are
500 epochs a second.  Agreement is measured in double precision: in single precision two orders of
one sum lead to different networks after some epochs of training.  Even in double precision a few
hosts multiply rounding by ten in an epoch, until the losses of their last epochs differ; those of
the networks that runs read out, the averages of their weights at their best, do not.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import process_time

import numpy as np
import torch

from esper.blueprint.catalogue import STANDARD
from esper.contracts.slot import Placement, SlotKind
from esper.contracts.step import StepReport
from esper.policy.base import PolicyOption
from esper.policy.heuristic import Heuristic
from esper.policy.never import Never
from esper.run.episodes.batched.engine import STACK, run_batched
from esper.run.episodes.batched.row import Job
from esper.run.episodes.episode import Episode, EpisodeResult, slot_names
from esper.run.episodes.scripted import Event, Scripted
from esper.run.episodes.task import EpisodeTask, draw_task
from experiments.benchmarks.figure import Figure

RNG_SEED = 100
FIRST_TASK = 20_000
MOST_MS = 2.0
EVENTS = 3
NUM_TASKS = 40
MOST_DIFFERENCE = 1e-3
MOST_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Course:
    """An episode: the reports of its control steps, and its end."""

    reports: list[StepReport]
    end: EpisodeResult

    @property
    def decisions(self) -> list[tuple[int, str, int, str, str]]:
        """Every stage change: epoch, slot, seed, blueprint, stage."""
        return [
            (report.metrics.epoch, move.slot, move.seed, move.blueprint, move.to_stage)
            for report in self.reports
            for move in report.moves
        ]


def speed(num_tasks: int = STACK) -> list[Figure]:
    """Return the milliseconds of an epoch of an episode under three policies."""
    tasks = _tasks(num_tasks)
    run_batched(
        [Job(task, RNG_SEED, {"policy": Scripted(events=_events(task))}) for task in tasks[:8]]
    )
    return [
        Figure(
            name=f"batched_step/{name}",
            value=_step_ms([Job(task, RNG_SEED, {"policy": p}) for task, p in policies]),
            unit="ms",
            goal=MOST_MS,
            reference=f"{num_tasks} dense tasks, one thread",
        )
        for name, policies in (
            ("never", [(task, Never()) for task in tasks]),
            ("scripted", [(task, Scripted(events=_events(task))) for task in tasks]),
            ("judged", [(task, Scripted(events=_events(task), keeps=False)) for task in tasks]),
            ("heuristic", [(task, Heuristic()) for task in tasks]),
        )
    ]


def agreement(num_tasks: int = NUM_TASKS) -> list[Figure]:
    """Return how far episodes in a batch differ from those through `Grower`."""
    tasks = _tasks(num_tasks)
    with in_double():
        never = _pairs(tasks, [Never()] * num_tasks)
        kept = _pairs(tasks, [Scripted(events=_events(task)) for task in tasks])
        heuristic = _pairs(tasks, [Heuristic()] * num_tasks)
    losses = [
        abs(one.metrics.val_loss - two.metrics.val_loss)
        for mine, theirs in never
        for one, two in zip(mine.reports, theirs.reports, strict=True)
    ]
    far = sum(loss > MOST_DIFFERENCE for loss in losses)
    ends = [abs(mine.end.loss - theirs.end.loss) for mine, theirs in never]
    different = [mine.decisions != theirs.decisions for mine, theirs in heuristic]
    where = f"{num_tasks} dense tasks, double precision"
    return [
        Figure(
            name="batched_difference/never",
            value=max(ends),
            unit="nats",
            goal=MOST_DIFFERENCE,
            reference=f"largest difference of a run's result, {where}",
        ),
        Figure(
            name="batched_difference/never_epochs",
            value=far / len(losses),
            unit="of epochs",
            goal=MOST_SHARE,
            reference=f"validation losses that differ by over {MOST_DIFFERENCE:g}, the largest by "
            f"{max(losses):.2g}, {where}",
        ),
        Figure(
            name="batched_difference/decisions",
            value=sum(different) / len(different),
            unit="of episodes",
            goal=MOST_SHARE,
            reference=f"heuristic, {where}",
        ),
        *(
            Figure(
                name=f"batched_difference/gains_{name}",
                value=1 - _correlation(pairs, never),
                unit="1 - r",
                goal=MOST_SHARE,
                reference=where,
            )
            for name, pairs in (("scripted", kept), ("heuristic", heuristic))
        ),
    ]


def _tasks(number: int) -> list[EpisodeTask]:
    return [draw_task(FIRST_TASK + index, SlotKind.DENSE) for index in range(number)]


def _events(task: EpisodeTask) -> tuple[Event, ...]:
    """Return germinations in the first half of the run, in different slots."""
    rng = np.random.default_rng([23, task.index])
    names, blueprints = slot_names(task), STANDARD[task.kind, Placement.PARALLEL]
    epochs = np.sort(rng.permutation(np.arange(1, task.epochs // 2))[:EVENTS])
    slots = rng.permutation(len(names))[:EVENTS]
    return tuple(
        Event(int(epoch), names[slot], blueprints[int(rng.integers(len(blueprints)))])
        for epoch, slot in zip(epochs, slots, strict=True)
    )


def _step_ms(jobs: Sequence[Job]) -> float:
    began = process_time()
    run_batched(jobs)
    return (process_time() - began) * 1e3 / sum(job.task.epochs for job in jobs)


def _pairs(
    tasks: Sequence[EpisodeTask], policies: Sequence[PolicyOption]
) -> list[tuple[Course, Course]]:
    """Return each episode in a batch and through `Grower`, without those that no batch can run."""
    jobs = [
        Job(task, RNG_SEED, {"policy": policy})
        for task, policy in zip(tasks, policies, strict=True)
    ]
    reports: list[list[StepReport]] = [[] for _ in jobs]
    ends = run_batched(jobs, lambda position, report: reports[position].append(report))
    return [
        (Course(mine, end), _through_grower(job))
        for job, mine, end in zip(jobs, reports, ends, strict=True)
        if isinstance(end, EpisodeResult)
    ]


def _through_grower(job: Job) -> Course:
    episode, reports = Episode(job.task, job.rng_seed, **job.options), []
    while not episode.is_over:
        reports.append(episode.step())
    return Course(reports, episode.finish())


def _correlation(
    pairs: Sequence[tuple[Course, Course]], never: Sequence[tuple[Course, Course]]
) -> float:
    """Return the correlation of the gains over the never-grown runs of the same tasks."""
    plain = {mine.end.index: (mine.end.loss, theirs.end.loss) for mine, theirs in never}
    gains = [
        [math.log(loss / end) for loss, end in zip(plain[one.end.index], ends, strict=True)]
        for one, two in pairs
        if one.end.index in plain
        for ends in [(one.end.loss, two.end.loss)]
    ]
    return float(np.corrcoef(np.array(gains).T)[0, 1])


@contextmanager
def in_double() -> Iterator[None]:
    """Make double precision torch's default for a block."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
