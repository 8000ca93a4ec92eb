"""Ask safety about decisions and plans, with all that is known of the network at that moment."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from esper.contracts.decision import Decision, Refusal
from esper.contracts.observation import Observation
from esper.contracts.plan import Plan
from esper.growth.cost import host_memory_mb, kernel_cost, kernel_costs, least_costs
from esper.growth.host import Host
from esper.growth.kernel import Kernel
from esper.policy.safety import Safety, Usage
from esper.policy.safety_budget import excess


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
