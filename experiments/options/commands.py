"""Run commands of `esper train` in forked processes, two at a time, each in a folder of its own."""

import gc
import os
import sys
from collections.abc import Iterable
from multiprocessing import get_context
from pathlib import Path

import sklearn.datasets  # noqa: F401
import torch
import torch._dynamo

import esper.app.train
import esper.run.run  # noqa: F401
from experiments.chaos.child import run_command

PROCESSES = 2
Command = tuple[str, ...]

FILES = {
    "own.py": """
from torch import nn


def narrow(spec, width=16):
    return network(spec, width)


def wide(spec):
    return network(spec, 20)


def network(spec, width):
    features, = spec.input_shape
    return nn.Sequential(
        nn.Linear(features, width), nn.GELU(),
        nn.Linear(width, width), nn.GELU(),
        nn.Linear(width, spec.num_classes),
    )
""",
    "book.txt": "the quick brown fox jumps over the lazy dog. " * 200,
}
"""Files that a command finds in its folder: networks of one's own, and a text."""


def run_all(commands: Iterable[Command], folder: Path) -> dict[Command, Path]:
    """Run each command; return the folders of the runs.

    Args:
        commands: overrides of `esper train`.
        folder: where each command gets a folder.

    Raises:
        RuntimeError: if a command fails, with what it printed last.
    """
    torch.set_num_threads(1)
    places = {command: folder / str(number) for number, command in enumerate(commands)}
    gc.freeze()  # keeps memory pages shared with the children
    # A process for each command, so that none inherits what another one left in memory.
    with get_context("fork").Pool(PROCESSES, maxtasksperchild=1) as pool:
        codes = pool.starmap(_run, places.items(), chunksize=1)
    for (command, place), code in zip(places.items(), codes, strict=True):
        if code:
            said = place.with_suffix(".log").read_text(encoding="utf-8")
            raise RuntimeError(f"esper train {' '.join(command)} ended with {code}: {said[-500:]}")
    return {command: place / "run" for command, place in places.items()}


def _run(command: Command, place: Path) -> int:
    place.mkdir()
    for name, text in FILES.items():
        (place / name).write_text(text, encoding="utf-8")
    log = os.open(place.with_suffix(".log"), os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(place)
    sys.path[0] = str(place)
    return run_command(["train", "logger=none", "hydra.run.dir=run", *command])
