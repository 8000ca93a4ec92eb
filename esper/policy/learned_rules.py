"""The options that all learned policies share."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from esper.contracts.checks import require
from esper.policy.gain_policy import GainRules

if TYPE_CHECKING:
    from esper.policy.learned import LearnedPolicy

UNCERTAINTIES = ("ensemble", "dropout")
SHIPPED = "shipped"
"""Name of the network that comes with Esper."""


@dataclass(frozen=True, kw_only=True)
class LearnedRules(GainRules):
    """What all learned policies share; the fields are keys of `policy`.

    kind: the name of the policy.
    hidden: numbers of a new network's hidden state.
    pretrained: files of the network, without their endings; `shipped` for the one that comes with
        Esper; None for an untrained one, with which `gnn` and `hierarchical` do what the gain model
        says.
    uncertainty: `ensemble`, the disagreement of the gain model's members, or `dropout`, that of the
        network with parts left out.
    """

    kind: ClassVar[str]
    hidden: ClassVar[int] = 64

    pretrained: str | None = None
    uncertainty: str = UNCERTAINTIES[0]

    def __post_init__(self) -> None:
        allowed = f"one of {', '.join(UNCERTAINTIES)}"
        valid = self.uncertainty in UNCERTAINTIES
        require(valid, "policy.uncertainty", allowed, self.uncertainty)
        super().__post_init__()

    @property
    def reads_health(self) -> bool:
        """Whether a new network is shown the health of the blocks."""
        return True

    def build(self, rng_seed: int) -> "LearnedPolicy":
        """Return a new policy; it makes no random choices.

        Args:
            rng_seed: draws the numbers of an untrained network.

        Raises:
            ConfigError: if files of the gain model or of the network cannot be read.
        """
        from esper.policy.learned import build

        return build(self, rng_seed)
