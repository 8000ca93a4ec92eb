"""Build the kernels that a plan may ask for, rank them at birth, and let the strategy choose."""

from dataclasses import dataclass, replace

from esper.contracts.decision import Decision
from esper.contracts.event import KernelBuilt
from esper.contracts.observation import Observation
from esper.contracts.plan import Plan, Selection
from esper.growth.apply import KernelError, build_kernel
from esper.growth.first_order import Loss, first_order_scores
from esper.growth.host import Host
from esper.growth.kernel import Kernel
from esper.growth.outcome import kernel_memory_mb
from esper.strategy.selector import Selector
from esper.strategy.viability import SelectionInputs


@dataclass(frozen=True, slots=True)
class Choice:
    """A plan whose germinations name their seeds.

    ready: kernels that were built on the way, by (seed, blueprint).
    refused: blueprints that could not be built here, and were not offered.
    """

    plan: Plan
    selections: tuple[Selection, ...]
    ready: dict[tuple[int, str], Kernel]
    refused: list[KernelBuilt]


def choose(
    selector: Selector,
    host: Host,
    wish: tuple[Plan, Decision],
    observation: Observation,
    rng_seed: int,
    loss: Loss | None,
) -> Choice:
    """Return what the strategy chooses for a plan, and what had to be built for that.

    Args:
        selector: strategy, viability and ledger.
        host: the network; it is left as it was.
        wish: the plan, and the decision that it came from.
        observation: the epoch that the decision was made on.
        rng_seed: seed of the kernels' first weights.
        loss: ranks kernels at birth; without it they are not ranked.
    """
    plan, decision = wish
    inputs = SelectionInputs(
        state=observation.slot(plan.slot),
        epoch=observation.epoch,
        barred=decision.barred,
        urgency=decision.urgency,
        memory_used_mb=host_memory_mb(host),
    )
    built: dict[int, Kernel] = {}
    refused: list[KernelBuilt] = []
    for seed in selector.candidates(plan, inputs):
        blueprint = inputs.state.seeds[seed].bound
        try:
            built[seed] = build_kernel(host, plan.slot, seed, blueprint, rng_seed)
        except KernelError as error:
            refused.append(error.attempt)
            inputs = replace(inputs, barred=(*inputs.barred, blueprint))
    if built:
        memory = {s: kernel_memory_mb(k.parameters, k.trainable) for s, k in built.items()}
        scores = first_order_scores(host, plan.slot, built, loss) if loss else {}
        inputs = replace(inputs, memory_mb=memory, first_order=scores)
    chosen, selections = selector.choose(plan, inputs)
    ready = {(seed, kernel.blueprint): kernel for seed, kernel in built.items()}
    return Choice(chosen, selections, ready, refused)


def host_memory_mb(host: Host) -> float:
    """Return the memory of a network's weights, gradients and moments in MiB."""
    return kernel_memory_mb(host.num_parameters, host.num_parameters)
