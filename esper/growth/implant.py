"""Give a host a kernel from the start: for saved networks, and for controls without growth."""

from esper.growth import attach
from esper.growth.host import Host
from esper.growth.kernel import Kernel
from esper.growth.pipeline.pipeline import build_kernel


def implant(
    host: Host, slot: str, seed: int, blueprint: str, rng_seed: int, alpha: float = 1.0
) -> Kernel:
    """Build a kernel, put it into a slot with a blend factor of `alpha`, and return it.

    The seed's record stays dormant and the optimizer does not know the kernel.

    Raises:
        ValueError: if the host has no such slot or seed.
        KernelError: if the blueprint cannot be built there.
    """
    if slot not in host.slots or seed >= len(host.slots[slot].seeds):
        raise ValueError(f"there is no seed {seed} of slot '{slot}'")
    kernel = build_kernel(host, slot, seed, blueprint, rng_seed)
    host.put_kernel(slot, seed, kernel.module)
    bank = attach.bank_of(host.slots[slot].module)
    assert bank is not None, "a kernel was just put in"
    bank.isolated.discard(str(seed))
    bank.set_alpha(seed, alpha)
    return kernel
