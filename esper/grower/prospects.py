"""Rank untrained kernels, and find what the best kernel of each slot promises."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from esper.attribution.first_order import Loss, first_order_scores
from esper.attribution.modes import Key
from esper.contracts.decision import DecisionKind
from esper.contracts.event import KernelBuilt
from esper.contracts.slot import Prospect, SeedState, SlotState
from esper.contracts.stage import BLENDED, LIVE, SeedStage
from esper.grower.costs import Costs
from esper.growth.host import Host
from esper.growth.slot import Activation
from esper.kernels.kernel import Kernel, KernelError
from esper.kernels.pipeline import KernelPipeline
from esper.kernels.request import Request
from esper.policy.rules.verdict import VerdictRules, judge_seed
from esper.strategy.expectation import expected_gains
from esper.strategy.ledger import Ledger

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


def untried_kernels(
    host: Host,
    states: Sequence[SlotState],
    affordable_flops: float,
    rng_seed: int,
    take: Callable[[Request], Kernel],
) -> dict[Key, Kernel]:
    """Return the kernels of dormant seeds that can be paid, except for blueprints that fail."""
    kernels: dict[Key, Kernel] = {}
    for seed in (seed for state in states for seed in state.seeds):
        if seed.stage is not SeedStage.DORMANT:
            continue
        try:
            request = host.request(seed.slot, seed.seed, seed.bound, rng_seed)
            if request.cost.flops <= affordable_flops:
                kernels[seed.slot, seed.seed] = take(request)
        except KernelError:
            # It is reported when it is asked for.
            continue
    return kernels


class Prospects:
    """What kernels promise: the best of each idle slot, and those in place of a culled one.

    rules: those of the verdicts, which decide what leaves and what the run will pay for.
    ranks: whether the policy reads this; otherwise nothing is measured.
    """

    def __init__(
        self,
        costs: Costs,
        pipeline: KernelPipeline,
        ledger: Ledger,
        rules: VerdictRules,
        *,
        ranks: bool = True,
    ) -> None:
        self.host, self.costs, self.pipeline, self.ledger = costs.host, costs, pipeline, ledger
        self.rules, self.ranks = rules, ranks
        self._scores: dict[str, tuple[int, float]] = {}

    def scored(
        self, states: tuple[SlotState, ...], epoch: int, affordable_flops: float, loss: Loss | None
    ) -> tuple[SlotState, ...]:
        """Return the slots with their scores, if there are several in which a seed may germinate.

        A score is measured every `REFRESH_EPOCHS` epochs; a slot with a live seed needs none.
        """
        if not self.ranks:
            return states
        idle = [s for s in states if not s.live and s.least_flops <= affordable_flops]
        if loss is not None and len(idle) > 1:
            stale = [s for s in idle if self._is_stale(s.spec.name, epoch)]
            for start in range(0, len(stale), SLOTS_AT_ONCE):
                self._measure(stale[start : start + SLOTS_AT_ONCE], epoch, affordable_flops, loss)
        return tuple(replace(s, score=self._scores.get(s.spec.name, (0, None))[1]) for s in states)

    def replacing(
        self, states: tuple[SlotState, ...], epoch: int, loss: Loss | None
    ) -> tuple[SlotState, ...]:
        """Return the slots with what could replace the kernels that this epoch's looks cull."""
        if not self.ranks:
            return states
        live = [seed for state in states for seed in state.live if seed.look is not None]
        verdicts = [(seed, judge_seed(seed, self.rules)) for seed in live]
        judged = [(seed, each.kind) for seed, each in verdicts if each is not None]
        kept = [self._activation(s) for s, kind in judged if kind is DecisionKind.FOSSILIZE]
        culled = [seed for seed, kind in judged if kind is DecisionKind.CULL]
        return tuple(
            replace(state, prospects=self._in_place_of(state, leaving, kept, epoch, loss))
            if (leaving := [seed for seed in culled if seed.slot == state.spec.name])
            else state
            for state in states
        )

    def _activation(self, seed: SeedState) -> Activation:
        return self.host.seed(seed.slot, seed.seed).activation

    def _in_place_of(
        self,
        state: SlotState,
        leaving: Sequence[SeedState],
        kept: Sequence[Activation],
        epoch: int,
        loss: Loss | None,
    ) -> tuple[Prospect, ...]:
        """Return the prospects of a slot, the most promising first.

        `kept` are live kernels of any slot that are fossilized, which the run then pays for.
        """
        slot, place_of = state.spec.name, leaving[0].seed
        without = [self._activation(seed) for seed in leaving]
        affordable_flops = self.costs.affordable_flops(epoch, 1, without, kept)
        held = {seed.bound for seed in state.seeds if seed.stage in LIVE | BLENDED}
        requests: dict[str, Request] = {}
        kernels: dict[Key, Kernel] = {}
        for place, name in enumerate(state.spec.catalogue, start=len(state.seeds)):
            if name in held:
                continue
            try:
                request = self.host.request(slot, place_of, name, self.pipeline.rng_seed)
                if request.cost.flops <= affordable_flops:
                    # The seeds' own places are taken by their kernels.
                    kernels[slot, place] = self.pipeline.take(request)
            except KernelError:
                # It is reported when it is asked for.
                continue
            requests[name] = request
        scores = rank(self.host, kernels, loss).scores
        first_order = {kernels[key].blueprint: score for key, score in scores.items()}
        fitting = {kernel.blueprint for kernel in kernels.values()}
        gains = expected_gains(self.ledger, state, list(requests), first_order)
        settled_flops = self.host.settled_flops
        prospects = [
            Prospect(
                blueprint=name,
                expected_gain=gains[name],
                first_order=first_order.get(name),
                added_flops=request.cost.flops / settled_flops if settled_flops > 0 else 0.0,
                fits=name in fitting,
                risk=request.recipe.risk,
            )
            for name, request in requests.items()
        ]
        return tuple(sorted(prospects, key=lambda each: -(each.expected_gain or 0.0)))

    def _is_stale(self, slot: str, epoch: int) -> bool:
        return slot not in self._scores or epoch - self._scores[slot][0] >= REFRESH_EPOCHS

    def _measure(
        self, states: Sequence[SlotState], epoch: int, affordable_flops: float, loss: Loss
    ) -> None:
        pipeline = self.pipeline
        kernels = untried_kernels(
            self.host, states, affordable_flops, pipeline.rng_seed, pipeline.take
        )
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
