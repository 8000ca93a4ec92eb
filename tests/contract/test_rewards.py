"""The contract of every reward model: range, repeatability, never less for more gain."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from esper.contracts.outcome import WINDOWS, GainPoint, Outcome
from esper.reward.base import RewardModel
from esper.reward.gain import Gain
from esper.reward.multi_metric import MultiMetric
from esper.reward.sparse import Sparse

MODELS: list[RewardModel] = [MultiMetric(), MultiMetric(clock="wall"), Gain(), Sparse()]
relative = st.floats(-1, 1)


@st.composite
def outcomes(draw: Any) -> Outcome:
    errors = draw(st.integers(0, 20))
    germinated = draw(st.integers(1, 40))
    points = draw(st.lists(st.tuples(st.sampled_from(WINDOWS), relative), max_size=8))
    gain = draw(st.none() | relative)
    return Outcome(
        slot="block",
        seed=0,
        slot_kind="dense",
        placement="series",
        blueprint="mlp",
        activation=1,
        germinated_epoch=germinated,
        settled_epoch=germinated + draw(st.integers(0, 30)),
        fossilized=draw(st.booleans()),
        gain=gain,
        gain_error=None if gain is None else draw(st.none() | st.floats(0, 0.5)),
        ablation=draw(st.none() | relative),
        gains=()
        if gain is None
        else tuple(
            GainPoint(epochs_since=i + 1, gain=value, window=window)
            for i, (window, value) in enumerate(points)
        ),
        accuracy_gain=draw(st.none() | st.floats(-0.3, 0.3)),
        flops_before=draw(st.just(0.0) | st.floats(100, 1e9)),
        flops_after=draw(st.floats(100, 1e9)),
        parameters_before=draw(st.integers(0, 10**7)),
        parameters_after=draw(st.integers(1, 10**7)),
        loss_variance=draw(st.floats(0, 20)),
        errors=errors,
        recoveries=draw(st.integers(0, errors)),
        latency_ms=draw(st.none() | st.floats(0.01, 10)),
        memory_mb=draw(st.floats(0, 100)),
    )


@pytest.mark.parametrize("model", MODELS, ids=repr)
@given(outcome=outcomes())
def test_a_reward_is_bounded_finite_repeatable_and_said_in_words(
    model: RewardModel, outcome: Outcome
) -> None:
    reward = model.judge(outcome)
    assert -1 <= reward.total <= 1
    assert 0 <= reward.confidence <= 1
    assert all(math.isfinite(value) for value in reward.components.values())
    assert reward == model.judge(replace(outcome))
    assert outcome.blueprint in reward.explanation
    assert f"{reward.total:+.3f}" in reward.explanation
    assert ("not measured" in reward.explanation) >= (outcome.gain is None)


@pytest.mark.parametrize("model", MODELS, ids=repr)
@given(outcome=outcomes(), low=relative, rise=st.floats(1e-4, 1))
def test_more_gain_never_lowers_the_reward_and_raises_it_where_it_counts(
    model: RewardModel, outcome: Outcome, low: float, rise: float
) -> None:
    gains = [replace(point, gain=point.gain + rise) for point in outcome.gains]
    less = model.judge(replace(outcome, gain=low)).total
    more = model.judge(replace(outcome, gain=low + rise, gains=tuple(gains))).total
    assert more > less or (model.name == "sparse" and not outcome.fossilized and more == less)


@given(outcome=outcomes(), rise=st.floats(1e-4, 0.5), index=st.integers(0, 7))
def test_the_gain_at_every_evaluation_counts(outcome: Outcome, rise: float, index: int) -> None:
    points = list(outcome.gains)
    if not points:
        return
    point = points[index % len(points)]
    points[index % len(points)] = replace(point, gain=point.gain + rise)
    raised = replace(outcome, gains=tuple(points))
    assert MultiMetric().judge(raised).total > MultiMetric().judge(outcome).total


@pytest.mark.parametrize("kind", [MultiMetric, Gain, Sparse])
def test_every_option_is_a_hydra_schema(kind: Any) -> None:
    assert kind.__module__ == f"esper.reward.{kind.name}"
    assert OmegaConf.to_object(OmegaConf.structured(kind)) == kind()
