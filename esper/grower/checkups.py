"""Keep the health of the slots' blocks, and the births of kernels there, from probe to probe."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from esper.attribution.health import Probe, block_health
from esper.attribution.modes import Key
from esper.blueprint import catalogue
from esper.contracts.health import Birth, BlockHealth
from esper.contracts.slot import SlotState
from esper.contracts.stage import SeedStage
from esper.grower.costs import Costs
from esper.grower.prospects import untried_kernels
from esper.kernels.kernel import Kernel
from esper.kernels.pipeline import KernelPipeline
from esper.kernels.request import Request
from esper.policy.rules.growth import GrowthLimits, last_epoch

KEPT_MB = 64.0
"""Upper limit of the weights of kernels kept from probe to probe, in MiB."""


@dataclass(frozen=True, slots=True)
class Checkup:
    """What the last probe found in a slot.

    seeds: the slot's seeds then; births are those of these seeds alone.
    """

    health: BlockHealth
    births: tuple[Birth, ...]
    seeds: tuple[tuple[str, int, bool], ...]


class Checkups:
    """Probes the network every `every` epochs while the policy may grow, and keeps what it found.

    limits: until when the policy may grow; None for always.
    gives_scores: whether the births are the scores of slots, because the policy reads health.
    """

    def __init__(
        self,
        costs: Costs,
        pipeline: KernelPipeline,
        *,
        every: int,
        limits: GrowthLimits | None = None,
        gives_scores: bool = True,
    ) -> None:
        self.host, self.costs, self.pipeline = costs.host, costs, pipeline
        self.every, self.limits, self.gives_scores = every, limits, gives_scores
        self._epoch: int | None = None
        self._found: dict[str, Checkup] = {}
        self._kernels: dict[Request, Kernel] = {}

    def look(
        self, states: tuple[SlotState, ...], epoch: int, affordable_flops: float, probe: Probe
    ) -> float:
        """Probe the network if it may grow now and the last probe is old enough.

        Returns the time that this took in ms, 0 without a probe.
        """
        is_due = self._epoch is None or epoch - self._epoch >= self.every
        epochs, limits = self.costs.epochs, self.limits
        last = epochs if limits is None else last_epoch(limits, epochs)
        if not is_due or epoch > last or affordable_flops <= 0:
            return 0.0
        began = time.perf_counter()
        kernels = self._untried(states, affordable_flops)
        measured = block_health(self.host, kernels, probe, epoch)
        self._epoch, self._found = epoch, {}
        if measured is not None:
            self._found = {
                state.spec.name: Checkup(
                    health=measured.health[state.spec.name],
                    births=self._births(state, kernels, measured.scores),
                    seeds=_seeds(state),
                )
                for state in states
            }
        return (time.perf_counter() - began) * 1e3

    def _untried(self, states: Sequence[SlotState], affordable_flops: float) -> dict[Key, Kernel]:
        """Return the kernels to measure; keep those of our own for the next probe.

        A kernel is a function of its request, and a probe does not change ours.
        """
        before, self._kernels = self._kernels, {}
        room = KEPT_MB * 2**20

        def take(request: Request) -> Kernel:
            nonlocal room
            kernel = before.get(request) or self.pipeline.take(request)
            room -= kernel.parameters * request.dtype.itemsize
            if room >= 0 and request.recipe in catalogue.BUILT_IN.values():
                self._kernels[request] = kernel
            return kernel

        return untried_kernels(self.host, states, affordable_flops, self.pipeline.rng_seed, take)

    def added_to(self, states: Sequence[SlotState]) -> tuple[SlotState, ...]:
        """Return the slots with what the last probe found, births only where no seed changed."""
        return tuple(self._added(state) for state in states)

    def _added(self, state: SlotState) -> SlotState:
        found = self._found.get(state.spec.name)
        if found is None:
            return state
        if not self.gives_scores:
            before = set(found.seeds)
            same = {seed[0] for seed in _seeds(state) if seed in before}
            births = tuple(birth for birth in found.births if birth.blueprint in same)
            return replace(state, health=found.health, births=births)
        births = found.births if found.seeds == _seeds(state) else ()
        scores = [birth.first_order for birth in births if birth.first_order is not None]
        score = max(scores, default=None)
        return replace(state, health=found.health, births=births, score=score)

    def _births(
        self,
        state: SlotState,
        kernels: Mapping[Key, Kernel],
        scores: Mapping[Key, float | None],
    ) -> tuple[Birth, ...]:
        """Return the births of the blueprints whose kernels were measured in a slot."""
        settled_flops = self.host.settled_flops
        births: dict[str, Birth] = {}
        for key, score in scores.items():
            kernel = kernels[key]
            if key[0] == state.spec.name and kernel.blueprint not in births:
                added_flops = kernel.flops / settled_flops if settled_flops > 0 else 0.0
                births[kernel.blueprint] = Birth(
                    blueprint=kernel.blueprint, first_order=score, added_flops=added_flops
                )
        return tuple(births.values())

    def state_dict(self) -> dict[str, Any]:
        """Return what the last probe found, and its epoch."""
        return {
            "epoch": self._epoch,
            "found": {slot: asdict(found) for slot, found in self._found.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned."""
        self._epoch = state["epoch"]
        self._found = {slot: _loaded(found) for slot, found in state["found"].items()}


def _seeds(state: SlotState) -> tuple[tuple[str, int, bool], ...]:
    """Return what the births of a slot depend on."""
    return tuple(
        (seed.bound, seed.activations, seed.stage is SeedStage.DORMANT) for seed in state.seeds
    )


def _loaded(saved: Mapping[str, Any]) -> Checkup:
    return Checkup(
        health=BlockHealth(**saved["health"]),
        births=tuple(Birth(**birth) for birth in saved["births"]),
        seeds=tuple((bound, number, is_dormant) for bound, number, is_dormant in saved["seeds"]),
    )
