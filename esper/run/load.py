"""Load a run: its records, its configuration and its network."""

import math
from pathlib import Path

import torch
from torch import nn

from esper.checkpoint.format import read
from esper.checkpoint.rotation import BEST, LAST, PREVIOUS
from esper.contracts.errors import CheckpointError, DataError
from esper.contracts.stage import LIVE
from esper.growth.host import Host
from esper.growth.host_state import load_host_state
from esper.growth.network_file import load_network
from esper.probe.tensors import put_tensors
from esper.run.config_file import config_of
from esper.run.model import initial_host
from esper.rundir import records
from esper.rundir.layout import CHECKPOINTS, CONFIG, NETWORK


class LoadedRun:
    """The result of `esper.load_run`.

    config: the checked configuration.
    metrics, events: lines as dictionaries, oldest first.
    summary: values of summary.json, None while the run is unfinished.
    """

    def __init__(self, path: Path | str) -> None:
        run = records.load_run(path)
        self.path = run.path
        self.metrics, self.events, self.summary = run.metrics, run.events, run.summary
        try:
            self.config = config_of(run.config)
        except DataError as error:
            raise DataError(f"{run.path / CONFIG}: {error}") from error

    def network(self, checkpoint: str | None = None) -> nn.Module:
        """Return the network that the run read out, in eval mode.

        With `checkpoint` (`best`, `last` or `previous`), return that of a checkpoint: its averaged
        weights without kernels on trial.  The validation numbers of its epoch describe it, unless
        the epoch ended by keeping a seed or by a rollback, or was interrupted; `best` is of none
        of these.

        Raises:
            CheckpointError: if it was not saved, is broken or does not fit the configuration.
            ValueError: if `checkpoint` is another name.
        """
        if checkpoint not in (None, LAST, PREVIOUS, BEST):
            names = ", ".join((LAST, PREVIOUS, BEST))
            raise ValueError(f"checkpoint must be None or one of {names}, got {checkpoint!r}")
        if checkpoint is None and self.summary is None:
            raise CheckpointError(
                f"{self.path} is not finished; network('last') is as it was last saved"
            )
        if checkpoint is None:
            assert self.summary is not None, "a run without one was refused"
            host = self._host(int(math.log2(self.summary.get("width", 1))))
            return load_network(self.path / NETWORK, host).eval()
        saved = read(self.path / CHECKPOINTS / checkpoint).tree
        # Older checkpoints know of one width alone.
        host = self._host(saved.get("growing", {}).get("doublings", 0))
        load_host_state(host, saved["grower"]["trials"]["host"])
        for seed in host.seeds():
            if seed.stage in LIVE:
                host.leave_out(seed)
        host.average.adopt()
        # Older checkpoints have none; averaged statistics then stay.
        put_tensors(host.model, saved.get("statistics", {}))
        return host.model.eval()

    def _host(self, doublings: int) -> Host:
        """Return an untrained host of a width."""
        data = self.config.data.load()
        with torch.random.fork_rng(devices=[]):
            return initial_host(self.config, data, doublings)

    def __repr__(self) -> str:
        status = "unfinished" if self.summary is None else "finished"
        return f"LoadedRun({self.path}, epochs {len(self.metrics)}, {status})"


def load_run(path: Path | str) -> LoadedRun:
    """Return the run in the folder `path`.

    Raises:
        DataError: naming the file that is missing or broken.
    """
    return LoadedRun(path)
