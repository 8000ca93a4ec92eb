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
from esper.kernels.request import Request


@dataclass(frozen=True, slots=True)
class Adapted:
    """What came of a plan.

    events: to emit, in order.
    applied: what changed, None if the plan was refused; the network is then as it was.
    """

    events: tuple[EventBody, ...]
    applied: Applied | None


class Adapter:
    """Changes a network as plans ask."""

    def __init__(self, trials: Trials, pipeline: KernelPipeline, cooldown_epochs: int) -> None:
        self.trials, self.pipeline = trials, pipeline
        self.cooldown_epochs = cooldown_epochs

    def adapt(
        self, chosen: Chosen, decision: Decision, metrics: EpochMetrics, *, with_twin: bool
    ) -> Adapted:
        """Apply a plan that passed its review; the slot then rests, except after a verdict to keep.

        Args:
            chosen: the plan, with a kernel for every germination.
            decision: where the plan comes from.
            metrics: numbers of the epoch that just ended.
            with_twin: whether new seeds are compared with a twin.
        """
        plan, host = chosen.plan, self.trials.host
        try:
            kernels = {
                key: self.pipeline.compiled(self._request(plan.slot, *key), kernel)
                for key, kernel in chosen.kernels.items()
            }
            applied = self.trials.apply(
                plan, kernels, metrics, decision.reason, with_twin=with_twin
            )
        except (KernelError, LifecycleError) as error:
            attempts = (error.attempt,) if isinstance(error, KernelError) else ()
            refusal = Refusal(rule="applicable", reason=str(error), decision=decision)
            return Adapted((*attempts, refusal), None)
        if any(change.action is not Action.FOSSILIZE for change in plan.changes):
            host.slots[plan.slot].rests_until = metrics.epoch + self.cooldown_epochs
        return Adapted((*applied.built, *applied.moves), applied)

    def prepare(self, *, may_grow: bool) -> list[Recovery]:
        """Prepare kernels for the next epoch's end; return failures of the pipeline.

        Args:
            may_grow: whether seeds may germinate at the end of the next epoch.
        """
        twins = [trial.twin for trial in self.trials.open if trial.twin is not None]
        for host in (self.trials.host, *twins):
            self.pipeline.compile(held_kernels(host, self.pipeline.rng_seed))
        failures = self.pipeline.drain()
        wanted = next_requests(self.trials.host, self.pipeline.rng_seed) if may_grow else ()
        self.pipeline.ahead(wanted)
        return failures

    def close(self) -> list[Recovery]:
        """Drop the prepared kernels; return failures of the pipeline."""
        self.pipeline.close()
        return self.pipeline.drain()

    def _request(self, slot: str, seed: int, blueprint: str) -> Request:
        return self.trials.host.request(slot, seed, blueprint, self.pipeline.rng_seed)
