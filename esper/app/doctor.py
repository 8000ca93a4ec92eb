"""What `esper doctor` shows: versions, device, accounts, and what is missing and how to get it."""

import os
import platform
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import esper
from esper.contracts.errors import EsperError
from esper.logger.login import is_logged_in
from esper.remote import redis

REQUIRED = ("torch", "numpy", "hydra-core", "omegaconf", "wandb", "scikit-learn", "matplotlib")

EXTRAS = {
    "tensorboard": ("tensorboard", "logger=tensorboard"),
    "sweep": ("hydra-joblib-launcher", "hydra/launcher=joblib"),
    "redis": ("redis", "store=redis and logger=redis"),
    "bench": ("mabwiser", "the benchmarks"),
}
"""Extra -> the package that it brings, and what needs it."""

REDIS_TIMEOUT_S = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One row: what was looked at, what was found, and what to do about it if anything.

    ok: None when it is an offer rather than a fault.
    """

    what: str
    found: str
    ok: bool | None = True
    advice: str = ""


def examine() -> list[Finding]:
    """Return everything worth knowing about this installation; changes nothing."""
    return [
        Finding(what="esper", found=esper.__version__),
        Finding(what="python", found=f"{platform.python_version()} in {sys.prefix}"),
        *[_required(package) for package in REQUIRED],
        _device(),
        _login(),
        *[_extra(extra, *facts) for extra, facts in EXTRAS.items()],
        _redis_server(),
        _output_folder(),
    ]


def _required(package: str) -> Finding:
    try:
        return Finding(what=package, found=version(package))
    except PackageNotFoundError:
        advice = f"pip install {package}"
        return Finding(what=package, found="missing", ok=False, advice=advice)


def _device() -> Finding:
    import torch  # 1.5 s: only once the doctor is really asked

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return Finding(what="device", found=f"cuda: {', '.join(names)}")
    cores = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
    if torch.backends.mps.is_available():
        return Finding(what="device", found=f"mps; {cores}")
    return Finding(what="device", found=f"cpu: {cores}")


def _login() -> Finding:
    if is_logged_in():
        return Finding(what="W&B", found="logged in")
    return Finding(
        what="W&B",
        found="not logged in: runs stay offline",
        ok=None,
        advice="wandb login",
    )


def _extra(extra: str, package: str, needed_by: str) -> Finding:
    what = f"extra {extra}"
    try:
        return Finding(what=what, found=f"{package} {version(package)}")
    except PackageNotFoundError:
        return Finding(
            what=what,
            found=f"not installed; {needed_by} needs it",
            ok=None,
            advice=f"pip install 'esper-morph[{extra}]'",
        )


def _redis_server() -> Finding:
    """Ask the server that `store=redis` would take, for as long as one notices at most."""
    advice = f"redis-server, or {redis.VARIABLE}=redis://<host>:6379/0"
    try:
        url = redis.address()
        client = redis.connect("store=redis", url, REDIS_TIMEOUT_S)
        with closing(client), redis.redis_errors("server", url):
            number = client.info("server")["redis_version"]
    except EsperError as error:
        return Finding(what="redis", found=str(error), ok=None, advice=advice)
    return Finding(what="redis", found=f"{redis.shown(url)} answers, version {number}")


def _output_folder() -> Finding:
    here = Path.cwd()
    if os.access(here, os.W_OK):
        return Finding(what="output", found=f"to {here}")
    return Finding(
        what="output",
        found=f"{here} cannot be written",
        ok=False,
        advice="change to another folder, or set hydra.run.dir=<folder>",
    )


def show(findings: Sequence[Finding]) -> None:
    """Print the findings as a table."""
    table = Table(box=box.SIMPLE_HEAD)
    for title in ("", "what", "found", "to do"):
        table.add_column(title, overflow="fold")
    marks = {True: "[green]ok[/]", False: "[red]no[/]", None: "[yellow]--[/]"}
    for finding in findings:
        cells = (escape(text) for text in (finding.what, finding.found, finding.advice))
        table.add_row(marks[finding.ok], *cells)
    Console().print(table)
