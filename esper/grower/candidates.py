"""Build the kernels that a plan may ask for, rank them at birth, and let the strategy choose."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from esper.attribution.first_order import Loss, first_order_scores
from esper.blueprint.cost import kernel_memory_mb
from esper.contracts.errors import EsperError
from esper.contracts.event import KernelBuilt
from esper.contracts.plan import Plan, Selection
from esper.growth.host import Host
from esper.kernels.kernel import Kernel, KernelError
from esper.strategy.selector import Selector
from esper.strategy.viability import SelectionInputs

Take = Callable[[str, int, str], Kernel]
"""Gives the kernel of a slot, a seed and a blueprint; raises `KernelError` or `UnfitError`."""


class UnfitError(EsperError):
    """A kernel is sane, but more than the network may have besides."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A plan whose germinations name their seeds.

    ready: kernels that were built on the way, by (seed, blueprint).
    refused: blueprints that could not be built here, and were not offered.
    unfit: why others were not offered: the network may not have as much besides.
    """

    plan: Plan
    selections: tuple[Selection, ...]
    ready: dict[tuple[int, str], Kernel]
    refused: list[KernelBuilt]
    unfit: list[str]


def choose(
    selector: Selector,
    host: Host,
    plan: Plan,
    inputs: SelectionInputs,
    take: Take,
    loss: Loss | None,
) -> Chosen:
    """Return what the strategy chooses for a plan, and what had to be built for that.

    Args:
        selector: strategy, viability and ledger.
        host: the network; it is left as it was.
        plan: what the orchestrator made of the decision.
        inputs: the slot, the decision's limits and the memory budget; kernels are measured here.
        take: gives the kernels that may be chosen.
        loss: ranks kernels at birth; without it they are not ranked.
    """
    built: dict[int, Kernel] = {}
    refused: list[KernelBuilt] = []
    unfit: list[str] = []
    for seed in selector.candidates(plan, inputs):
        blueprint = inputs.state.seeds[seed].bound
        if blueprint in inputs.barred:
            continue
        try:
            built[seed] = take(plan.slot, seed, blueprint)
        except (KernelError, UnfitError) as error:
            if isinstance(error, KernelError):
                refused.append(error.attempt)
            else:
                unfit.append(str(error))
            inputs = replace(inputs, barred=(*inputs.barred, blueprint))
    scores, failed = _ranked(host, plan.slot, built, loss)
    refused += failed
    inputs = replace(
        inputs,
        barred=(*inputs.barred, *(attempt.blueprint for attempt in failed)),
        memory_mb={s: kernel_memory_mb(k.parameters, k.trainable) for s, k in built.items()},
        first_order=scores,
    )
    chosen, selections = selector.choose(plan, inputs)
    ready = {(seed, kernel.blueprint): kernel for seed, kernel in built.items()}
    return Chosen(chosen, selections, ready, refused, unfit)


def _ranked(
    host: Host, slot: str, built: dict[int, Kernel], loss: Loss | None
) -> tuple[dict[int, float], list[KernelBuilt]]:
    """Return each kernel's score; those that fail are taken out of `built`, and told of."""
    failed: list[KernelBuilt] = []
    while loss is not None and built:
        try:
            return first_order_scores(host, slot, built, loss), failed
        except KernelError as error:
            failed.append(error.attempt)
            name = error.attempt.blueprint
            for seed in [seed for seed, kernel in built.items() if kernel.blueprint == name]:
                del built[seed]
    return {}, failed
