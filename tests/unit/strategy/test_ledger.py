"""The ledger: the statistics of an arm, consistent counts, and a complete state."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper.contracts.ledger import LedgerEntry, Measurement, RewardSummary
from esper.contracts.slot import Placement, SlotKind
from esper.strategy.base import Context, View
from esper.strategy.ledger import Ledger
from esper.strategy.pooling import Tally
from esper.strategy.prior import Prior
from esper.strategy.thompson import Thompson

Make = Callable[..., Any]

ENTRIES = st.lists(
    st.builds(
        dict,
        slot=st.sampled_from(["left", "right"]),
        seed=st.integers(0, 3),
        placement=st.sampled_from(["series", "parallel"]),
        blueprint=st.sampled_from("abc"),
        reward=st.none() | st.floats(-1, 1),
        loss_reduction=st.none() | st.floats(-1, 1),
        fossilized=st.booleans(),
    ),
    max_size=30,
)


def _ledger(make_entry: Make, settled: list[dict[str, Any]]) -> Ledger:
    ledger = Ledger()
    for index, values in enumerate(settled):
        entry = make_entry(str(index), **values)
        ledger.note_activation(entry.slot, entry.seed, index)
        ledger.record(entry)
    return ledger


def test_an_arm_is_its_own_record_shrunk_towards_like_slots(
    make_entry: Make, make_spec: Make
) -> None:
    ledger = _ledger(
        make_entry,
        [
            {"slot": "block", "seed": 0, "blueprint": "a", "reward": 1.0},
            {"slot": "other", "seed": 3, "blueprint": "a", "reward": 3.0},
            {"slot": "block", "seed": 0, "blueprint": "b", "reward": 5.0},
            {"slot": "block", "seed": 0, "blueprint": "a", "placement": "series", "reward": 7.0},
            {"slot": "conv", "seed": 0, "blueprint": "a", "slot_kind": "feature_map", "reward": 4},
        ],
    )
    # Rewards 1 3 5 7 4: mean 4, deviation sqrt(20 / 4).  The one trial elsewhere is worth 1/2.
    arm = ledger.arm(make_spec(), 0, "a", Prior(0.1), View(window_size=20))
    half = 0.5
    width = 4 * 5**0.5
    assert (arm.own_trials, arm.prior_trials, arm.trials) == (1, 0.5, 1.5)
    assert (arm.selections, arm.first_order) == (3, 0.1)
    assert arm.prior_mean == pytest.approx(half - 1 / width)
    assert arm.mean_reward == pytest.approx(half - (3 + 0.5 * 1) / 1.5 / width)
    assert arm.recent_rewards == pytest.approx((half - 3 / width,))
    series = make_spec(placement=Placement.SERIES)
    images = make_spec(kind=SlotKind.FEATURE_MAP)
    arms = [ledger.arm(spec, 1, "a") for spec in (series, images)]
    assert [(arm.own_trials, arm.trials) for arm in arms] == [(1, 1), (0, 0.5)]
    summary = ledger.summary(make_spec(name="other"), "a")
    assert summary == RewardSummary(trials=1, mean=3.0, standard_error=None)


def test_a_blueprint_that_helps_one_slot_and_harms_another_is_two_arms(
    make_entry: Make, make_spec: Make
) -> None:
    settled = [
        {"slot": slot, "reward": reward + wobble}
        for slot, reward in (("left", 1.0), ("right", -1.0))
        for wobble in (-0.1, 0.1) * 4
    ]
    ledger = _ledger(make_entry, settled)
    left, right, new = (
        ledger.arm(make_spec(name=name), 0, "a") for name in ("left", "right", "new")
    )
    # 8 trials of its own, and 8 of the other slot, worth 8/9; a new slot takes the mean of both.
    shift = (8 - 8 / 9) / (8 + 8 / 9)
    spread = (16 * 1.01 / 15) ** 0.5
    assert left.mean_reward == pytest.approx(0.5 + shift / 4 / spread)
    assert right.mean_reward == pytest.approx(0.5 - shift / 4 / spread)
    assert (new.mean_reward, new.trials) == (pytest.approx(0.5), pytest.approx(16 / 17))


def test_a_first_order_score_counts_as_trials(make_entry: Make, make_spec: Make) -> None:
    prior = Prior(score=7.0, mean=1.0, trials=2.0)
    untried = Ledger().arm(make_spec(), 0, "a", prior)
    assert (untried.mean_reward, untried.trials, untried.own_trials) == (1.0, 2.0, 0)
    ledger = _ledger(make_entry, [{"reward": 0.0}, {"reward": 1.0, "blueprint": "b"}])
    # Unit rewards 0.5 -+ 0.5 / (4 * sqrt(0.5)).
    unit = 0.5 - 0.5 / (4 * 0.5**0.5)
    arm = ledger.arm(make_spec(), 0, "a", prior)
    assert arm.mean_reward == pytest.approx((unit + 2 * 1.0) / 3)
    assert (arm.prior_mean, arm.first_order) == (1.0, 7.0)


def test_other_families_and_reward_models_do_not_count(make_entry: Make, make_spec: Make) -> None:
    former = [
        make_entry("0", task_family="image", reward_model="gain"),
        make_entry("1", task_family="tokens", reward_model="gain"),
        make_entry("2", task_family="image", reward_model="sparse"),
    ]
    ledger = Ledger("image", "gain")
    assert ledger.warm_start(former, run="mine") == 1
    assert ledger.arm(make_spec(), 0, "a").trials == 1
    with pytest.raises(ValueError, match="of image, gain, got an entry of tokens, gain"):
        ledger.record(former[1])


def test_latest_counts_the_trials_of_all_arms(make_entry: Make, make_spec: Make) -> None:
    names = "aabbba"
    ledger = _ledger(make_entry, [{"blueprint": name, "slot": "block"} for name in names])
    arms = [ledger.arm(make_spec(), 0, name, view=View(latest_size=4)) for name in "abc"]
    assert [arm.num_latest for arm in arms] == [1, 3, 0]
    assert [arm.recent_rewards for arm in arms] == [(), (), ()]


def test_the_noise_is_what_rewards_of_an_arm_differ_by(make_entry: Make) -> None:
    assert Ledger().noise == 0.25
    worths = {"a": 0.0, "b": 10.0}
    settled = [
        {"blueprint": name, "reward": worth + wobble}
        for name, worth in worths.items()
        for wobble in (-1.0, 1.0) * 50
    ]
    ledger = _ledger(make_entry, settled)
    # Within an arm squares of 100 in 99 steps, around both means 26 in 199 steps, two of which
    # weigh in.
    total = 200 * 26 / 199
    noise = ((200 + 2 * total) / (198 + 2)) ** 0.5
    assert ledger.noise == pytest.approx(noise / 4 / total**0.5)


def test_a_summary_has_this_runs_rewards_in_this_slot_as_they_were_given(
    make_entry: Make, make_spec: Make
) -> None:
    settled: list[dict[str, Any]] = [
        {"reward": -0.5},
        {"reward": 0.3, "seed": 3},
        {"reward": 0.9, "slot": "other"},
        {"reward": 0.7, "blueprint": "b"},
        {"reward": None},
    ]
    ledger = _ledger(make_entry, settled)
    ledger.warm_start([make_entry("0", run="earlier", reward=1.0)], "run")
    summary = ledger.summary(make_spec(), "a")
    assert (summary.trials, summary.mean) == (2, pytest.approx(-0.1))
    assert summary.standard_error == pytest.approx(0.4)
    assert ledger.summary(make_spec(), "c").trials == 0


def test_an_arm_never_seen_is_untried(make_spec: Make) -> None:
    arm = Ledger().arm(make_spec(), 2, "c", view=View(window_size=20))
    assert (arm.seed, arm.blueprint) == (2, "c")
    assert (arm.trials, arm.mean_reward, arm.recent_rewards, arm.selections) == (0, 0.5, (), 0)


def test_recent_rewards_are_the_last_ones_oldest_first(make_entry: Make, make_spec: Make) -> None:
    ledger = _ledger(make_entry, [{"reward": float(index)} for index in range(150)])
    whole = ledger.arm(make_spec(), 0, "a", view=View(window_size=100)).recent_rewards
    assert len(whole) == 100
    assert whole[-1] > whole[0]
    assert ledger.arm(make_spec(), 0, "a", view=View(window_size=3)).recent_rewards == whole[-3:]
    assert ledger.arm(make_spec(), 0, "a").recent_rewards == ()


def test_a_reward_that_comes_later_moves_the_arms_seen_before(
    make_entry: Make, make_spec: Make
) -> None:
    """Stored scores would go stale."""
    ledger = _ledger(make_entry, [{"reward": 0.0}, {"reward": 1.0, "blueprint": "b"}])
    before = ledger.arm(make_spec(), 0, "b").mean_reward
    ledger.record(make_entry("later", reward=10.0, blueprint="c"))
    assert ledger.arm(make_spec(), 0, "b").mean_reward < 0.5 < before


def test_an_unmeasured_reward_is_no_trial(make_entry: Make, make_spec: Make) -> None:
    ledger = _ledger(make_entry, [{"reward": None, "loss_reduction": 0.1}])
    assert ledger.arm(make_spec(), 0, "a").trials == 0
    assert ledger.gains(make_spec(), "a") == (Tally(1, 0.1), Tally(1, 0.1))


def test_known_gains_are_those_of_the_slot_and_of_all_like_it(
    make_entry: Make, make_spec: Make
) -> None:
    ledger = _ledger(
        make_entry,
        [{"loss_reduction": 0.1}, {"loss_reduction": 0.3}, {"loss_reduction": None}],
    )
    both = Tally(2, pytest.approx(0.4))
    assert ledger.gains(make_spec(), "a") == (both, both)
    assert ledger.gains(make_spec(name="other"), "a") == (Tally(), both)
    assert ledger.gains(make_spec(), "b") == (Tally(), Tally())


def test_the_composite_score_is_of_the_present_activation() -> None:
    ledger = Ledger()
    assert ledger.composite("block", 1) is None
    ledger.note_activation("block", 1, 2)
    ledger.note_measurement("block", 1, Measurement(accuracy_improvement=0.02))
    assert ledger.composite("block", 1) == pytest.approx(0.7)
    ledger.note_activation("block", 1, 9)
    assert ledger.composite("block", 1) is None
    assert ledger.selections == 2


def test_an_event_counts_once(make_entry: Make, make_spec: Make) -> None:
    ledger = _ledger(make_entry, [{}])
    with pytest.raises(ValueError, match="event '0' of run 'run' is recorded"):
        ledger.record(make_entry("0"))
    assert ledger.arm(make_spec(), 0, "a").trials == 1


def test_a_warm_start_pools_other_runs_and_leaves_this_runs_records_empty(
    make_entry: Make, make_spec: Make
) -> None:
    ledger = Ledger()
    former = [make_entry("0", run="mine"), make_entry("0", run="theirs", seed=3)]
    assert ledger.warm_start([*former, *former], run="mine") == 1
    arm = ledger.arm(make_spec(), 3, "a")
    assert (arm.trials, arm.selections, ledger.selections) == (1, 0, 0)
    assert ledger.entries_of_run() == []
    assert ledger.composite("block", 3) is None


def test_memory_is_bounded(make_entry: Make) -> None:
    ledger = _ledger(make_entry, [{"seed": index % 8} for index in range(1100)])
    assert [entry.event for entry in ledger.entries_of_run()] == [
        str(index) for index in range(100, 1100)
    ]
    state = ledger.state_dict()
    assert len(state["pools"]) == len(state["arms"]) == 1
    assert len(state["latest"]) == 100
    assert len(state["records"]) == 8


@given(settled=ENTRIES)
def test_counts_add_up(make_entry: Make, make_spec: Make, settled: list[dict[str, Any]]) -> None:
    ledger = _ledger(make_entry, settled)
    seeds = [(make_spec(name=name), index) for name in ("left", "right") for index in range(4)]
    arms = [
        ledger.arm(make_spec(name=name, placement=placement), 0, blueprint, view=View(100, 100))
        for name in ("left", "right")
        for placement in Placement
        for blueprint in "abc"
    ]
    rewarded = [values for values in settled if values["reward"] is not None]
    assert ledger.selections == len(settled)
    assert sum(ledger.arm(*seed, "a").selections for seed in seeds) == len(settled)
    assert sum(arm.own_trials for arm in arms) == len(rewarded)
    assert sum(arm.num_latest for arm in arms) == len(rewarded)
    assert sum(len(arm.recent_rewards) for arm in arms) == len(rewarded)
    assert all(0 <= arm.mean_reward <= 1 for arm in arms)
    assert len(ledger.entries_of_run()) == len(settled)


@given(settled=ENTRIES, more=ENTRIES)
def test_a_restored_ledger_makes_the_same_choices_ever_after(
    make_entry: Make,
    make_spec: Make,
    settled: list[dict[str, Any]],
    more: list[dict[str, Any]],
) -> None:
    ledger = _ledger(make_entry, settled)
    restored = Ledger()
    restored.record(make_entry("to be forgotten"))
    restored.load_state_dict(json.loads(json.dumps(ledger.state_dict())))
    assert restored.state_dict() == ledger.state_dict()
    draws = []
    for each in (ledger, restored):
        rng = Random(6)
        for index, values in enumerate(more):
            each.record(make_entry(f"more {index}", **values))
            arms = [each.arm(make_spec(), seed, name) for seed, name in enumerate("abc")]
            draws.append(Thompson().scores(arms, Context(), rng))
    assert draws[: len(more)] == draws[len(more) :]
    assert restored.entries_of_run() == ledger.entries_of_run()
    assert all(isinstance(entry, LedgerEntry) for entry in restored.entries_of_run())
