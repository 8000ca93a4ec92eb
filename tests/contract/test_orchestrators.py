"""The contract of every orchestrator: legal changes, purity, reasons."""

import copy
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from esper.contracts.decision import SLOT_CHANGES, Decision, DecisionKind
from esper.contracts.metrics import EpochMetrics
from esper.contracts.observation import Observation
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.slot import Placement, SeedState, SlotKind, SlotSpec, SlotState
from esper.contracts.stage import SeedStage, check_move
from esper.orchestrator.auto import Auto
from esper.orchestrator.base import Orchestrator
from esper.orchestrator.diversify import Diversify
from esper.orchestrator.ensemble import Ensemble
from esper.orchestrator.replace import Replace
from esper.orchestrator.specialize import Specialize

ORCHESTRATORS: list[Orchestrator] = [Auto(), Replace(), Diversify(), Specialize(), Ensemble()]
TARGETS = {
    Action.GERMINATE: SeedStage.GERMINATED,
    Action.RETARGET: SeedStage.BLENDING,
    Action.FOSSILIZE: SeedStage.FOSSILIZED,
    Action.CULL: SeedStage.CULLED,
}


@dataclass(frozen=True)
class Tables:
    """Knowledge given by tables."""

    composites: tuple[float | None, ...]
    gains: dict[str, float]

    def composite(self, slot: str, seed: int, /) -> float | None:
        return self.composites[seed]

    def predicted_gain(self, spec: SlotSpec, blueprint: str, /) -> float | None:
        return self.gains.get(blueprint)


def observe(slots: tuple[SlotState, ...], may_grow: bool) -> Observation:
    return Observation(
        metrics=EpochMetrics(epoch=6, global_step=60, val_loss=1.0),
        epochs=40,
        may_grow=may_grow,
        plateau_epochs=0,
        loss_delta=None,
        accuracy_delta=None,
        best_val_accuracy=None,
        best_val_loss=None,
        train_losses=(),
        val_losses=(1.0,),
        val_accuracies=(None,),
        slots=slots,
    )


unit = st.floats(0, 1)
maybe_gain = st.none() | st.floats(-1, 1)


@st.composite
def slot_states(draw: Any, name: str = "block") -> SlotState:
    catalogue = tuple("abcdef"[: draw(st.integers(1, 6))])
    seeds = tuple(
        SeedState(
            slot=name,
            seed=index,
            stage=draw(st.sampled_from(SeedStage)),
            bound=draw(st.sampled_from(catalogue)),
            alpha_target=draw(st.sampled_from([0.2, 0.25, 0.5, 0.6, 0.8, 1.0])),
            gain=draw(maybe_gain),
            ablation=draw(maybe_gain),
        )
        for index in range(draw(st.integers(1, 6)))
    )
    spec = SlotSpec(
        name=name,
        kind=SlotKind.DENSE,
        placement=Placement.PARALLEL,
        in_shape=(4,),
        out_shape=(4,),
        catalogue=catalogue,
    )
    return SlotState(spec=spec, seeds=seeds)


@st.composite
def cases(draw: Any) -> tuple[Decision, Observation, Tables]:
    slot = draw(slot_states())
    decision = Decision(
        kind=draw(
            st.sampled_from([DecisionKind.ADAPT, DecisionKind.CULL, DecisionKind.FOSSILIZE])
            if draw(st.integers(0, 4)) == 0
            else st.just(DecisionKind.ADAPT)
        ),
        reason="drawn",
        slot="block",
        seed=draw(st.integers(0, len(slot.seeds) - 1)),
        adaptation=draw(st.none() | st.sampled_from(SLOT_CHANGES)),
        num_seeds=draw(st.none() | st.integers(1, 8)),
        risk=draw(unit),
        barred=tuple(draw(st.sets(st.sampled_from("abcdef"), max_size=3))),
    )
    composites = tuple(draw(st.none() | unit) for _ in slot.seeds)
    gains = draw(st.dictionaries(st.sampled_from("abcdef"), st.floats(-1, 1)))
    observation = observe((draw(slot_states("other")), slot), draw(st.booleans()))
    return decision, observation, Tables(composites, gains)


