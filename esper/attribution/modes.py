"""Evaluate the averaged network with some of its kernels muted.

Each mode has its own batch statistics: those of training mix the steps with and without a kernel.
They are computed anew from the last training inputs, as in stochastic weight averaging.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from esper.attribution.evaluation import Evaluate, Evaluation, evaluate_model
from esper.contracts.stage import BLENDED, LIVE, ON_TRIAL, SeedStage
from esper.growth.attach import is_of_seed, kernels_of
from esper.growth.bank import guarded
from esper.growth.host import Host
from esper.probe.modes import eval_mode
from esper.probe.tensors import Tensors

Key = tuple[str, int]
"""Slot and index of a seed."""


class Modes:
    """Evaluations of a host with averaged weights at the end of an epoch, each mode only once.

    flops: forward FLOPs a sample of all evaluations so far.
    statistics: batch statistics computed for `settled`, by name; none before it or without inputs.
    """

    def __init__(self, evaluate: Evaluate, host: Host) -> None:
        self.evaluate, self.host = evaluate, host
        live = [seed for seed in host.seeds() if seed.stage in BLENDED & LIVE]
        self._blended = frozenset((seed.slot, seed.index) for seed in live)
        self._flops = {(s.slot, s.index): s.activation.flops for s in live}
        self._settled_flops = host.settled_flops
        kept = [seed for seed in host.seeds() if seed.stage is SeedStage.FOSSILIZED]
        self._kept_flops = {(s.slot, s.index): s.activation.flops for s in kept}
        self._on_trial = frozenset((s.slot, s.index) for s in live if s.stage in ON_TRIAL)
        self._known: dict[frozenset[Key], Evaluation] = {}
        self.flops = 0.0
        self.statistics: Tensors = {}

    def settled(self) -> Evaluation:
        """Return the scores of the network without any live kernel."""
        return self.without(self._blended)

    def without_kept(self, key: Key) -> Evaluation:
        """Return the scores of the network without any live kernel and without a kept one."""
        return self.without(self._blended | {key})

    @property
    def extra_flops(self) -> float:
        """FLOPs of all evaluations but the one that a run without growth would make too."""
        num_samples = len(self.settled().losses_N)
        return (self.flops - self._settled_flops) * num_samples

    def whole(self) -> Evaluation:
        """Return the scores of the network with all its blended kernels."""
        return self.without(())

    def blended_loss(self) -> float | None:
        """Return the loss with all blended kernels; None if no kernel is blending."""
        is_blending = any(seed.stage is SeedStage.BLENDING for seed in self.host.seeds())
        return self.whole().loss if is_blending else None

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
            self._known[keys] = self._evaluated(keys)
            heard = sum(flops for key, flops in self._flops.items() if key not in keys)
            heard -= sum(flops for key, flops in self._kept_flops.items() if key in keys)
            # The inputs of the batch statistics pass the network too.
            passes = 1 + self.host.inputs.num_samples / len(self._known[keys].losses_N)
            self.flops += passes * (self._settled_flops + heard)
        return self._known[keys]

    def _evaluated(self, muted: frozenset[Key]) -> Evaluation:
        with self._mode(muted):
            evaluation = evaluate_model(self.evaluate, self.host.model)
            if muted == self._blended and self.host.inputs.calls:
                self.statistics = self._statistics()
        return evaluation

    def _statistics(self) -> Tensors:
        """Return a copy of the present batch statistics, without those of live kernels."""
        live = [seed for seed in self.host.seeds() if seed.stage in LIVE]
        norms = {id(b) for norm in self.host.inputs.norms for b in norm.buffers(recurse=False)}
        return {
            name: buffer.clone()
            for name, buffer in self.host.model.named_buffers()
            if id(buffer) in norms and not any(is_of_seed(name, s.slot, s.index) for s in live)
        }

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
        with guarded(host.model), eval_mode(host.model), torch.no_grad(), _plain_means(norms):
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
