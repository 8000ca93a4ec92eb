"""Carry out a decision: plan -> selection -> change of the network, each told as it is made."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from esper.attribution.first_order import Loss
from esper.attribution.trials import Trials
from esper.contracts.decision import Decision, Refusal
from esper.contracts.errors import LifecycleError
from esper.contracts.event import EventKind
from esper.contracts.observation import Observation
from esper.contracts.plan import Action, Plan
from esper.grower.candidates import Chosen, UnfitError, choose
from esper.grower.options import GrowerOptions
from esper.grower.review import Reviewer
from esper.growth.apply import Setting
from esper.growth.host import Moment
from esper.growth.requests import held_kernels, next_requests
from esper.kernels.kernel import Kernel, KernelError
from esper.kernels.pipeline import KernelPipeline
from esper.strategy.selector import Selector

Tell = Callable[[EventKind, Any], None]
"""Publishes one event by its kind and body."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """When decisions are carried out.

    loss: ranks kernels at birth; without it they are not ranked.
    with_twin: whether there is a way to train twins.
    """

    observation: Observation
    moment: Moment
    loss: Loss | None
    with_twin: bool


class Adapter:
    """Changes a network as decisions ask."""

    def __init__(
        self, choices: GrowerOptions, pending: Trials, selector: Selector, rng_seed: int, tell: Tell
    ) -> None:
        self.choices, self.pending, self.selector = choices, pending, selector
        self.tell = tell
        self.kernels = KernelPipeline(
            choices.kernels,
            rng_seed,
            parameter_budget=choices.safety.parameter_budget,
            memory_budget_mb=choices.safety.memory_budget_mb,
        )
        self.reviewer = Reviewer(choices.safety, pending.host)

    def act(self, decision: Decision, occasion: Occasion) -> None:
        """Turn a decision into a plan, let the strategy choose its seeds, and apply it."""
        observation = occasion.observation
        plan = self.choices.orchestrator.plan(decision, observation, self.selector.ledger)
        self.tell(EventKind.PLAN, plan)
        choice = self._choose(plan, decision, occasion)
        try:
            ready = self._ready(choice)
            refusal = self.reviewer.review_plan(choice.plan, decision, observation, ready)
            if refusal is None:
                self._apply(replace(choice, ready=ready), decision, occasion)
        except (KernelError, LifecycleError) as error:
            if isinstance(error, KernelError):
                self.tell(EventKind.KERNEL, error.attempt)
            refusal = Refusal(rule="applicable", reason=str(error), decision=decision)
        if refusal is not None:
            self.tell(EventKind.SAFETY, refusal)

    def _choose(self, plan: Plan, decision: Decision, occasion: Occasion) -> Chosen:
        wish, take = (plan, decision), self._take_fitting
        observation, host = occasion.observation, self.pending.host
        choice = choose(self.selector, host, wish, observation, take, occasion.loss)
        for refused in choice.refused:
            self.tell(EventKind.KERNEL, refused)
        for reason in choice.unfit:
            self.tell(EventKind.SAFETY, Refusal(rule="budget", reason=reason, decision=decision))
        for selection in choice.selections:
            self.tell(EventKind.SELECTION, selection)
        return choice

    def _apply(self, choice: Chosen, decision: Decision, occasion: Occasion) -> None:
        setting = Setting(
            kernels=self.kernels,
            event=self.pending.num_events,
            cooldown_epochs=self.choices.orchestrator.adaptation_cooldown_epochs,
            moment=occasion.moment,
            reason=decision.reason,
        )
        twin = occasion.with_twin and self.choices.growth.attribution == "twin"
        applied = self.pending.apply(choice.plan, setting, choice.ready, with_twin=twin)
        self.reviewer.note(choice.plan, occasion.moment.epoch)
        for kernel in applied.built:
            self.tell(EventKind.KERNEL, kernel)
        for move in applied.moves:
            self.tell(EventKind.LIFECYCLE, move)
        for slot, seed in applied.germinated:
            self.selector.ledger.note_activation(slot, seed, occasion.moment.epoch)

    def _take(self, slot: str, seed: int, blueprint: str) -> Kernel:
        """Return the kernel that a seed gets if it germinates now."""
        rng_seed = self.kernels.rng_seed
        return self.kernels.take(self.pending.host.request(slot, seed, blueprint, rng_seed))

    def _take_fitting(self, slot: str, seed: int, blueprint: str) -> Kernel:
        """Return a kernel that a strategy may choose.

        Were one too large for the budget offered, the strategy would ask for it again and again.
        """
        kernel = self._take(slot, seed, blueprint)
        excess = self.reviewer.excess(kernel)
        if excess is not None:
            raise UnfitError(f"blueprint '{blueprint}' in slot '{slot}' does not fit: {excess}")
        return kernel

    def _ready(self, choice: Chosen) -> dict[tuple[int, str], Kernel]:
        """Return every kernel that a plan germinates: safety weighs them before one goes in."""
        plan, ready = choice.plan, dict(choice.ready)
        for change in plan.changes:
            if change.action is not Action.GERMINATE or change.seed is None:
                continue
            if change.blueprint is not None and (change.seed, change.blueprint) not in ready:
                kernel = self._take(plan.slot, change.seed, change.blueprint)
                ready[change.seed, change.blueprint] = kernel
        return ready

    def prepare(self, *, may_grow: bool) -> None:
        """Make ahead, while the network trains, the kernels that may be asked for next.

        Args:
            may_grow: whether seeds may germinate at the end of the epoch.
        """
        twins = [change.twin for change in self.pending.changes if change.twin is not None]
        rng_seed = self.kernels.rng_seed
        for host in (self.pending.host, *twins):
            self.kernels.compile(held_kernels(host, rng_seed))
        self._tell_recoveries()
        self.kernels.ahead(next_requests(self.pending.host, rng_seed) if may_grow else ())

    def close(self) -> None:
        """Let go of the kernels that were prepared."""
        self.kernels.close()
        self._tell_recoveries()

    def _tell_recoveries(self) -> None:
        for recovery in self.kernels.drain():
            self.tell(EventKind.RECOVERY, recovery)
