"""Builders of the input of orchestrators."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from esper.contracts.decision import Adaptation, Decision, DecisionKind
from esper.contracts.metrics import EpochMetrics
from esper.contracts.observation import Observation
from esper.contracts.slot import Placement, SeedState, SlotKind, SlotSpec, SlotState
from esper.contracts.stage import SeedStage

CATALOGUE = ("affine", "mlp", "lora", "gated_mlp")


@dataclass(frozen=True)
class Known:
    """Knowledge given by tables: composite by seed, predicted gain by blueprint."""

    composites: Mapping[int, float] = field(default_factory=dict)
    gains: Mapping[str, float] = field(default_factory=dict)

    def composite(self, slot: str, seed: int, /) -> float | None:
        return self.composites.get(seed)

    def predicted_gain(self, spec: SlotSpec, blueprint: str, /) -> float | None:
        return self.gains.get(blueprint)


def make_observation(
    *stages: str,
    bound: tuple[str, ...] = CATALOGUE,
    catalogue: tuple[str, ...] = CATALOGUE,
    may_grow: bool = True,
    seeds: Mapping[int, Mapping[str, Any]] | None = None,
) -> Observation:
    """One slot 'block' with seeds in `stages`; `seeds` gives further fields by index."""
    states = tuple(
        SeedState(
            slot="block",
            seed=index,
            stage=SeedStage(stage),
            bound=bound[index % len(bound)],
            **(seeds or {}).get(index, {}),
        )
        for index, stage in enumerate(stages)
    )
    spec = SlotSpec(
        name="block",
        kind=SlotKind.DENSE,
        placement=Placement.SERIES,
        in_shape=(8,),
        out_shape=(8,),
        catalogue=catalogue,
    )
    return Observation(
        metrics=EpochMetrics(epoch=6, global_step=60, val_loss=1.0),
        epochs=40,
        may_grow=may_grow,
        plateau_epochs=3,
        loss_delta=None,
        accuracy_delta=None,
        best_val_accuracy=None,
        best_val_loss=None,
        train_losses=(),
        val_losses=(1.0,),
        val_accuracies=(None,),
        slots=(SlotState(spec=spec, seeds=states),),
    )


def make_decision(adaptation: str | None = "replace", **fields: Any) -> Decision:
    """A decision to adapt slot 'block'."""
    kind = fields.pop("kind", DecisionKind.ADAPT)
    word = None if adaptation is None else Adaptation(adaptation)
    return Decision(kind=kind, reason="it is time", slot="block", adaptation=word, **fields)


@pytest.fixture
def observe() -> Callable[..., Observation]:
    return make_observation


@pytest.fixture
def decide() -> Callable[..., Decision]:
    return make_decision


@pytest.fixture
def known() -> type[Known]:
    return Known
