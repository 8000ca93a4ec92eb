"""Every option of every group runs through the command line and really does what it is for."""

import math

import pytest

from esper.attribution.options import METHODS
from esper.blueprint import catalogue
from esper.blueprint.catalogue import LIGHT, STANDARD
from esper.contracts.slot import Placement, SlotKind
from esper.growth.options import ON_CULL, RAMPS, READ_OUTS
from esper.options import OPTIONS
from esper.policy.rules.growth import ADDING, WIDEN
from esper.policy.rules.trigger import TRIGGERS
from esper.training.options import OPTIMIZERS, SCHEDULES
from tests.integration.harness import Done, Json, Run
from tests.integration.option_cases import CASES, COVERED, DENSE

WORDS = {
    "growth.ramp": RAMPS,
    "growth.on_cull": ON_CULL,
    "attribution.method": METHODS,
    "run.read_out": READ_OUTS,
    "policy.trigger": TRIGGERS,
    "policy.adaptation": (*ADDING, WIDEN),
    "training.optimizer": OPTIMIZERS,
    "training.schedule": SCHEDULES,
    "model.placement": tuple(Placement),
    "reward.clock": ("flops", "wall"),
}
ALL = {*CASES, "snapshot", *COVERED["strategy"].values()}
DEFAULTS = {
    "linear",
    "remove",
    "muting",
    "best_average",
    "early",
    "add_neurons",
    "adamw",
    "wsd",
    "flops",
}
"""The words that every case has that does not say otherwise."""


@pytest.fixture
def runs(option_runs: dict[str, Run]) -> dict[str, Run]:
    return option_runs


def test_no_option_is_left_out() -> None:
    assert {group: set(cases) for group, cases in COVERED.items()} == {
        group: set(options) for group, options in OPTIONS.items()
    }
    assert {case for cases in COVERED.values() for case in cases.values()} <= {*ALL, "wandb"}


@pytest.mark.parametrize(("key", "words"), WORDS.items())
def test_no_word_of_a_key_is_left_out(key: str, words: tuple[str, ...]) -> None:
    typed = " ".join(CASES.values()).split()
    assert [word for word in words if f"{key}={word}" not in typed and word not in DEFAULTS] == []


@pytest.mark.parametrize("name", ["sweep", "again", "snapshot", *CASES])
def test_a_case_runs_without_a_complaint(option_done: dict[str, Done], name: str) -> None:
    assert option_done[name].code == 0, option_done[name].err
    assert option_done[name].err == ""


@pytest.mark.parametrize("name", sorted(ALL - {"never", "jump", "actor_critic", "calendar"}))
def test_a_case_grows_its_network(runs: dict[str, Run], name: str) -> None:
    grown = runs[name]
    assert grown.summary["status"] == "finished"
    assert grown.moves("GERMINATED")
    assert grown.moves("BLENDING")
    assert max(line["params"] for line in grown.metrics) > grown.summary["params_initial"]


def test_a_policy_that_asks_for_it_doubles_the_host_and_tries_no_kernel(
    runs: dict[str, Run],
) -> None:
    grown = runs["calendar"]
    (resized,) = grown.of("resize")
    assert resized["parameters_after"] > 1.5 * resized["parameters_before"]
    assert grown.metrics[-1]["params"] == resized["parameters_after"]
    assert grown.moves("GERMINATED") == []


def test_an_untrained_control_waits(runs: dict[str, Run]) -> None:
    assert runs["actor_critic"].summary["status"] == "finished"
    assert runs["actor_critic"].moves("GERMINATED") == []


def test_without_a_jump_of_the_loss_that_trigger_waits(runs: dict[str, Run]) -> None:
    assert runs["jump"].moves("GERMINATED") == []
    reasons = {decision["reason"] for decision in runs["jump"].of("decision")}
    assert "training loss has no jump" in reasons


def test_what_a_network_began_with_does_not_depend_on_what_grew(runs: dict[str, Run]) -> None:
    dense = [name for name, case in CASES.items() if DENSE in case]
    (bare,) = {line["params"] for line in runs["never"].metrics}
    assert {runs[name].summary["params_initial"] for name in dense} == {bare}


@pytest.mark.parametrize(
    ("group", "option", "case"),
    [(group, option, case) for group, cases in COVERED.items() for option, case in cases.items()],
)
def test_the_option_was_the_one_that_ran(
    runs: dict[str, Run], group: str, option: str, case: str
) -> None:
    choices = (runs[case].path / ".hydra" / "hydra.yaml").read_text(encoding="utf-8")
    assert f"\n      {group}: {option}\n" in choices


@pytest.mark.parametrize("placement", Placement)
@pytest.mark.parametrize("kind", SlotKind)
def test_every_blueprint_is_blended_where_it_fits(
    runs: dict[str, Run], kind: SlotKind, placement: Placement
) -> None:
    every = catalogue.names()
    wanted = {name for name in every if (kind, placement) in catalogue.get(name).fits_in}
    outcomes = [judged["outcome"] for run in runs.values() for judged in run.of("reward")]
    blended = {
        outcome["blueprint"]
        for outcome in outcomes
        if (outcome["slot_kind"], outcome["placement"]) == (kind, placement)
        and outcome["gains"]
        and outcome["ablation"] is not None
    }
    assert blended == wanted


@pytest.mark.parametrize(
    ("case", "names"),
    [("standard", STANDARD[SlotKind.DENSE, Placement.PARALLEL]), ("fractions", LIGHT)],
)
def test_a_selection_offers_its_blueprints_alone(
    runs: dict[str, Run], case: str, names: tuple[str, ...]
) -> None:
    chosen = runs[case].of("selection")[0]
    offered = {chosen["blueprint"], *(each["blueprint"] for each in chosen["alternatives"])}
    assert offered <= set(names)
    assert len(offered) > 1


@pytest.mark.parametrize("strategy", OPTIONS["strategy"])
def test_a_strategy_chooses_among_several_seeds(runs: dict[str, Run], strategy: str) -> None:
    selections = runs[f"strategy_{strategy}"].of("selection")
    assert {selection["strategy"] for selection in selections} == {strategy}
    assert len(selections) > 3
    assert len(selections[0]["alternatives"]) == 3


def test_each_strategy_chooses_in_its_own_way(runs: dict[str, Run]) -> None:
    def chosen(strategy: str) -> list[Json]:
        return runs[f"strategy_{strategy}"].of("selection")

    def first_scores(strategy: str) -> dict[int, float]:
        first = chosen(strategy)[0]
        return {each["seed"]: each["score"] for each in (first, *first["alternatives"])}

    assert {selection["seed"] for selection in chosen("fixed")} == {0, None}
    assert [selection["seed"] for selection in chosen("round_robin")][:4] == [0, 1, 2, 3]
    # Before any trial the means are the ranks of the first-order scores, with the deviation 0.25.
    means = first_scores("epsilon_greedy")
    step = 0.25 / math.sqrt(1.25)
    ranks = [0.5 + step * (rank - 1.5) for rank in range(4)]
    assert sorted(means.values()) == pytest.approx(ranks)
    # All priors together are worth one trial, whose logarithm is 0.
    assert first_scores("ucb") == pytest.approx(means)
    assert all(0 < selection["score"] < 1 for selection in chosen("thompson"))
    orders = {tuple(each["seed"] for each in chosen(name)) for name in OPTIONS["strategy"]}
    assert len(orders) > 3
    told = {tuple(each["score"] for each in chosen(name)) for name in OPTIONS["strategy"]}
    assert len(told) == len(OPTIONS["strategy"])
