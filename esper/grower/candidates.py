"""Build and rank the kernels that a plan may germinate, and let the strategy choose."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from esper.attribution.first_order import Loss
from esper.blueprint import catalogue
from esper.blueprint.cost import kernel_memory_mb
from esper.contracts.decision import Decision, Refusal
from esper.contracts.event import EventBody, KernelBuilt
from esper.contracts.observation import Observation
from esper.contracts.plan import Action, Plan
from esper.grower.contexts import contexts_of
from esper.grower.prospects import rank
from esper.grower.review import Reviewer, host_memory_mb
from esper.growth.apply import Applied
from esper.growth.host import Host
from esper.kernels.kernel import Kernel, KernelError
from esper.kernels.pipeline import KernelPipeline
from esper.learning.gain_model import GainModel
from esper.policy.base import Policy, reading_of
from esper.signals.gain_features import offers_of, recorded
from esper.strategy.expectation import expected_gains
from esper.strategy.regression import context_of
from esper.strategy.selector import Selector
from esper.strategy.viability import SelectionInputs


@dataclass(frozen=True, slots=True)
class Chosen:
    """A plan whose germinations name their seeds.

    kernels: by (seed, blueprint), one for every germination; empty if the plan is refused.
    events: kernels that failed or exceed a limit, then the selections.
    ranking_ms: time of the backward pass that ranked the kernels.
    contexts: by blueprint of its germinations, as `LedgerEntry.context`.
    features: by blueprint, as `LedgerEntry.features`; of those that a probe has measured.
    refusal: why the plan cannot be applied, None if it can.
    """

    plan: Plan
    kernels: dict[tuple[int, str], Kernel]
    events: tuple[EventBody, ...]
    ranking_ms: float
    contexts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    features: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    refusal: Refusal | None = None


@dataclass(slots=True)
class _Offer:
    """Kernels on offer by seed, those that failed, and those withheld."""

    kernels: dict[int, Kernel] = field(default_factory=dict)
    failed: list[KernelBuilt] = field(default_factory=list)
    withheld: list[Refusal] = field(default_factory=list)
    barred: tuple[str, ...] = ()


class Candidates:
    """Offers the strategy every kernel that can be built and is within the limits.

    gain_model: tells strategies that read health what a germination promises; None without one.

    Withholds kernels beyond a limit, because the strategy would choose them again and again.
    """

    def __init__(
        self,
        host: Host,
        selector: Selector,
        pipeline: KernelPipeline,
        reviewer: Reviewer,
        gain_model: GainModel | None = None,
    ) -> None:
        self.host, self.selector, self.gain_model = host, selector, gain_model
        self.pipeline, self.reviewer = pipeline, reviewer

    def choose(
        self, plan: Plan, decision: Decision, observation: Observation, loss: Loss | None
    ) -> Chosen:
        """Return the plan with the seeds that the strategy chooses; the host does not change.

        Args:
            plan: the orchestrator's plan.
            decision: the decision behind the plan.
            observation: the epoch of the decision, with the slots as they are now.
            loss: ranks untrained kernels; None leaves them unranked.
        """
        state = observation.slot(plan.slot)
        offers = offers_of(observation, [state])
        context = context_of(observation, float(self.host.optimizer.param_groups[0]["lr"]))
        model = self.gain_model
        inputs = SelectionInputs(
            state=state,
            epoch=observation.epoch,
            barred=decision.barred,
            urgency=decision.urgency,
            memory_used_mb=host_memory_mb(self.host),
            memory_budget_mb=self.reviewer.safety.memory_budget_mb,
            affordable_flops=self.reviewer.affordable_flops(plan, observation.epoch),
            context=context,
            contexts={} if model is None else contexts_of(model, offers, context),
        )
        offer = self._offer(plan, decision, inputs)
        began = time.perf_counter()
        kernels = {(plan.slot, seed): kernel for seed, kernel in offer.kernels.items()}
        ranked = rank(self.host, kernels, loss)
        ranking_ms = (time.perf_counter() - began) * 1e3
        for attempt in ranked.failed:
            del offer.kernels[attempt.seed]
        built = offer.kernels
        inputs = replace(
            inputs,
            barred=(*offer.barred, *(attempt.blueprint for attempt in ranked.failed)),
            memory_mb={s: kernel_memory_mb(k.parameters, k.trainable) for s, k in built.items()},
            flops={s: float(kernel.flops) for s, kernel in built.items()},
            first_order={seed: score for (_, seed), score in ranked.scores.items()},
        )
        chosen, selections = self.selector.choose(plan, inputs)
        chosen = self._expected(chosen.evened(), inputs)
        events: tuple[EventBody, ...] = (
            *offer.failed, *ranked.failed, *offer.withheld, *selections
        )  # fmt: skip
        ready = {(seed, kernel.blueprint): kernel for seed, kernel in built.items()}
        try:
            # A blueprint that the plan itself names was not among the candidates.
            kernels_of_plan = {
                key: ready.get(key) or self._build(plan.slot, *key) for key in chosen.germinations
            }
        except KernelError as error:
            refusal = Refusal(rule="applicable", reason=str(error), decision=decision)
            attempts = (*events, error.attempt)
            return Chosen(chosen, {}, attempts, ranking_ms, refusal=refusal)
        contexts = {name: inputs.context_of(name) for _, name in chosen.germinations}
        features = {each.birth.blueprint: recorded(each.features) for each in offers}
        return Chosen(chosen, kernels_of_plan, events, ranking_ms, contexts, features)

    def note(self, chosen: Chosen, applied: Applied, epoch: int, policy: Policy) -> None:
        """Count the germinations of a plan after `epoch` in the ledger, with their context.

        Their activations keep their features, and what the policy read of them.
        """
        for built in applied.built:
            seed = self.host.seed(built.slot, built.seed)
            seed.activation.features = chosen.features.get(built.blueprint, ())
            seed.activation.reading = reading_of(policy, built.slot, built.blueprint)
            activation = seed.activations
            self.selector.ledger.note_activation(built.slot, built.seed, epoch)
            context = chosen.contexts[built.blueprint]
            self.selector.ledger.note_context(built.slot, built.seed, activation, context)

    def _offer(self, plan: Plan, decision: Decision, inputs: SelectionInputs) -> _Offer:
        """Build the kernels that the strategy may choose from."""
        offer, usage = _Offer(barred=inputs.barred), self.reviewer.usage(inputs.epoch)
        for seed in self.selector.candidates(plan, inputs):
            blueprint = inputs.state.seeds[seed].bound
            if blueprint in offer.barred:
                continue
            try:
                request = self.host.request(plan.slot, seed, blueprint, self.pipeline.rng_seed)
                # Before it is built, because this is quick.
                broken = self.reviewer.broken_limit(request, usage)
                if broken is None:
                    offer.kernels[seed] = self.pipeline.take(request)
                    continue
            except KernelError as error:
                offer.failed.append(error.attempt)
            else:
                rule, excess = broken
                reason = f"blueprint '{blueprint}' in slot '{plan.slot}' does not fit: {excess}"
                offer.withheld.append(Refusal(rule=rule, reason=reason, decision=decision))
            offer.barred = (*offer.barred, blueprint)
        return offer

    def _expected(self, plan: Plan, inputs: SelectionInputs) -> Plan:
        """Return a plan with what is expected of its chosen blueprints, and their risk."""
        names = [blueprint for _, blueprint in plan.germinations]
        scores = {
            inputs.state.seeds[seed].bound: score for seed, score in inputs.first_order.items()
        }
        gains = expected_gains(self.selector.ledger, inputs.state, names, scores)
        gains |= _foreseen(inputs, names)
        changes = (
            replace(change, expected_gain=gains.get(change.blueprint or ""))
            if change.action is Action.GERMINATE
            else change
            for change in plan.changes
        )
        return replace(
            plan,
            changes=tuple(changes),
            expected_improvement=_largest(gains.values()),
            risk=max([plan.risk, *(catalogue.risk_of(name) for name in names)]),
        )

    def _build(self, slot: str, seed: int, blueprint: str) -> Kernel:
        request = self.host.request(slot, seed, blueprint, self.pipeline.rng_seed)
        return self.pipeline.take(request)


def _foreseen(inputs: SelectionInputs, names: Iterable[str]) -> Mapping[str, float | None]:
    """Return what the slot's prospects expect of the blueprints, which they ranked."""
    known = {each.blueprint: each.expected_gain for each in inputs.state.prospects}
    return {name: known[name] for name in names if name in known}


def _largest(gains: Iterable[float | None]) -> float | None:
    return max((gain for gain in gains if gain is not None), default=None)
