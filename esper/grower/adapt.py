"""Apply a chosen plan to the network, and open a trial for the seeds that germinate."""

from dataclasses import dataclass

from esper.attribution.trials import Trials
from esper.contracts.decision import Decision, Refusal
from esper.contracts.errors import LifecycleError
from esper.contracts.event import EventBody, Recovery
from esper.contracts.metrics import EpochMetrics
from esper.contracts.plan import Action
from esper.grower.candidates import Chosen
from esper.growth.apply import Applied
from esper.growth.requests import held_kernels, next_requests
from esper.kernels.kernel import KernelError
from esper.kernels.pipeline import KernelPipeline


@dataclass(frozen=True, slots=True)
class Adapted:
    """Result of a plan.

    events: to emit, in order.
    applied: the changes; None if the plan was refused and the network did not change.
    """

    events: tuple[EventBody, ...]
    applied: Applied | None


class Adapter:
    """Applies plans to a network, and prepares kernels for it."""

    def __init__(self, trials: Trials, pipeline: KernelPipeline, cooldown_epochs: int) -> None:
        self.trials, self.pipeline = trials, pipeline
        self.cooldown_epochs = cooldown_epochs

    def adapt(self, chosen: Chosen, decision: Decision, metrics: EpochMetrics) -> Adapted:
        """Apply a plan that passed its review; its slot then rests, except after a fossilization.

        Args:
            chosen: the plan, with a kernel for every germination.
            decision: the decision behind the plan.
            metrics: numbers of the epoch that just ended.
        """
        plan, host = chosen.plan, self.trials.host
        try:
            kernels = {}
            for key, kernel in chosen.kernels.items():
                request = host.request(plan.slot, *key, self.pipeline.rng_seed)
                kernels[key] = self.pipeline.compiled(request, kernel)
            applied = self.trials.apply(plan, kernels, metrics, decision.reason)
        except (KernelError, LifecycleError) as error:
            attempts = (error.attempt,) if isinstance(error, KernelError) else ()
            refusal = Refusal(rule="applicable", reason=str(error), decision=decision)
            return Adapted((*attempts, refusal), None)
        if any(change.action is not Action.FOSSILIZE for change in plan.changes):
            host.slots[plan.slot].rests_until = metrics.epoch + self.cooldown_epochs
        return Adapted((*applied.built, *applied.moves), applied)

    def prepare(self, *, may_grow: bool) -> list[Recovery]:
        """Compile kernels, and build those for the next epoch's end; return the failures.

        Args:
            may_grow: whether seeds may germinate at the end of the next epoch.
        """
        for host in (self.trials.host, *self.trials.twins):
            self.pipeline.compile(held_kernels(host, self.pipeline.rng_seed))
        failures = self.pipeline.drain()
        requests = next_requests(self.trials.host, self.pipeline.rng_seed) if may_grow else ()
        self.pipeline.ahead(requests)
        return failures

    def close(self) -> list[Recovery]:
        """Drop the prepared kernels; return failures of the pipeline."""
        self.pipeline.close()
        return self.pipeline.drain()
