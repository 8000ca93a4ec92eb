"""`esper doctor`: show versions, device and accounts, and how to install what is missing."""

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
    "data": ("datasets", "data=cifar10"),
    "policy": ("torch-geometric", "the graph of a host's slots"),
    "bench": ("mabwiser", "the benchmarks"),
}
"""Each extra, the package that it installs, and the options that need it."""

REDIS_TIMEOUT_S = 0.3


@dataclass(frozen=True, slots=True)
class Finding:
    """A row of the table.

    what: the part examined.
    state: its version or condition.
    advice: the command that mends it, empty if it needs none.
    ok: None if an optional part is missing.
    """

    what: str
    state: str
    advice: str = ""
    ok: bool | None = True


def examine() -> list[Finding]:
    """Return the findings about this installation; changes nothing."""
    return [
        Finding("esper", esper.__version__),
        Finding("python", f"{platform.python_version()} in {sys.prefix}"),
        *[_required(package) for package in REQUIRED],
        Finding("device", _device()),
        _login(),
        *[_extra(extra, *facts) for extra, facts in EXTRAS.items()],
        _redis_server(),
        _output_folder(),
    ]


def _required(package: str) -> Finding:
    try:
        return Finding(package, version(package))
    except PackageNotFoundError:
        return Finding(package, "missing", f"pip install {package}", ok=False)


def _device() -> str:
    import torch  # takes 1.5 s

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return f"cuda: {', '.join(names)}"
    cores = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
    return f"mps; {cores}" if torch.backends.mps.is_available() else f"cpu: {cores}"


def _login() -> Finding:
    if is_logged_in():
        return Finding("W&B", "logged in")
    return Finding("W&B", "not logged in: runs stay offline", "wandb login", ok=None)


def _extra(extra: str, package: str, needed_by: str) -> Finding:
    what = f"extra {extra}"
    try:
        return Finding(what, f"{package} {version(package)}")
    except PackageNotFoundError:
        advice = f"pip install 'esper-morph[{extra}]'"
        return Finding(what, f"not installed; {needed_by} needs it", advice, ok=None)


def _redis_server() -> Finding:
    """Connect to the server that `store=redis` uses, for at most `REDIS_TIMEOUT_S`."""
    try:
        url = redis.address()
        client = redis.connect("store=redis", url, REDIS_TIMEOUT_S)
        with closing(client), redis.redis_errors("server", url):
            number = client.info("server")["redis_version"]
    except EsperError as error:
        advice = f"redis-server, or {redis.VARIABLE}=redis://<host>:6379/0"
        return Finding("redis", str(error), advice, ok=None)
    return Finding("redis", f"{redis.shown(url)} answers, version {number}")


def _output_folder() -> Finding:
    here = Path.cwd()
    if os.access(here, os.W_OK):
        return Finding("output", f"to {here}")
    advice = "change to another folder, or set hydra.run.dir=<folder>"
    return Finding("output", f"{here} cannot be written", advice, ok=False)


def show(findings: Sequence[Finding]) -> None:
    """Print the findings as a table."""
    table = Table(box=box.SIMPLE_HEAD)
    for title in ("", "what", "found", "to do"):
        table.add_column(title, overflow="fold")
    marks = {True: "[green]ok[/]", False: "[red]no[/]", None: "[yellow]--[/]"}
    for finding in findings:
        cells = (escape(text) for text in (finding.what, finding.state, finding.advice))
        table.add_row(marks[finding.ok], *cells)
    Console().print(table)
