"""Every option of every group runs through the command line and really does what it is for."""

from pathlib import Path

import pytest

from esper.blueprint import catalogue
from esper.blueprint.catalogue import LIGHT, STANDARD
from esper.contracts.slot import Placement, SlotKind
from esper.growth.options import ATTRIBUTIONS, ON_CULL, RAMPS
from esper.options import OPTIONS
from esper.policy.growable import ADDING
from esper.policy.trigger import TRIGGERS
from esper.training.options import OPTIMIZERS, SCHEDULES
from tests.integration.harness import Done, Json, Run, esper, esper_all, is_rising
from tests.integration.option_cases import AGAIN, CASES, COVERED, OWN_NETWORK, STRATEGIES, SWEEP

COMPONENTS = {"accuracy", "speed", "memory", "stability", "cost", "risk"}
WORDS = {
    "growth.ramp": RAMPS,
    "growth.on_cull": ON_CULL,
    "growth.attribution": ATTRIBUTIONS,
    "policy.trigger": TRIGGERS,
    "policy.adaptation": ADDING,
    "training.optimizer": OPTIMIZERS,
    "training.schedule": SCHEDULES,
    "model.placement": tuple(Placement),
    "reward.clock": ("flops", "wall"),
}
ALL = {*CASES, *COVERED["strategy"].values()}
DEFAULTS = {
    "linear",
    "remove",
    "twin",
    "early",
    "add_neurons",
    "adamw",
    "wsd",
    "flops",
}
"""The words that every case has that does not say otherwise."""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    folder: Path = tmp_path_factory.mktemp("options")
    (folder / "book.txt").write_text("the quick brown fox jumps over the lazy dog. " * 200)
    (folder / "custom").mkdir()
    (folder / "custom" / "mine.py").write_text(OWN_NETWORK)
    commands = {name: command(case) for name, case in CASES.items()}
    found = esper_all(folder, {"sweep": ["train", "-m", *command(SWEEP)[1:]], **commands})
    return {**found, "again": esper(folder / "again", command(AGAIN))}


def command(overrides: str) -> list[str]:
    return ["train", "logger=none", *overrides.split()]


@pytest.fixture(scope="module")
def runs(done: dict[str, Done], default_done: Done) -> dict[str, Run]:
    (sweep,) = done["sweep"].cwd.glob("sweeps/train/*")
    jobs = {f"strategy_{name}": Run(sweep / str(job)) for job, name in enumerate(STRATEGIES)}
    single = {name: each.run for name, each in done.items() if name != "sweep"}
    return {**jobs, **single, "wandb": default_done.run}


def test_no_option_is_left_out() -> None:
    assert {group: set(cases) for group, cases in COVERED.items()} == {
        group: set(options) for group, options in OPTIONS.items()
    }
    assert {case for cases in COVERED.values() for case in cases.values()} <= {*ALL, "wandb"}


@pytest.mark.parametrize(("key", "words"), WORDS.items())
def test_no_word_of_a_key_is_left_out(key: str, words: tuple[str, ...]) -> None:
    typed = " ".join(CASES.values()).split()
    assert [word for word in words if f"{key}={word}" not in typed and word not in DEFAULTS] == []


@pytest.mark.parametrize("name", ["sweep", "again", *CASES])
def test_a_case_runs_without_a_complaint(done: dict[str, Done], name: str) -> None:
    assert done[name].code == 0, done[name].err
    assert done[name].err == ""


@pytest.mark.parametrize("name", sorted(ALL - {"never"}))
def test_a_case_grows_its_network(runs: dict[str, Run], name: str) -> None:
    grown = runs[name]
    assert grown.summary["status"] == "finished"
    assert grown.moves("GERMINATED")
    assert grown.moves("BLENDING")
    assert max(line["params"] for line in grown.metrics) > grown.summary["params_initial"]


