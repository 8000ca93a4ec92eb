"""Rank untrained kernels, and find what the best kernel of each slot promises."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from esper.attribution.first_order import Loss, first_order_scores
from esper.attribution.modes import Key
from esper.contracts.event import KernelBuilt
from esper.contracts.slot import SlotState
from esper.contracts.stage import SeedStage
from esper.growth.host import Host
from esper.kernels.kernel import Kernel, KernelError
from esper.kernels.pipeline import KernelPipeline

REFRESH_EPOCHS = 4
"""Epochs for which a slot's score is used."""

SLOTS_AT_ONCE = 16
"""Slots whose kernels are built and ranked together."""


@dataclass(frozen=True)
class Ranked:
    """First-order scores of kernels by slot and seed, and the kernels that failed."""

    scores: dict[Key, float] = field(default_factory=dict)
    failed: list[KernelBuilt] = field(default_factory=list)


def rank(host: Host, kernels: Mapping[Key, Kernel], loss: Loss | None) -> Ranked:
    """Return the scores of the kernels that do not fail; none without a loss."""
    left, failed = dict(kernels), list[KernelBuilt]()
    while loss is not None and left:
        try:
            return Ranked(first_order_scores(host, left, loss), failed)
        except KernelError as error:
            failed.append(error.attempt)
            del left[error.attempt.slot, error.attempt.seed]
    return Ranked({}, failed)


class Prospects:
    """The first-order score of each idle slot's best kernel, which orders the slots."""

    def __init__(self, host: Host, pipeline: KernelPipeline) -> None:
        self.host, self.pipeline = host, pipeline
        self._scores: dict[str, tuple[int, float]] = {}

    def scored(
        self, states: tuple[SlotState, ...], epoch: int, affordable_flops: float, loss: Loss | None
    ) -> tuple[SlotState, ...]:
        """Return the slots with their scores, if there are several in which a seed may germinate.

        A score is measured every `REFRESH_EPOCHS` epochs; a slot with a live seed needs none.
        """
        idle = [s for s in states if not s.live and s.least_flops <= affordable_flops]
        if loss is not None and len(idle) > 1:
            stale = [s for s in idle if self._is_stale(s.spec.name, epoch)]
            for start in range(0, len(stale), SLOTS_AT_ONCE):
                self._measure(stale[start : start + SLOTS_AT_ONCE], epoch, affordable_flops, loss)
        return tuple(replace(s, score=self._scores.get(s.spec.name, (0, None))[1]) for s in states)

    def _is_stale(self, slot: str, epoch: int) -> bool:
        return slot not in self._scores or epoch - self._scores[slot][0] >= REFRESH_EPOCHS

    def _measure(
        self, states: Sequence[SlotState], epoch: int, affordable_flops: float, loss: Loss
    ) -> None:
        kernels: dict[Key, Kernel] = {}
        for seed in (seed for state in states for seed in state.seeds):
            if seed.stage is not SeedStage.DORMANT:
                continue
            try:
                request = self.host.request(
                    seed.slot, seed.seed, seed.bound, self.pipeline.rng_seed
                )
                if request.cost.flops <= affordable_flops:
                    kernels[seed.slot, seed.seed] = self.pipeline.take(request)
            except KernelError:
                # It is reported when it is asked for.
                continue
        scores = rank(self.host, kernels, loss).scores
        for state in states:
            own = [score for (slot, _), score in scores.items() if slot == state.spec.name]
            if own:
                self._scores[state.spec.name] = (epoch, max(own))

    def state_dict(self) -> dict[str, Any]:
        """Return the scores with their epochs."""
        return {slot: list(score) for slot, score in self._scores.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned."""
        self._scores = {slot: (epoch, score) for slot, (epoch, score) in state.items()}
