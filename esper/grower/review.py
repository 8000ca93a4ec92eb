"""Ask safety about decisions and plans, with all that is known of the network at that moment."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from esper.blueprint import catalogue
from esper.blueprint.cost import kernel_memory_mb
from esper.contracts.decision import Decision, Refusal
from esper.contracts.observation import Observation
from esper.contracts.plan import KernelCost, Plan
from esper.contracts.slot import SlotSpec
from esper.contracts.stage import LIVE
from esper.growth.host import Host
from esper.kernels.kernel import Kernel
from esper.safety.context import excess
from esper.safety.review import Safety, Usage


class Reviewer:
    """Knows what a network takes, and how many of its seeds plans have changed in an epoch."""

    def __init__(self, safety: Safety, host: Host) -> None:
        self.safety, self.host = safety, host
        self._least = least_costs(host)
        self._epoch, self._changed = 0, 0

    def review(
        self, decisions: Sequence[Decision], observation: Observation
    ) -> tuple[list[Decision], list[Refusal]]:
        """Return the decisions that may be planned, and the others with the rule they broke."""
        return self.safety.review(decisions, observation, self._usage(observation.epoch))

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
        return self.safety.review_plan(plan, decision, now, self._usage(epoch), costs)

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
            least=self._least,
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


def least_costs(host: Host) -> dict[str, KernelCost]:
    """Return what the smallest kernel on offer in each slot takes at the least.

    A slot that offers blueprints of users is left out: what they take is known once they are built.
    """
    specs = {name: slot.spec for name, slot in host.slots.items()}
    return {
        name: kernel_cost(min(_parameters(spec)), trainable=0)
        for name, spec in specs.items()
        if all(offered in catalogue.BUILT_IN for offered in spec.catalogue)
    }


def _parameters(spec: SlotSpec) -> list[int]:
    site = (spec.kind, spec.in_shape, spec.out_shape)
    return [catalogue.BUILT_IN[name].cost(*site).parameters for name in spec.catalogue]


def host_memory_mb(host: Host) -> float:
    """Return the memory of a network's weights, gradients and moments in MiB.

    It changes by exactly what a kernel takes when that comes or goes.
    """
    trained = sum(p.numel() for p in host.model.parameters() if p.requires_grad)
    return kernel_memory_mb(host.num_parameters, trained)