def test_what_a_network_began_with_does_not_depend_on_what_grew(runs: dict[str, Run]) -> None:
    dense = [name for name, case in CASES.items() if "model=mlp" in case]
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

    assert {selection["seed"] for selection in chosen("fixed")} == {0, None}
    assert [selection["seed"] for selection in chosen("round_robin")][:4] == [0, 1, 2, 3]
    assert chosen("ucb")[0]["reason"].startswith("untried")
    assert all(0 < selection["score"] < 1 for selection in chosen("thompson"))
    orders = {tuple(each["seed"] for each in chosen(name)) for name in OPTIONS["strategy"]}
    assert len(orders) > 3


def changes(run: Run, kind: str) -> list[list[Json]]:
    return [plan["changes"] for plan in run.of("plan") if plan["plan_kind"] == kind]


def test_replace_gives_a_live_seed_another_kernel(runs: dict[str, Run]) -> None:
    first, second = changes(runs["replace"], "replace")
    assert [change["action"] for change in first] == ["germinate"]
    assert [change["action"] for change in second] == ["cull", "germinate"]
    assert second[0]["seed"] == second[1]["seed"]
    one, other = runs["replace"].moves("GERMINATED")
    assert one["seed"] == other["seed"]
    assert one["blueprint"] != other["blueprint"]


def test_specialize_gives_the_better_seed_more_weight(runs: dict[str, Run]) -> None:
    plans = [plan for plan in changes(runs["specialize"], "specialize") if plan]
    assert [[change["action"] for change in plan] for plan in plans] == [
        ["germinate"],
        ["retarget"],
        ["retarget"],
    ]
    assert [change["alpha_target"] for plan in plans for change in plan] == [0.6, 0.8, 1.0]
    stages = [move["from_stage"] for move in runs["specialize"].moves("BLENDING")]
    assert stages == ["TRAINING", "SHADOWING", "SHADOWING"]
    alphas = [seed["alpha"] for line in runs["specialize"].metrics for seed in line["seeds"]]
    assert is_rising(alphas)
    assert {0.0, 0.6, 0.8, 1.0} == set(alphas)


@pytest.mark.parametrize(("case", "target"), [("auto", 1.0), ("diversify", 0.5)])
def test_diversify_germinates_different_blueprints(
    runs: dict[str, Run], case: str, target: float
) -> None:
    (plan,) = changes(runs[case], "diversify")
    assert [change["alpha_target"] for change in plan] == [target, target]
    one, other = runs[case].moves("GERMINATED")
    assert (one["epoch"], one["slot"]) == (other["epoch"], other["slot"])
    assert one["blueprint"] != other["blueprint"]
    alphas = [seed["alpha"] for line in runs[case].metrics for seed in line["seeds"]]
    assert max(alphas) == target


@pytest.mark.parametrize("case", ["dense_series", "dense_parallel"])
def test_ensemble_shares_alpha_evenly(runs: dict[str, Run], case: str) -> None:
    (plan,) = changes(runs[case], "ensemble")
    assert [change["alpha_target"] for change in plan] == [pytest.approx(1 / 9)] * 9
    assert max(line["live_seeds"] for line in runs[case].metrics) == 9


def test_never_changes_nothing(runs: dict[str, Run]) -> None:
    assert {event["kind"] for event in runs["never"].events} == {"decision"}
    assert {decision["decision_kind"] for decision in runs["never"].of("decision")} == {"wait"}
    assert len({line["params"] for line in runs["never"].metrics}) == 1


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("standard", "growth event 1"),
        ("random_policy", "drawn for growth event 1"),
        ("fractions", "growth event 1"),
        ("slope", "train loss falls by"),
        ("plateau", "plateau"),
        ("wandb", "growth event 1"),
    ],
)
def test_a_policy_says_why_it_grew(runs: dict[str, Run], case: str, words: str) -> None:
    assert words in runs[case].moves("GERMINATED")[0]["reason"]


