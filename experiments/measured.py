"""Run a configuration in a temporary folder, and keep what comparisons need of it."""

import contextlib
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from esper.config import RunConfig
from esper.run.load import load_run
from esper.run.run import run
from esper.run.task import scores
from experiments.meter import metered, reset_peak_memory

_SWEEP = "experiment"
"""Runs with a sweep's name print no table of epochs."""


@dataclass(frozen=True)
class Measured:
    """A finished run.

    summary, lines, events: its records.
    processor_s: processor seconds of its epochs, see `experiments.meter`.
    peak_memory_mb: largest resident memory of the process during the run, None if unknown.
    val_loss: loss of the trained network on the decision-validation split.
    test_losses_N, test_hits_N: its scores on each test sample.
    """

    summary: dict[str, Any]
    lines: tuple[dict[str, Any], ...]
    events: tuple[dict[str, Any], ...]
    processor_s: float
    peak_memory_mb: float | None
    val_loss: float
    test_losses_N: Tensor
    test_hits_N: Tensor

    @property
    def flops(self) -> float:
        """FLOPs of training and attribution."""
        return float(self.summary["train_flops"])

    @property
    def epochs(self) -> int:
        """Epochs that were trained."""
        return len(self.lines)

    @property
    def kernels(self) -> list[dict[str, Any]]:
        """Slot, seed, blueprint and alpha of each kernel that was kept."""
        alphas = {(seed["slot"], seed["seed"]): seed["alpha"] for seed in self.lines[-1]["seeds"]}
        keys = ("slot", "seed", "blueprint")
        return [
            {**{key: kernel[key] for key in keys}, "alpha": alphas[kernel["slot"], kernel["seed"]]}
            for kernel in self.summary["grown"]
        ]

    @property
    def flops_per_epoch(self) -> float:
        """FLOPs of an epoch, on average."""
        return self.flops / self.epochs


def measure(config: RunConfig) -> Measured:
    """Run a configuration and load the network that it gives."""
    is_own_peak = reset_peak_memory()
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.redirect_stdout(io.StringIO()), metered() as meter:
            summary = run(config, Path(folder), sweep=_SWEEP)
        loaded = load_run(folder)
        network = loaded.network()
        data = config.data.load()
        val_losses_N, _ = scores(network, data.val)
        losses_N, hits_N = scores(network, data.test)
        same = torch.isclose(losses_N.mean(), torch.tensor(summary["test_loss"]), rtol=1e-4)
        assert same, "the saved network is the one that was tested"
        return Measured(
            summary=summary,
            lines=loaded.metrics,
            events=loaded.events,
            processor_s=meter.processor_s,
            peak_memory_mb=summary["peak_memory_mb"] if is_own_peak else None,
            val_loss=float(val_losses_N.mean()),
            test_losses_N=losses_N,
            test_hits_N=hits_N,
        )
