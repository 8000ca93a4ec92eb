"""The page of a sweep, or of several runs: groups with intervals, then every job."""

from collections.abc import Sequence
from html import escape

from esper.logger.format import count, decimal, magnitude, measured
from esper.report import html
from esper.report.sweep import Group, Job


def comparison_page(
    title: str, jobs: Sequence[Job], groups: Sequence[Group], metric: str, svg: str
) -> str:
    """Return one self-contained HTML page."""
    finished = sum(job.status == "finished" for job in jobs)
    words = metric.replace("_", " ")
    return html.page(
        f"Esper: {title}",
        f"<h1>{escape(title)}</h1>",
        f"<p>{len(jobs)} jobs, {finished} of them finished</p>",
        html.section(
            f"Groups by {words}",
            _groups(groups, metric),
            '<p class="dim">A group is the jobs that differ in nothing but rng_seed; the interval '
            "is a bootstrap of the mean over them, 95 %.</p>",
            html.figure(svg),
        ),
        html.section("Jobs", _jobs(jobs)),
    )


def _groups(groups: Sequence[Group], metric: str) -> str:
    return html.table(
        html.columns("group", "#jobs", "#counted", "#mean", "#95 % interval"),
        [
            (
                group.label,
                group.jobs,
                len(group.values),
                measured(metric, group.mean),
                None
                if group.low is None
                else f"{measured(metric, group.low)} to {measured(metric, group.high)}",
            )
            for group in groups
        ],
        "There is no group.",
    )


def _jobs(jobs: Sequence[Job]) -> str:
    return html.table(
        html.columns(
            "#job",
            "status",
            "overrides",
            "#test accuracy",
            "#test loss",
            "#parameters",
            "#kept",
            "#tried",
            "#FLOPs",
        ),
        [
            (
                job.name,
                ": ".join(filter(None, (job.status, str(job.numbers.get("error") or "")))),
                " ".join(f"{key}={value}" for key, value in job.overrides.items()),
                measured("accuracy", job.numbers.get("test_accuracy")),
                decimal(job.numbers.get("test_loss"), 4),
                count(job.numbers.get("params_final")),
                count(job.numbers.get("seeds_fossilized")),
                count(job.numbers.get("seeds_germinated")),
                magnitude(job.numbers.get("train_flops")),
            )
            for job in jobs
        ],
        "There is no job.",
    )