def walk(plan: Plan, slot: SlotState) -> dict[int, SeedStage]:
    """Make the plan's moves one by one; raises at the first that the table does not hold."""
    stages = {seed.seed: seed.stage for seed in slot.seeds}
    for change in plan.changes:
        seed = change.seed
        if seed is None:
            assert change.action is Action.GERMINATE
            dormant = [s for s, stage in stages.items() if stage is SeedStage.DORMANT]
            assert dormant, "more germinations than dormant seeds"
            seed = dormant[0]
        check_move(slot.spec.name, seed, stages[seed], TARGETS[change.action])
        stages[seed] = TARGETS[change.action]
        if change.action is Action.CULL and not change.rests:
            stages[seed] = SeedStage.DORMANT
    return stages


def check_change(change: SeedChange, decision: Decision, slot: SlotState, shared: bool) -> None:
    assert 0 < change.alpha_target <= 1
    if change.blueprint is not None:
        assert change.action is Action.GERMINATE
        assert change.blueprint in slot.spec.catalogue
        assert change.blueprint not in decision.barred
    if change.action is Action.RETARGET and not shared:
        assert slot.seeds[change.seed or 0].alpha_target != change.alpha_target


@pytest.mark.parametrize("orchestrator", ORCHESTRATORS, ids=lambda o: o.name)
@given(case=cases())
def test_every_change_is_legal_and_planning_is_pure(
    orchestrator: Orchestrator, case: tuple[Decision, Observation, Tables]
) -> None:
    before = copy.deepcopy(case)
    decision, observation, knowledge = case
    slot = observation.slot("block")

    plan = orchestrator.plan(decision, observation, knowledge)

    assert case == before
    assert plan == orchestrator.plan(*before)
    walk(plan, slot)
    for change in plan.changes:
        check_change(change, decision, slot, plan.shares_alpha)
    germinations = [c for c in plan.changes if c.action is Action.GERMINATE]
    assert observation.may_grow or not germinations
    assert (plan.slot, plan.risk) == ("block", decision.risk)
    assert plan.expected_improvement is None, "no seed is chosen yet"
    assert plan.reasoning
    assert (plan.changes == ()) == ("nothing to do" in plan.reasoning)
    assert plan.exceeds_concurrency <= (plan.kind == "ensemble")


@pytest.mark.parametrize("orchestrator", ORCHESTRATORS, ids=lambda o: o.name)
@given(case=cases())
def test_germinations_of_one_plan_have_different_blueprints_as_far_as_the_catalogue_allows(
    orchestrator: Orchestrator, case: tuple[Decision, Observation, Tables]
) -> None:
    decision, observation, knowledge = case
    slot = observation.slot("block")
    plan = orchestrator.plan(decision, observation, knowledge)
    germinations = [c for c in plan.changes if c.action is Action.GERMINATE]
    named = [c.blueprint for c in germinations if c.seed is not None]
    dormant = {s.bound for s in slot.seeds if s.stage is SeedStage.DORMANT}
    offered = set(slot.spec.catalogue) - set(decision.barred)
    assert len(germinations) - len(named) <= len(dormant & offered)
    in_use = {s.bound for s in slot.seeds if s.stage is SeedStage.FOSSILIZED or s.is_live}
    assert len(set(named)) >= min(len(named), len(offered - in_use))


@pytest.mark.parametrize("orchestrator", ORCHESTRATORS, ids=lambda o: o.name)
def test_every_option_is_a_hydra_schema_with_a_cool_down(orchestrator: Orchestrator) -> None:
    kind = type(orchestrator)
    assert kind.__module__ == f"esper.orchestrator.{orchestrator.name}"
    schema = OmegaConf.structured(kind)
    assert OmegaConf.to_object(schema) == orchestrator
    assert orchestrator.adaptation_cooldown_epochs == 2
    with pytest.raises(ValueError, match=r"orchestrator\.adaptation_cooldown_epochs must be >= 0"):
        kind(adaptation_cooldown_epochs=-1)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        (Replace, "min_performance_threshold", 1.5),
        (Replace, "min_performance_threshold", float("nan")),
        (Diversify, "initial_blend", 0.0),
        (Specialize, "alpha_step", 0.0),
        (Specialize, "alpha_step", float("nan")),
        (Specialize, "initial_blend", 1.1),
        (Auto, "initial_blend", float("nan")),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_key(kind: Any, key: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"orchestrator\.{key} must be .*, got {value}"):
        kind(**{key: value})
