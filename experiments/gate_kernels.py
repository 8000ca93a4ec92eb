"""What a gate experiment puts on trial, and the policy that starts a trial."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from esper.blueprint.base import Blueprint, sites
from esper.blueprint.catalogue import register
from esper.blueprint.mlp import mlp_layers
from esper.blueprint.shapes import Shape, reachable
from esper.contracts.decision import Adaptation, Decision, DecisionKind
from esper.contracts.observation import Observation
from esper.contracts.slot import Placement, SlotKind
from esper.policy.base import Policy, wait

PERMUTED = "permuted"
USELESS = ("noop", "frozen_random", PERMUTED)
"""Blueprints whose kernels cannot learn anything about a sample."""


class Permuted(nn.Module):
    """Trained layers that read the input of another sample of the batch."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        """Return the layers' output for the samples in another order, fixed by their number."""
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
        result: Tensor = self.layers(x[order.to(x.device)])
        return result


def _build(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> nn.Module:
    return Permuted(mlp_layers(kind, in_shape, out_shape, silent=True))


BLUEPRINT = Blueprint(
    name=PERMUTED,
    fits_in=sites(SlotKind, Placement),
    risk=0.5,
    build=_build,
    shape_rule=reachable,
)


def enlist() -> None:
    """Register `permuted` in this process; importing this module alone does not."""
    register(BLUEPRINT)


@dataclass(frozen=True)
class OneTrial:
    """Germinates seeds in a slot after the first epoch, and never judges them.

    So a trial lasts until the lifecycle ends it, and is measured at every look.
    """

    slot: str
    num_seeds: int = 1

    def build(self, rng_seed: int) -> "OneTrialPolicy":
        """Return a new policy; it makes no random choices."""
        return OneTrialPolicy(self)


class OneTrialPolicy(Policy):
    """The policy of `OneTrial`; it has no state."""

    name: ClassVar[str] = "one_trial"

    def __init__(self, options: OneTrial) -> None:
        self.options = options

    def decide(self, observation: Observation) -> list[Decision]:
        """Return the request to grow after the first epoch, else to wait."""
        if observation.epoch > 1:
            return [wait("the trial is on")]
        return [
            Decision(
                kind=DecisionKind.ADAPT,
                reason="the trial of the experiment",
                slot=self.options.slot,
                adaptation=Adaptation.ADD_NEURONS,
                num_seeds=self.options.num_seeds,
            )
        ]
