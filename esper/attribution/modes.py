"""Evaluate the averaged network with some of its kernels muted.

Each mode has its own batch statistics: those of training mix the steps with and without a kernel.
They are computed anew from the last training inputs, as in stochastic weight averaging.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from esper.attribution.evaluation import Evaluate, Evaluation, evaluate_model
from esper.contracts.stage import BLENDED, LIVE, ON_TRIAL
from esper.growth.attach import kernels_of
from esper.growth.host import Host
from esper.probe.modes import eval_mode

Key = tuple[str, int]
"""Slot and index of a seed."""


class Modes:
    """Evaluations of a host with averaged weights at the end of an epoch, each mode only once.

    flops: forward FLOPs a sample of all evaluations so far.
    """

    def __init__(self, evaluate: Evaluate, host: Host) -> None:
        self.evaluate, self.host = evaluate, host
        live = [seed for seed in host.seeds() if seed.stage in BLENDED & LIVE]
        self._blended = frozenset((seed.slot, seed.index) for seed in live)
        self._on_trial = frozenset((s.slot, s.index) for s in live if s.stage in ON_TRIAL)
        isolated = [seed for seed in host.seeds() if seed.stage in LIVE - BLENDED]
        self._isolated_flops = sum(seed.activation.flops for seed in isolated)
        self._known: dict[frozenset[Key], Evaluation] = {}
        self.flops = 0.0

    def settled(self) -> Evaluation:
        """Return the scores of the network without any live kernel."""
        return self.without(self._blended)

    def whole(self) -> Evaluation:
        """Return the scores of the network with all its blended kernels."""
        return self.without(())

    def pairs(self, key: Key) -> list[tuple[Evaluation, Evaluation]]:
        """Return the scores without and with a kernel on trial, for each pattern of the others.

        The others on trial are all in the network, and then none of them is.
        """
        others = self._on_trial - {key}
        patterns = [frozenset[Key]()] + ([others] if others else [])
        return [(self.without(muted | {key}), self.without(muted)) for muted in patterns]

    def without(self, muted: Iterable[Key]) -> Evaluation:
        """Return the scores of the network without the kernels of `muted`."""
        keys = frozenset(muted)
        if keys not in self._known:
            with self._mode(keys):
                self._known[keys] = evaluate_model(self.evaluate, self.host.model)
            muted_flops = sum(self.host.seed(*key).activation.flops for key in keys)
            # An evaluation leaves isolated kernels out too.
            self.flops += self.host.flops - self._isolated_flops - muted_flops
        return self._known[keys]

    @contextmanager
    def settled_network(self) -> Iterator[None]:
        """Put the model into the mode of `settled` for a block."""
        with self._mode(self._blended):
            yield

    def of_twin(self, twin: Host) -> Evaluation:
        """Return the scores of a twin with its averaged weights."""
        self.flops += twin.flops
        with twin.average.applied():
            return evaluate_model(self.evaluate, twin.model)

    @contextmanager
    def _mode(self, muted: frozenset[Key]) -> Iterator[None]:
        recalibrates = recalibrated(self.host) if self.host.inputs.calls else nullcontext()
        with self.host.average.applied(), muting(self.host, muted), recalibrates:
            yield


@contextmanager
def muting(host: Host, keys: Iterable[Key]) -> Iterator[None]:
    """Leave kernels out of a host for a block."""
    banks = [(kernels_of(host.slots[slot].module), str(index)) for slot, index in keys]
    muted = [(bank, name) for bank, name in banks if name not in bank.muted]
    for bank, name in muted:
        bank.muted.add(name)
    try:
        yield
    finally:
        for bank, name in muted:
            bank.muted.discard(name)


@contextmanager
def recalibrated(host: Host) -> Iterator[None]:
    """Give a host the batch statistics of its last training inputs for a block."""
    norms: list[Any] = host.inputs.norms
    buffers = [buffer for norm in norms for buffer in norm.buffers(recurse=False)]
    kept = [buffer.clone() for buffer in buffers]
    try:
        with eval_mode(host.model), torch.no_grad(), _plain_means(norms):
            for args, kwargs in host.inputs.calls:
                host.model(*args, **kwargs)
        yield
    finally:
        with torch.no_grad():
            for buffer, value in zip(buffers, kept, strict=True):
                buffer.copy_(value)


@contextmanager
def _plain_means(norms: list[Any]) -> Iterator[None]:
    """Make norms average their statistics over the calls of a block, with equal weights."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
