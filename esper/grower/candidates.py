"""Build and rank the kernels that a plan may germinate, and let the strategy choose."""

import time
from dataclasses import dataclass, replace

from esper.attribution.first_order import Loss
from esper.blueprint.cost import kernel_memory_mb
from esper.contracts.decision import Decision, Refusal
from esper.contracts.event import EventBody, KernelBuilt
from esper.contracts.observation import Observation
from esper.contracts.plan import Plan
from esper.grower.prospects import rank
from esper.grower.review import Reviewer, host_memory_mb
from esper.growth.host import Host
from esper.kernels.kernel import Kernel, KernelError
from esper.kernels.pipeline import KernelPipeline
from esper.strategy.regression import context_of
from esper.strategy.selector import Selector
from esper.strategy.viability import SelectionInputs


@dataclass(frozen=True, slots=True)
class Chosen:
    """A plan whose germinations name their seeds.

    kernels: by (seed, blueprint), one for every germination; empty if the plan is refused.
    events: kernels that failed or exceed a budget, then the selections.
    probe_ms: time of the backward pass that ranked the kernels.
    context: of its germinations, as `LedgerEntry.context`.
    refusal: why the plan cannot be applied, None if it can.
    """

    plan: Plan
    kernels: dict[tuple[int, str], Kernel]
    events: tuple[EventBody, ...]
    probe_ms: float
    context: tuple[float, ...]
    refusal: Refusal | None = None


class Candidates:
    """Offers the strategy every kernel that can be built and fits the budgets.

    Withholds kernels beyond a budget, because the strategy would choose them again and again.
    """

    def __init__(
        self, host: Host, selector: Selector, pipeline: KernelPipeline, reviewer: Reviewer
    ) -> None:
        self.host, self.selector = host, selector
        self.pipeline, self.reviewer = pipeline, reviewer

    def choose(
        self, plan: Plan, decision: Decision, observation: Observation, loss: Loss | None
    ) -> Chosen:
        """Return the plan with the seeds that the strategy chooses; the host does not change.

        Args:
            plan: the orchestrator's plan.
            decision: the decision behind the plan.
            observation: the epoch of the decision.
            loss: ranks untrained kernels; None leaves them unranked.
        """
        inputs = SelectionInputs(
            state=observation.slot(plan.slot),
            epoch=observation.epoch,
            barred=decision.barred,
            urgency=decision.urgency,
            memory_used_mb=host_memory_mb(self.host),
            memory_budget_mb=self.reviewer.safety.memory_budget_mb,
            affordable_flops=self.reviewer.affordable_flops(plan, observation.epoch),
            features=context_of(observation, float(self.host.optimizer.param_groups[0]["lr"])),
        )
        built: dict[int, Kernel] = {}
        failed: list[KernelBuilt] = []
        too_large: list[Refusal] = []
        for seed in self.selector.candidates(plan, inputs):
            blueprint = inputs.state.seeds[seed].bound
            if blueprint in inputs.barred:
                continue
            try:
                request = self.host.request(plan.slot, seed, blueprint, self.pipeline.rng_seed)
                # Before it is built, because this is quick.
                excess = self.reviewer.excess(request.cost, inputs.epoch)
                if excess is None:
                    built[seed] = self.pipeline.take(request)
                    continue
            except KernelError as error:
                failed.append(error.attempt)
            else:
                reason = f"blueprint '{blueprint}' in slot '{plan.slot}' does not fit: {excess}"
                too_large.append(Refusal(rule="budget", reason=reason, decision=decision))
            inputs = replace(inputs, barred=(*inputs.barred, blueprint))
        began = time.perf_counter()
        ranked = rank(self.host, {(plan.slot, seed): each for seed, each in built.items()}, loss)
        for attempt in ranked.failed:
            del built[attempt.seed]
        probe_ms = (time.perf_counter() - began) * 1e3
        inputs = replace(
            inputs,
            barred=(*inputs.barred, *(attempt.blueprint for attempt in ranked.failed)),
            memory_mb={s: kernel_memory_mb(k.parameters, k.trainable) for s, k in built.items()},
            flops={s: float(kernel.flops) for s, kernel in built.items()},
            first_order={seed: score for (_, seed), score in ranked.scores.items()},
        )
        chosen, selections = self.selector.choose(plan, inputs)
        events: tuple[EventBody, ...] = (*failed, *ranked.failed, *too_large, *selections)
        ready = {(seed, kernel.blueprint): kernel for seed, kernel in built.items()}
        try:
            # A blueprint that the plan itself names was not among the candidates.
            kernels = {
                key: ready.get(key) or self._build(plan.slot, *key) for key in chosen.germinations
            }
        except KernelError as error:
            refusal = Refusal(rule="applicable", reason=str(error), decision=decision)
            attempts = (*events, error.attempt)
            return Chosen(chosen, {}, attempts, probe_ms, inputs.features, refusal)
        return Chosen(chosen, kernels, events, probe_ms, inputs.features)

    def _build(self, slot: str, seed: int, blueprint: str) -> Kernel:
        request = self.host.request(slot, seed, blueprint, self.pipeline.rng_seed)
        return self.pipeline.take(request)