@pytest.mark.parametrize(
    ("case", "components"),
    [
        ("strategy_ucb", COMPONENTS),
        ("maps_series", {"accuracy", "cost"}),
        ("tokens_parallel", {"accuracy"}),
    ],
)
def test_a_reward_tells_its_components(
    runs: dict[str, Run], case: str, components: set[str]
) -> None:
    rewards = [judged["reward"] for judged in runs[case].of("reward")]
    assert len(rewards) > 3
    for reward in rewards:
        assert set(reward["components"]) == components
        assert -1 <= reward["total"] <= 1
    assert len({reward["total"] for reward in rewards}) > 1


def test_a_slow_ramp_rises_step_by_step(runs: dict[str, Run]) -> None:
    seeds = [seed for line in runs["slow_ramp"].metrics for seed in line["seeds"]]
    alphas = [seed["alpha"] for seed in seeds]
    assert is_rising(alphas)
    assert len([alpha for alpha in alphas if 0 < alpha < 1]) == 2
    assert alphas[-1] == 1.0


def test_credit_is_given_by_the_chosen_method(runs: dict[str, Run]) -> None:
    """The cases differ in the method alone, so a twin's training is all that one costs more."""
    muted, twin = runs["ablation"], runs["remove"]
    for run, method in ((muted, "ablation"), (twin, "twin")):
        assert {each["method"] for each in run.of("performance")} == {method}
    assert all(each["gain"] == each["ablation"] for each in muted.of("performance"))
    assert any(each["gain"] != each["ablation"] for each in twin.of("performance"))
    host, alone = muted.metrics[0]["flops"], muted.metrics[1]["flops"]
    assert alone > host
    assert twin.metrics[1]["flops"] >= alone + host


def test_a_run_can_go_on_from_the_twin(runs: dict[str, Run]) -> None:
    """The cases are the same but for what a cull leaves behind."""
    removed, replaced = runs["remove"], runs["on_cull_twin"]
    (cull,) = removed.moves("CULLED")
    losses = [[line["val_loss"] for line in run.metrics] for run in (removed, replaced)]
    assert [move["epoch"] for move in replaced.moves("CULLED")] == [cull["epoch"]]
    assert losses[0][: cull["epoch"]] == losses[1][: cull["epoch"]]
    assert cull["epoch"] < 10
    for one, other in zip(*(each[cull["epoch"] :] for each in losses), strict=True):
        assert one != other


def test_a_store_hands_on_what_was_learned(runs: dict[str, Run], done: dict[str, Done]) -> None:
    first, again = runs["store"], runs["again"]
    assert (done["store"].cwd.parent / "ledger.db").exists()
    (settled,) = first.of("reward")
    tried = settled["outcome"]["blueprint"]
    assert not (first.path / "ledger_snapshot.json").exists()
    snapshot = (again.path / "ledger_snapshot.json").read_text(encoding="utf-8")
    assert f'"blueprint": "{tried}"' in snapshot
    (chosen,) = again.of("selection")
    known = [each["blueprint"] for each in chosen["alternatives"] if each["score"] is not None]
    assert known == [tried]
    assert chosen["blueprint"] != tried


def test_tensorboard_is_written_where_it_belongs(runs: dict[str, Run]) -> None:
    assert list((runs["custom"].path / "tensorboard").glob("events.out.tfevents.*"))


def test_no_logger_leaves_nothing_but_the_record(runs: dict[str, Run]) -> None:
    assert {path.name for path in runs["standard"].path.iterdir()} == {
        ".hydra",
        "metrics.jsonl",
        "events.jsonl",
        "summary.json",
        "network.safetensors",
    }


def test_a_network_of_ones_own_grows_in_its_own_blocks(runs: dict[str, Run]) -> None:
    assert {move["slot"] for move in runs["custom"].moves("GERMINATED")} <= {"1", "2", "2.inner"}
