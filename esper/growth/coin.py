"""Which kernels on trial a training step leaves out.

The draw is a function of the run's seed, the activation and the step: it needs no generator, and a
resumed run draws the same.
"""

import hashlib
from dataclasses import dataclass

_RANGE = 2**64


@dataclass(frozen=True)
class Coin:
    """Draws for each kernel and training step by itself.

    rng_seed: seed of the run.
    probability: of leaving a kernel out of a step, in [0, 1).
    """

    rng_seed: int = 0
    probability: float = 0.0

    def mutes(self, slot: str, seed: int, activation: int, step: int) -> bool:
        """Return whether training step `step` leaves out the kernel of an activation."""
        if not self.probability:
            return False
        name = f"{self.rng_seed}/coin/{slot}/{seed}/{activation}/{step}"
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") < self.probability * _RANGE
