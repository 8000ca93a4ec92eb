"""Review decisions and plans with the current size and state of the network."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from esper.attribution.trials import Trials
from esper.blueprint.cost import Cost, kernel_memory_mb
from esper.contracts.decision import Adaptation, Decision, DecisionKind, Refusal
from esper.contracts.observation import Observation
from esper.contracts.plan import Action, KernelCost, Plan
from esper.contracts.stage import LIVE
from esper.grower.costs import Costs
from esper.growth.host import Host
from esper.growth.slot import Activation
from esper.kernels.kernel import Kernel
from esper.kernels.request import Request
from esper.safety.context import PlanReview, Usage, excess
from esper.safety.options import Safety
from esper.safety.review import review, review_plan


class Reviewer:
    """Reviews the changes of a network, and counts the seeds changed in an epoch."""

    def __init__(self, safety: Safety, trials: Trials, costs: Costs) -> None:
        self.safety, self.trials, self.costs = safety, trials, costs
        self.host = trials.host
        self._epoch, self._changed = 0, 0

    def review(
        self, decisions: Sequence[Decision], observation: Observation
    ) -> tuple[list[Decision], list[Refusal]]:
        """Return the decisions that may be planned, and a refusal of each other one."""
        return review(decisions, observation, self.safety)

    def sift(
        self, decisions: Sequence[Decision], observation: Observation
    ) -> tuple[list[Decision], list[Decision | Refusal]]:
        """Return the decisions that may be planned, culls in place of others too; then the rest.

        The rest are refusals and these culls, in order.
        """
        accepted, refused = self.review(decisions, observation)
        culls = [cull for each in refused for cull in culls_instead(each.decision)]
        accepted, unfit = self.review([*accepted, *culls], observation)
        return accepted, [*refused, *culls, *unfit]

    def affordable_flops(self, plan: Plan, epoch: int) -> tuple[float, ...]:
        """Return the most forward FLOPs of one, two, ... kernels of a plan that germinates more."""
        most = sum(change.action is Action.GERMINATE for change in plan.changes)
        numbers = range(1, max(1, most) + 1)
        return tuple(self.costs.affordable_flops(epoch, number) for number in numbers)

    def broken_limit(self, request: Request, usage: Usage) -> tuple[str, str] | None:
        """Return the limit that a kernel alone would break, and how; None if it breaks none."""
        risk, most = request.recipe.risk, self.safety.max_risk
        if risk > most:
            return "max_risk", f"its risk {risk:.4g} > {most:g}"
        too_much = excess(self.safety, usage, kernel_cost(request.cost))
        return None if too_much is None else ("budget", too_much)

    def review_plan(
        self,
        plan: Plan,
        decision: Decision,
        observation: Observation,
        ready: Mapping[tuple[int, str], Kernel],
    ) -> Refusal | None:
        """Return the refusal of a plan, None if it may be applied.

        Args:
            plan: every germination names its seed and its blueprint.
            decision: the decision behind the plan, which has passed `review`.
            observation: of this epoch; its slots are read again, because earlier plans may have
                changed them.
            ready: the kernels that the plan germinates, by seed and blueprint.
        """
        epoch = observation.epoch
        now = replace(observation, slots=self.host.states(epoch))
        has_slot = plan.slot in self.host.slots
        costs = kernel_costs(self.host, plan.slot, ready) if has_slot else {}
        return review_plan(
            PlanReview(
                plan=plan,
                decision=decision,
                observation=now,
                usage=self._usage_after(plan, epoch) if has_slot else self.usage(epoch),
                kernels=costs,
                limits=self.safety,
            )
        )

    def count(self, plan: Plan, epoch: int) -> None:
        """Count the seeds changed by an applied plan."""
        self._changed = plan.num_seeds + (self._changed if epoch == self._epoch else 0)
        self._epoch = epoch

    def usage(self, epoch: int) -> Usage:
        """Return the size of the network after `epoch`, and the changes so far."""
        return Usage(
            parameters=self.host.num_parameters,
            memory_mb=host_memory_mb(self.host),
            changed_seeds=self._changed if epoch == self._epoch else 0,
            affordable_flops=self.costs.affordable_flops(epoch),
            events_left=self.safety.events_left(self.trials.num_events),
        )

    def _usage_after(self, plan: Plan, epoch: int) -> Usage:
        """Return the usage without the kernels that a plan culls, and what its others may do."""
        costs, num_kernels = self.costs, max(1, len(plan.germinations))
        culled = live_kernels(self.host, plan, Action.CULL)
        again = live_kernels(self.host, plan, Action.RETARGET)
        return replace(
            self.usage(epoch),
            affordable_flops=costs.affordable_flops(epoch, num_kernels, culled),
            blends_in_time=costs.may_blend_again(epoch),
            blends_in_room=not again or costs.can_blend_again(again, culled, epoch),
        )


def culls_instead(decision: Decision) -> list[Decision]:
    """Return the cull that remains of a replacement that cannot be made; none of other decisions.

    A seed that a look culls leaves the network whether or not another kernel takes its place.
    """
    if decision.adaptation is not Adaptation.REPLACE or decision.seed is None:
        return []
    reason = f"cannot be replaced: {decision.reason}"
    cull = replace(decision, kind=DecisionKind.CULL, adaptation=None, risk=0.0, reason=reason)
    return [cull]


def live_kernels(host: Host, plan: Plan, action: Action) -> list[Activation]:
    """Return the live kernels that a plan changes by an action."""
    named = {change.seed for change in plan.changes if change.action is action}
    seeds = [seed for seed in host.slots[plan.slot].seeds if seed.index in named]
    return [seed.activation for seed in seeds if seed.stage in LIVE]


def kernel_cost(kernel: Cost | Kernel | Activation) -> KernelCost:
    """Return the size of a kernel, measured, built or live."""
    memory_mb = kernel_memory_mb(kernel.parameters, kernel.trainable)
    return KernelCost(parameters=kernel.parameters, memory_mb=memory_mb, flops=kernel.flops)


def kernel_costs(
    host: Host, slot: str, ready: Mapping[tuple[int, str], Kernel]
) -> dict[tuple[int, str], KernelCost]:
    """Return the cost of each live or ready kernel of a slot, by seed and blueprint."""
    live = [seed for seed in host.slots[slot].seeds if seed.stage in LIVE]
    costs = {(s.index, s.activation.blueprint): kernel_cost(s.activation) for s in live}
    return costs | {key: kernel_cost(kernel) for key, kernel in ready.items()}


def host_memory_mb(host: Host) -> float:
    """Return the memory of a network's weights, gradients and moments in MiB.

    Adding or removing a kernel changes it by exactly the kernel's `memory_mb`.
    """
    return kernel_memory_mb(host.num_parameters, host.num_trainable)
