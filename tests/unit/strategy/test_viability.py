"""Viability: every limit by hand, and that a live seed is never offered."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.stage import SeedStage
from esper.strategy.viability import SelectionInputs, Viability, leaving, viable

Make = Callable[..., Any]


def _plan(*changes: SeedChange, exceeds_concurrency: bool = False) -> Plan:
    return Plan(
        slot="block",
        kind="test",
        changes=changes,
        reasoning="",
        exceeds_concurrency=exceeds_concurrency,
    )


def _germinate(seed: int | None = None) -> SeedChange:
    return SeedChange(action=Action.GERMINATE, seed=seed)


def _cull(seed: int) -> SeedChange:
    return SeedChange(action=Action.CULL, seed=seed)


def test_a_seed_never_used_is_viable_at_once(make_state: Make) -> None:
    """Only a seed that was used must rest."""
    seeds, refused = viable(Viability(), SelectionInputs(state=make_state(), epoch=0), _plan())
    assert seeds == [0, 1, 2, 3]
    assert refused == {}


def test_a_used_seed_rests(make_state: Make) -> None:
    state = make_state(3, s0={"last_used_epoch": 6}, s1={"last_used_epoch": 5})
    inputs = SelectionInputs(state=state, epoch=10)
    assert viable(Viability(), inputs, _plan()) == ([1, 2], {0: "rests until epoch 11"})
    assert viable(Viability(min_dormant_epochs=0), inputs, _plan())[0] == [0, 1, 2]


def test_live_seeds_and_those_of_the_plan_count_to_the_limit(make_state: Make) -> None:
    state = make_state(4, s1={"stage": SeedStage.TRAINING})
    inputs = SelectionInputs(state=state, epoch=0)
    two = Viability(max_concurrent_seeds=2)
    assert viable(two, inputs, _plan())[0] == [0, 2, 3]
    full = "2 of 2 live seeds taken"
    assert viable(two, inputs, _plan(_germinate(0))) == (
        [],
        {0: "is in this plan already", 1: "is TRAINING", 2: full, 3: full},
    )
    swapped = _plan(_cull(1), _germinate(0))
    assert viable(two, inputs, swapped)[0] == [2, 3]
    ensemble = _plan(_germinate(0), exceeds_concurrency=True)
    assert viable(two, inputs, ensemble)[0] == [2, 3]


def test_without_a_limit_three_seeds_may_live_at_once(make_state: Make) -> None:
    inputs = SelectionInputs(state=make_state(5, s1={"stage": SeedStage.TRAINING}), epoch=0)
    assert Viability().max_concurrent_seeds is None
    assert viable(Viability(), inputs, _plan(_germinate(0)))[0] == [2, 3, 4]
    seeds, refused = viable(Viability(), inputs, _plan(_germinate(0), _germinate(2)))
    assert seeds == []
    assert refused[3] == refused[4] == "3 of 3 live seeds taken"


def test_kernels_of_a_plan_stay_within_the_flops_that_may_be_added(make_state: Make) -> None:
    inputs = SelectionInputs(
        state=make_state(4),
        epoch=0,
        flops={0: 40.0, 1: 60.0, 2: 60.5, 3: 101.0},
        affordable_flops=(100.0,),
    )
    assert viable(Viability(), inputs, _plan()) == (
        [0, 1, 2],
        {3: "would make 101 FLOPs of the 100 that may be added"},
    )
    seeds, refused = viable(Viability(), inputs, _plan(_germinate(0)))
    assert seeds == [1]
    assert refused[2] == "would make 100.5 FLOPs of the 100 that may be added"
    # A seed that the plan names is not counted twice, and one that leaves adds nothing.
    assert viable(Viability(), inputs, _plan(_germinate(0), _germinate(0)))[0] == [1]
    assert viable(Viability(), inputs, _plan(_cull(2), _germinate(0)))[0] == [1]


def test_no_kernel_takes_more_than_one_alone_may(make_state: Make) -> None:
    flops = {0: 40.0, 1: 60.0, 2: 10.0}
    inputs = SelectionInputs(
        state=make_state(3), epoch=0, flops=flops, affordable_flops=(50.0, 100.0)
    )
    seeds, refused = viable(Viability(), inputs, _plan(_germinate(0)))
    assert seeds == [2]
    assert refused[1] == "takes 60 FLOPs of the 50 that a kernel may"


def test_nothing_is_affordable_below_zero_but_what_is_not_measured_is_not_judged(
    make_state: Make,
) -> None:
    measured = {"state": make_state(2), "epoch": 0, "flops": {0: 0.0}}
    assert viable(Viability(), SelectionInputs(**measured), _plan())[0] == [0, 1]
    free = SelectionInputs(**measured, affordable_flops=(0.0,))
    assert viable(Viability(), free, _plan())[0] == [0, 1]
    broke = SelectionInputs(**measured, affordable_flops=(-1.0,))
    assert viable(Viability(), broke, _plan())[0] == []


def test_fossilized_seeds_take_no_place_and_are_not_offered(make_state: Make) -> None:
    stages = (SeedStage.FOSSILIZED, SeedStage.FOSSILIZED, SeedStage.EMBARGOED)
    state = make_state(4, **{f"s{index}": {"stage": stage} for index, stage in enumerate(stages)})
    seeds, refused = viable(Viability(), SelectionInputs(state=state, epoch=0), _plan())
    assert seeds == [3]
    assert refused == {0: "is FOSSILIZED", 1: "is FOSSILIZED", 2: "is EMBARGOED"}


def test_memory_stays_within_80_percent_of_the_budget(make_state: Make) -> None:
    inputs = SelectionInputs(
        state=make_state(4),
        epoch=0,
        memory_mb={0: 10.0, 1: 20.0, 2: 20.5},
        memory_used_mb=60.0,
        memory_budget_mb=100.0,
    )
    assert viable(Viability(), inputs, _plan()) == (
        [0, 1],
        {2: "needs 80.5 MB of 80 MB", 3: "its memory is not known"},
    )
    assert viable(Viability(), inputs, _plan(_germinate(0)))[1][1] == "needs 90 MB of 80 MB"


def test_a_seed_that_the_plan_culls_or_fossilizes_leaves() -> None:
    plan = _plan(
        SeedChange(action=Action.CULL, seed=2, rests=False),
        SeedChange(action=Action.GERMINATE, seed=2, blueprint="h"),
        SeedChange(action=Action.FOSSILIZE, seed=1),
        SeedChange(action=Action.RETARGET, seed=0, alpha_target=0.5),
    )
    assert leaving(plan) == {1, 2}


SEEDS = st.builds(
    dict,
    stage=st.sampled_from(list(SeedStage)) | st.just(SeedStage.DORMANT),
    last_used_epoch=st.none() | st.integers(0, 30),
)


@given(
    seeds=st.lists(SEEDS, min_size=1, max_size=8),
    epoch=st.integers(0, 40),
    rest=st.integers(0, 10),
    limit=st.integers(1, 4),
    taken=st.sets(st.integers(0, 7), max_size=3),
)
def test_what_is_offered_is_dormant_rested_and_within_the_limit(
    make_state: Make,
    seeds: list[dict[str, Any]],
    epoch: int,
    rest: int,
    limit: int,
    taken: set[int],
) -> None:
    state = make_state(len(seeds), **{f"s{index}": values for index, values in enumerate(seeds)})
    options = Viability(min_dormant_epochs=rest, max_concurrent_seeds=limit)
    inputs = SelectionInputs(state=state, epoch=epoch)
    offered, refused = viable(options, inputs, _plan(*map(_germinate, taken)))
    assert sorted([*offered, *refused]) == list(range(len(seeds)))
    assert not taken & set(offered)
    for index in offered:
        seed = state.seeds[index]
        assert seed.stage is SeedStage.DORMANT
        assert not seed.is_live
        assert seed.last_used_epoch is None or epoch - seed.last_used_epoch >= rest
    if offered:
        assert len({seed.seed for seed in state.live} | taken) < limit


def test_options_out_of_range_are_refused() -> None:
    for key, wrong in (
        ("min_dormant_epochs", -1),
        ("max_concurrent_seeds", 0),
    ):
        with pytest.raises(ValueError, match=rf"viability\.{key} must be"):
            Viability(**{key: wrong})
