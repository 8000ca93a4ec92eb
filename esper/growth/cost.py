"""What kernels take, for whoever keeps a budget: exact once built, at the least before that."""

from collections.abc import Mapping

from esper.blueprint import catalogue
from esper.contracts.plan import KernelCost
from esper.contracts.slot import SlotSpec
from esper.contracts.stage import LIVE
from esper.growth.host import Host
from esper.growth.kernel import Kernel
from esper.growth.outcome import kernel_memory_mb


def kernel_cost(parameters: int, trainable: int) -> KernelCost:
    """Return what a kernel of so many parameters takes."""
    return KernelCost(parameters=parameters, memory_mb=kernel_memory_mb(parameters, trainable))


def kernel_costs(
    host: Host, slot: str, ready: Mapping[tuple[int, str], Kernel]
) -> dict[tuple[int, str], KernelCost]:
    """Return the exact cost of every live kernel of a slot and of those that are ready for it.

    The keys are seed and blueprint, as are those of `ready`.
    """
    live = [(seed.index, seed.alive) for seed in host.slots[slot].seeds if seed.stage in LIVE]
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
    return [catalogue.BUILT_IN[name].parameters(*site) for name in spec.catalogue]


def host_memory_mb(host: Host) -> float:
    """Return the memory of a network's weights, gradients and moments in MiB.

    It changes by exactly what a kernel takes when that comes or goes.
    """
    trained = sum(p.numel() for p in host.model.parameters() if p.requires_grad)
    return kernel_memory_mb(host.num_parameters, trained)
