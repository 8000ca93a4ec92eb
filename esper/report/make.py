"""Write reports: a page and figures for a run; a page, a figure and a table for a sweep."""

import os
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from esper.contracts.errors import DataError
from esper.report.comparison import comparison_page
from esper.report.drawing import to_svg, write_png
from esper.report.figures import accuracy_figure, comparison_figure, lanes_figure, rewards_figure
from esper.report.learning import learning_figures, learning_page
from esper.report.page import run_page
from esper.report.sweep import Job, collect, job_of, metric_of, table, write_csv
from esper.rundir.layout import LEARNING, METRICS, PAGE, REPORT
from esper.rundir.learned import is_learned, load_learned
from esper.rundir.records import is_run, load_run


def report(paths: Sequence[Path | str], out: Path | str | None = None) -> list[Path]:
    """Write the report of each run or sweep, and a comparison of several; return the files.

    Args:
        paths: folders of runs, sweeps and trainings of networks; among several, empty ones are
            skipped.
        out: folder for everything; None writes `report/` into each run and sweep, and the
            comparison of several into `report/` beside them.

    Raises:
        DataError: if a path is neither a run nor a sweep, or a file of it is missing or broken.
        ValueError: if there is no path.
    """
    if not paths:
        raise ValueError("a report needs at least one run")
    folders = [Path(path) for path in paths]
    if len(folders) > 1:
        # A pattern such as runs/train/* also finds runs that were refused, reports, and files.
        folders = [f for f in folders if not f.exists() or _has_lines(f)]
    targets = [_target(folder, out, alone=len(folders) == 1) for folder in folders]
    _check_different(folders, targets)
    written: list[Path] = []
    jobs: list[Job] = []
    for folder, target in zip(folders, targets, strict=True):
        if is_learned(folder):
            written += _report_training(folder, target)
        elif is_run(folder):
            jobs.append(job_of(folder))
            written += _report_run(folder, target)
        else:
            members = collect(folder)
            jobs += members
            title = f"Sweep {folder.parent.name} {folder.name}"
            written += _report_jobs(title, members, target)
    if len(folders) > 1 and jobs:
        parent = Path(os.path.commonpath([folder.resolve() for folder in folders]))
        written += _report_jobs("Comparison", jobs, Path(out) if out else parent / REPORT)
    return written


def _has_lines(folder: Path) -> bool:
    """Return whether a folder holds the lines of a run, of a sweep's jobs, or of a training."""
    return any(any(folder.glob(pattern)) for pattern in (METRICS, f"*/{METRICS}", LEARNING))


def _target(folder: Path, out: Path | str | None, *, alone: bool) -> Path:
    if out is None:
        return folder / REPORT
    return Path(out) if alone else Path(out) / f"{folder.parent.name}-{folder.name}"


def _check_different(folders: Sequence[Path], targets: Sequence[Path]) -> None:
    for index, target in enumerate(targets):
        if (first := targets.index(target)) != index:
            raise DataError(
                f"the reports of {folders[first]} and {folders[index]} would both be {target}: "
                "write them without --out, or one after the other"
            )


def _report_run(folder: Path, target: Path) -> list[Path]:
    run = load_run(folder)
    figures = {
        "accuracy": accuracy_figure(run),
        "seeds": lanes_figure(run),
        "rewards": rewards_figure(run),
    }
    pngs, svgs = _write_figures(figures, target)
    page = target / PAGE
    page.write_text(run_page(run, svgs), encoding="utf-8")
    return [page, *pngs]


def _report_training(folder: Path, target: Path) -> list[Path]:
    learned = load_learned(folder)
    pngs, svgs = _write_figures(learning_figures(learned.lines), target)
    page = target / PAGE
    page.write_text(learning_page(learned, svgs), encoding="utf-8")
    return [page, *pngs]


def _report_jobs(title: str, jobs: Sequence[Job], target: Path) -> list[Path]:
    metric = metric_of(jobs)
    groups = table(jobs, metric)
    pngs, svgs = _write_figures({"comparison": comparison_figure(groups, metric)}, target)
    rows = target / "sweep.csv"
    write_csv(jobs, rows)
    page = target / PAGE
    page.write_text(comparison_page(title, jobs, groups, metric, svgs[0]), encoding="utf-8")
    return [page, rows, *pngs]


def _write_figures(figures: dict[str, Figure], target: Path) -> tuple[list[Path], list[str]]:
    """Write each figure as PNG and as SVG; return the files and the SVG texts."""
    target.mkdir(parents=True, exist_ok=True)
    files, svgs = [], []
    for name, figure in figures.items():
        write_png(figure, target / f"{name}.png")
        svg = to_svg(figure, name)
        (target / f"{name}.svg").write_text(svg, encoding="utf-8")
        files += [target / f"{name}.png", target / f"{name}.svg"]
        svgs.append(svg)
    return files, svgs
