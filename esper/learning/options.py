"""Options of learning from episodes: keys of `learning`."""

import math
from dataclasses import dataclass

from esper.contracts.checks import require
from esper.learning.gain_fit import GainFit

BASELINES = ("leave_one_out", "value", "never")


@dataclass(frozen=True, kw_only=True)
class NetShape:
    """Sizes of a network.

    hidden: numbers of a hidden state, a multiple of `heads`.
    layers: of message passing, >= 0.
    heads: of attention, >= 1.
    """

    hidden: int
    layers: int = 2
    heads: int = 4

    def __post_init__(self) -> None:
        require(self.heads >= 1, "learning.heads", ">= 1", self.heads)
        valid = self.hidden >= 1 and self.hidden % self.heads == 0
        require(valid, "learning.hidden", f"a multiple of heads={self.heads}", self.hidden)
        require(self.layers >= 0, "learning.layers", ">= 0", self.layers)


@dataclass(frozen=True, kw_only=True)
class NetKeys:
    """The keys of a network's sizes, as in `NetShape`.

    hidden: None for what the policy is made for.
    """

    hidden: int | None = None
    layers: int = 2
    heads: int = 4

    def __post_init__(self) -> None:
        self.shape_of(self.heads)

    def shape_of(self, hidden: int) -> NetShape:
        """Return the sizes; `hidden` takes the place of one that is not given."""
        given = hidden if self.hidden is None else self.hidden
        return NetShape(hidden=given, layers=self.layers, heads=self.heads)


@dataclass(frozen=True, kw_only=True)
class PPO:
    """How a network learns from episodes; the fields are keys of `learning`.

    rate, weight_decay: of AdamW.
    clip: largest change of a ratio that is rewarded, in (0, 1).
    passes: over the experiences of an update, >= 1.
    batch_size: experiences of a step of the optimizer, >= 1.
    value_weight, entropy, risk_weight: weights of the parts of the loss, >= 0.
    gradient_limit: largest L2 norm of a gradient, > 0.
    most_kl: largest mean divergence of an update, > 0; a pass that goes further is taken back.
    safety_penalty, max_risk: weight of a kernel's risk above `max_risk`; 0 leaves it out.
    uncertainty_penalty: weight of the gain model's uncertainty of what is chosen; 0 leaves it out.
    anchor: weight of the divergence from the network before learning; 0 leaves it out.
    least_entropy: the entropy's weight doubles while the mean entropy is under it; 0 never.
    dropout: share of hidden numbers that are left out while learning, in [0, 1).
    """

    rate: float = 3e-4
    weight_decay: float = 1e-4
    clip: float = 0.2
    passes: int = 4
    batch_size: int = 64
    value_weight: float = 0.5
    entropy: float = 0.01
    risk_weight: float = 0.5
    gradient_limit: float = 0.5
    most_kl: float = 0.1
    safety_penalty: float = 0.0
    max_risk: float = 0.9
    uncertainty_penalty: float = 0.0
    anchor: float = 0.0
    least_entropy: float = 0.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("rate", "gradient_limit", "most_kl"):
            value = getattr(self, name)
            require(0 < value < math.inf, f"learning.{name}", "finite and > 0", value)
        for name in (
            "weight_decay",
            "value_weight",
            "entropy",
            "risk_weight",
            "safety_penalty",
            "uncertainty_penalty",
            "anchor",
            "least_entropy",
        ):
            value = getattr(self, name)
            require(0 <= value < math.inf, f"learning.{name}", "finite and >= 0", value)
        require(0 < self.clip < 1, "learning.clip", "in (0, 1)", self.clip)
        require(self.passes >= 1, "learning.passes", ">= 1", self.passes)
        require(self.batch_size >= 1, "learning.batch_size", ">= 1", self.batch_size)
        require(0 <= self.max_risk <= 1, "learning.max_risk", "in [0, 1]", self.max_risk)
        require(0 <= self.dropout < 1, "learning.dropout", "in [0, 1)", self.dropout)


@dataclass(frozen=True, kw_only=True)
class Rollouts:
    """What is played for an update, and what its returns are compared with.

    tasks_at_once: growth tasks of an update, >= 1.
    rollouts: episodes of a task, >= 2, with the same host, data and order.
    baseline: a return's advantage is over the other rollouts of its task (`leave_one_out`), over
        what the network expected (`value`), or over the never-grown run (`never`).
    gae_decay: lambda of `value`, in [0, 1].
    target_every: updates after which the network that expects, for `value`, becomes the present
        one; 0 takes the present one always.
    training_price: log loss that a doubling of the run's own FLOPs must bring, >= 0.
    exploration: logits that a full uncertainty adds to an offer, >= 0.
    replay: experiences of earlier updates that are remembered; 0 remembers none.
    replay_age: updates after which an experience is forgotten, >= 1.
    plateau: updates without a better mean return after which the rate is halved; 0 never.
    patience: updates without a better mean return after which a training ends; 0 never.
    """

    tasks_at_once: int = 12
    rollouts: int = 4
    baseline: str = BASELINES[0]
    gae_decay: float = 0.95
    target_every: int = 0
    training_price: float = 0.01
    exploration: float = 0.1
    replay: int = 0
    replay_age: int = 4
    plateau: int = 0
    patience: int = 0

    def __post_init__(self) -> None:
        for name, least in (("tasks_at_once", 1), ("rollouts", 2), ("replay_age", 1)):
            value = getattr(self, name)
            require(value >= least, f"learning.{name}", f">= {least}", value)
        allowed = f"one of {', '.join(BASELINES)}"
        require(self.baseline in BASELINES, "learning.baseline", allowed, self.baseline)
        require(0 <= self.gae_decay <= 1, "learning.gae_decay", "in [0, 1]", self.gae_decay)
        for name in ("training_price", "exploration"):
            price = getattr(self, name)
            require(0 <= price < math.inf, f"learning.{name}", "finite and >= 0", price)
        for name in ("target_every", "replay", "plateau", "patience"):
            value = getattr(self, name)
            require(value >= 0, f"learning.{name}", ">= 0", value)
        if self.target_every and self.baseline != "value":
            raise ValueError("learning.target_every has no effect without learning.baseline=value")


@dataclass(frozen=True, kw_only=True)
class Learning(Rollouts, PPO, NetKeys, GainFit):
    """All keys of `learning`; a policy reads those of the ways in which it learns."""

    def __post_init__(self) -> None:
        for part in (Rollouts, PPO, NetKeys, GainFit):
            part.__post_init__(self)
