"""Ask safety about decisions and plans, with all that is known of the network at that moment."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from esper.blueprint.cost import kernel_memory_mb
from esper.contracts.decision import Decision, Refusal
from esper.contracts.observation import Observation
from esper.contracts.plan import KernelCost, Plan
from esper.contracts.stage import LIVE
from esper.growth.host import Host
from esper.kernels.kernel import Kernel
from esper.safety.context import PlanReview, Usage, excess
from esper.safety.options import Safety
from esper.safety.review import review, review_plan


class Reviewer:
    """Knows what a network takes, and how many of its seeds plans have changed in an epoch."""

    def __init__(self, safety: Safety, host: Host) -> None:
        self.safety, self.host = safety, host
        self._epoch, self._changed = 0, 0

    def review(
        self, decisions: Sequence[Decision], observation: Observation
    ) -> tuple[list[Decision], list[Refusal]]:
        """Return the decisions that may be planned, and the others with the rule they broke."""
        return review(decisions, observation, self.safety)

    def excess(self, kernel: Kernel) -> str | None:
        """Return why a kernel is more than the network may have besides, None if it fits."""
        cost = kernel_cost(kernel.parameters, kernel.trainable)
        return excess(self.safety, self._usage(self._epoch), cost)

    def review_plan(
        self,
        plan: Plan,
        decision: Decision,
        observation: Observation,
        ready: Mapping[tuple[int, str], Kernel],
    ) -> Refusal | None:
        """Return the rule that a plan breaks, None if it may be carried out.

        Args:
            plan: every germination names its seed and its blueprint.
            decision: where it comes from; it has passed `review`.
            observation: what was decided on; slots are looked at anew, for plans of the same epoch
                may have changed them.
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
                usage=self._usage(epoch),
                kernels=costs,
                limits=self.safety,
            )
        )

    def note(self, plan: Plan, epoch: int) -> None:
        """Count what a plan has changed; call it once the plan was carried out."""
        self._changed = self._changed_in(epoch) + plan.num_seeds
        self._epoch = epoch

    def _changed_in(self, epoch: int) -> int:
        return self._changed if epoch == self._epoch else 0

    def _usage(self, epoch: int) -> Usage:
        return Usage(
            parameters=self.host.num_parameters,
            memory_mb=host_memory_mb(self.host),
            changed_seeds=self._changed_in(epoch),
        )


def kernel_cost(parameters: int, trainable: int) -> KernelCost:
    """Return what a kernel of so many parameters takes."""
    return KernelCost(parameters=parameters, memory_mb=kernel_memory_mb(parameters, trainable))


def kernel_costs(
    host: Host, slot: str, ready: Mapping[tuple[int, str], Kernel]
) -> dict[tuple[int, str], KernelCost]:
    """Return the exact cost of every live kernel of a slot and of those that are ready for it.

    The keys are seed and blueprint, as are those of `ready`.
    """
    live = [(seed.index, seed.activation) for seed in host.slots[slot].seeds if seed.stage in LIVE]
    costs = {(index, life.blueprint): (life.parameters, life.trainable) for index, life in live}
    costs |= {key: (kernel.parameters, kernel.trainable) for key, kernel in ready.items()}
    return {key: kernel_cost(*counts) for key, counts in costs.items()}


def host_memory_mb(host: Host) -> float:
    """Return the memory of a network's weights, gradients and moments in MiB.

    It changes by exactly what a kernel takes when that comes or goes.
    """
    trained = sum(p.numel() for p in host.model.parameters() if p.requires_grad)
    return kernel_memory_mb(host.num_parameters, trained)
