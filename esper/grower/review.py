"""Review decisions and plans with the current size and state of the network."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from esper.blueprint.cost import Cost, kernel_memory_mb
from esper.contracts.decision import Decision, Refusal
from esper.contracts.observation import Observation
from esper.contracts.plan import Action, KernelCost, Plan
from esper.contracts.stage import LIVE
from esper.grower.costs import Costs
from esper.growth.host import Host
from esper.growth.slot import Activation
from esper.kernels.kernel import Kernel
from esper.safety.context import PlanReview, Usage, excess
from esper.safety.options import Safety
from esper.safety.review import review, review_plan


class Reviewer:
    """Reviews the changes of a network, and counts the seeds changed in an epoch."""

    def __init__(self, safety: Safety, host: Host, costs: Costs) -> None:
        self.safety, self.host, self.costs = safety, host, costs
        self._epoch, self._changed = 0, 0

    def review(
        self, decisions: Sequence[Decision], observation: Observation
    ) -> tuple[list[Decision], list[Refusal]]:
        """Return the decisions that may be planned, and a refusal of each other one."""
        return review(decisions, observation, self.safety)

    def affordable_flops(self, plan: Plan, epoch: int) -> tuple[float, ...]:
        """Return the most forward FLOPs of one, two, ... kernels of a plan that germinates more."""
        most = sum(change.action is Action.GERMINATE for change in plan.changes)
        numbers = range(1, max(1, most) + 1)
        return tuple(self.costs.affordable_flops(epoch, number) for number in numbers)

    def excess(self, cost: Cost, epoch: int) -> str | None:
        """Return why a kernel exceeds a budget, None if it does not."""
        return excess(self.safety, self._usage(epoch), kernel_cost(cost))

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
                usage=self._usage(epoch, len(plan.germinations)),
                kernels=costs,
                limits=self.safety,
            )
        )

    def count(self, plan: Plan, epoch: int) -> None:
        """Count the seeds changed by an applied plan."""
        self._changed = plan.num_seeds + (self._changed if epoch == self._epoch else 0)
        self._epoch = epoch

    def _usage(self, epoch: int, num_kernels: int = 1) -> Usage:
        return Usage(
            parameters=self.host.num_parameters,
            memory_mb=host_memory_mb(self.host),
            changed_seeds=self._changed if epoch == self._epoch else 0,
            affordable_flops=self.costs.affordable_flops(epoch, max(1, num_kernels)),
        )


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
    trained = sum(p.numel() for p in host.model.parameters() if p.requires_grad)
    return kernel_memory_mb(host.num_parameters, trained)
