"""An episode that runs in a batch: its task, its control, and where the stack holds its weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from esper.attribution.modes import Key
from esper.contracts.slot import SlotKind
from esper.contracts.stage import BLENDED
from esper.growth.attach import kernels_of
from esper.growth.slot import Seed
from esper.run.episodes.batched.control import RowGrower, RowHost
from esper.run.episodes.batched.flat import (
    BLUEPRINTS,
    block_range,
    host_pieces,
    pack_host,
    pack_kernel,
    unpack,
    unpack_kernel,
)
from esper.run.episodes.batched.kernels import KernelKey
from esper.run.episodes.batched.stack import Stack
from esper.run.episodes.hosts import EpisodeHost
from esper.run.episodes.task import EpisodeTask
from esper.run.task import Task


@dataclass(frozen=True, slots=True)
class Job:
    """An episode to run; `options` are those of `Episode`.

    Raises:
        ValueError: if the task's host is not a dense one.
    """

    task: EpisodeTask
    rng_seed: int
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.task.kind is not SlotKind.DENSE:
            raise ValueError(f"only dense episodes run in a batch, got {self.task.kind}")


@dataclass(slots=True)
class Row:
    """A network of a stack and its control.

    position: of its job among those of the batch.
    number: its row in the stack.
    kernels: the keys of its kernels in the stack, by slot and seed.
    flops: of its training so far.
    """

    position: int
    job: Job
    run: Task
    grower: RowGrower
    number: int
    kernels: dict[Key, KernelKey] = field(default_factory=dict)
    flops: float = 0.0

    @property
    def host(self) -> RowHost:
        """The host, whose model holds weights of an earlier epoch."""
        assert isinstance(self.grower.host, RowHost)
        return self.grower.host

    @property
    def _model(self) -> EpisodeHost:
        assert isinstance(self.host.model, EpisodeHost)
        return self.host.model

    def initial_weights(self) -> Tensor:
        """Return the flat weights of the host."""
        return pack_host(self._model)

    def frozen(self) -> tuple[int, int] | None:
        """Return the part of the flat weights that does not learn, None if all do."""
        learns = [[p.requires_grad for p in block.parameters()] for block in self._model.blocks]
        places = [place for place, each in enumerate(learns) if not all(each)]
        assert len(places) <= 1, "at most one block is damaged"
        return block_range(places[0]) if places else None

    def follow(self) -> tuple[list[KernelKey], dict[KernelKey, Tensor]]:
        """Note the kernels that the host holds now; return those that left, and the new ones.

        The new ones come with their flat weights.
        """
        seeds = [seed for seed in self.host.seeds() if seed.current is not None]
        now = {(seed.slot, seed.index): self._key(seed) for seed in seeds}
        gone = [key for at, key in self.kernels.items() if now.get(at) != key]
        added = {
            key: pack_kernel(self._module(*at), BLUEPRINTS[key.blueprint])
            for at, key in now.items()
            if self.kernels.get(at) != key
        }
        self.kernels = now
        return gone, added

    def alphas(self, muted: frozenset[Key]) -> dict[KernelKey, float]:
        """Return the blend factors of the kernels that are blended and not muted."""
        seeds = [self.host.seed(*key) for key in self.kernels if key not in muted]
        return {self.kernels[s.slot, s.index]: s.alpha for s in seeds if s.stage in BLENDED}

    def move(self, number: int) -> None:
        """Note another row in the stack."""
        self.number = number
        self.kernels = {at: replace(key, row=number) for at, key in self.kernels.items()}

    def put_back(self, stack: Stack, *, averages: bool = False) -> None:
        """Copy the present weights into the model; also their averages into the host's record."""
        if averages:
            self._unpack(stack.mean, stack.pool.mean, stack)
            mean = {name: each.detach().clone() for name, each in self._model.named_parameters()}
            self.host.average.mean = mean
        self._unpack(stack.weights, stack.pool.weights, stack)

    def _unpack(self, hosts: Tensor, kernels: Tensor, stack: Stack) -> None:
        unpack(host_pieces(self._model), hosts[self.number])
        at = stack.pool.index()
        for (slot, index), key in self.kernels.items():
            seed = self.host.seed(slot, index)
            # The present control step may have culled it.
            if seed.current is not None and seed.activations == key.activation:
                unpack_kernel(
                    self._module(slot, index), BLUEPRINTS[key.blueprint], kernels[at[key]]
                )

    def _key(self, seed: Seed) -> KernelKey:
        place = list(self.host.slots).index(seed.slot)
        blueprint = BLUEPRINTS.index(seed.activation.blueprint)
        return KernelKey(place, blueprint, self.number, seed.index, seed.activations)

    def _module(self, slot: str, seed: int) -> nn.Module:
        return kernels_of(self.host.slots[slot].module).kernels[str(seed)]
