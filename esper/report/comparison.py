"""The page of a sweep or of several runs: groups with intervals, then every job."""

from collections.abc import Sequence
from html import escape

from esper.logger.format import UNKNOWN, count, decimal, magnitude, measured
from esper.report import html
from esper.report.history import Row
from esper.report.sweep import LEAST_JOBS, Group, Job

_GROUPS = ("group", "#jobs", "#counted", "#mean", "#95 % interval")
_JOBS = (
    *("#job", "@status", "overrides", "#test accuracy", "#test loss"),
    *("#parameters", "#kept", "#tried", "#FLOPs"),
)


def comparison_page(
    title: str, jobs: Sequence[Job], groups: Sequence[Group], metric: str, svg: str
) -> str:
    """Return one self-contained HTML page."""
    finished = sum(job.status == "finished" for job in jobs)
    rows = [
        (
            group.label,
            group.jobs,
            len(group.values),
            measured(metric, group.mean),
            group.interval(metric),
        )
        for group in groups
    ]
    return html.page(
        f"Esper: {title}",
        f"<h1>{escape(title)}</h1>",
        f"<p>{len(jobs)} jobs, {finished} of them finished</p>",
        html.section(
            f"Groups by {metric.replace('_', ' ')}",
            html.table(_GROUPS, rows, "There is no group."),
            '<p class="dim">A group is the jobs that differ in nothing but rng_seed; the interval '
            f"is a bootstrap of the mean over them, 95 %, from {LEAST_JOBS} jobs on. "
            f"{escape(_shared(jobs))}</p>",
            html.figure(svg),
        ),
        html.section(
            "Jobs",
            html.table(_JOBS, map(_job_row, jobs), "There is no job."),
            *_errors(jobs),
        ),
    )


def _errors(jobs: Sequence[Job]) -> tuple[str, ...]:
    """Return a table of the errors, which are too long for the jobs' own; nothing without one."""
    rows = [(job.name, job.numbers["error"]) for job in jobs if job.numbers.get("error")]
    return ("<h3>Errors</h3>", html.table(("#job", "error"), rows, "")) if rows else ()


def _shared(jobs: Sequence[Job]) -> str:
    """Return the overrides that every job has in common, in words."""
    sets = [set(job.overrides.items()) for job in jobs]
    common = [f"{key}={value}" for key, value in sorted(set.intersection(*sets))] if sets else []
    return f"In every job: {' '.join(common)}." if common else ""


def _job_row(job: Job) -> Row:
    numbers = job.numbers
    return (
        job.name,
        job.status,
        " ".join(f"{key}={value}" for key, value in job.overrides.items()),
        measured("accuracy", numbers.get("test_accuracy")),
        decimal(numbers.get("test_loss"), 4),
        count(numbers.get("params_final")),
        count(numbers.get("seeds_fossilized")),
        count(numbers.get("seeds_germinated")),
        magnitude(numbers["train_flops"]) if numbers.get("train_flops") else UNKNOWN,
    )
