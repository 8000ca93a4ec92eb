"""What each option does that others do not, seen in the runs that exercise them all."""

import json
import math
from pathlib import Path

import pytest

from esper.contracts.ledger import LedgerEntry
from esper.store.sqlite import SQLite
from experiments.chaos.left import without_clock
from tests.integration.harness import Done, Json, Run, is_rising
from tests.integration.option_cases import SERVED

COMPONENTS = {"accuracy", "speed", "memory", "stability", "cost", "risk"}


@pytest.fixture
def runs(option_runs: dict[str, Run]) -> dict[str, Run]:
    return option_runs


@pytest.fixture
def done(option_done: dict[str, Done]) -> dict[str, Done]:
    return option_done


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
    names = {change["blueprint"] for change in plan}
    assert len(names) == len(plan) > 4
    assert [change["alpha_target"] for change in plan] == pytest.approx([1 / len(plan)] * len(plan))
    assert max(line["live_seeds"] for line in runs[case].metrics) == len(plan)


def test_never_changes_nothing(runs: dict[str, Run]) -> None:
    assert {event["kind"] for event in runs["never"].events} == {"decision", "checkpoint"}
    assert {decision["decision_kind"] for decision in runs["never"].of("decision")} == {"wait"}
    assert len({line["params"] for line in runs["never"].metrics}) == 1


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("standard", "growth event 1"),
        ("random_policy", "drawn for growth event 1"),
        ("planner", "promises a gain of"),
        ("fractions", "growth event 1"),
        ("slope", "train loss falls by"),
        ("plateau", "plateau"),
        ("wandb", "no trial for 6 epochs"),
    ],
)
def test_a_policy_says_why_it_grew(runs: dict[str, Run], case: str, words: str) -> None:
    assert words in runs[case].moves("GERMINATED")[0]["reason"]


@pytest.mark.parametrize(
    ("case", "components"),
    [
        ("strategy_ucb", COMPONENTS),
        ("maps_series", {"accuracy", "cost"}),
        ("tokens_parallel", {"accuracy", "cost"}),
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
    """The cases start alike, so a twin's training is all that one costs more in its first epoch."""
    cases = {"standard": "muting", "ablation": "ablation", "twin": "twin"}
    for case, method in cases.items():
        measured = runs[case].of("performance")
        assert {each["method"] for each in measured} == {method}
        # Gains of later looks are means over the looks.
        first = [each for each in measured if each["age"] == 4]
        assert first
        for each in first:
            is_own = each["gain"] == pytest.approx(each["ablation"], rel=1e-6)
            assert is_own is (case != "twin")
    host, alone = (line["flops"] for line in runs["ablation"].metrics[:2])
    assert alone > host
    assert runs["standard"].metrics[1]["flops"] == alone
    assert runs["twin"].metrics[1]["flops"] == alone + host


def test_a_run_can_go_on_from_the_twin(runs: dict[str, Run]) -> None:
    """The cases are the same but for what a cull leaves behind."""
    removed, replaced = runs["twin"], runs["on_cull_twin"]
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
    assert first.summary["ledger_entries_read"] == 0
    assert again.summary["ledger_entries_read"] == 1
    snapshot = (again.path / "ledger_snapshot.json").read_text(encoding="utf-8")
    assert f'"blueprint": "{tried}"' in snapshot
    (chosen,) = again.of("selection")
    # At first the means are the ranks of the first-order scores; a trial moves one.
    scores = {each["blueprint"]: each["score"] for each in (chosen, *chosen["alternatives"])}
    (before,) = first.of("selection")
    priors = {each["blueprint"]: each["score"] for each in (before, *before["alternatives"])}
    assert priors.keys() == scores.keys()
    lowest, *_, highest = sorted(priors.values())
    assert highest - lowest == pytest.approx(3 * 0.25 / math.sqrt(1.25))
    assert scores[tried] < max(scores.values())
    assert chosen["blueprint"] != tried


def test_a_run_is_repeated_from_what_it_had_read(runs: dict[str, Run]) -> None:
    again, snapshot = runs["again"], runs["snapshot"]
    assert without_clock(snapshot.metrics) == without_clock(again.metrics)
    files = [each.path / "ledger_snapshot.json" for each in (again, snapshot)]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert len(entries_in(again.path.parents[3] / "ledger.db")) == 2, "it added nothing"


def entries_in(path: Path) -> list[LedgerEntry]:
    store = SQLite(str(path)).open()
    found = store.load()
    store.close()
    return found


def test_a_server_holds_ledger_and_events(runs: dict[str, Run], done: dict[str, Done]) -> None:
    run = runs["redis"]
    held = json.loads((done["redis"].cwd.parent / SERVED).read_text(encoding="utf-8"))
    entries, messages = held["esper:ledger:4"], held["case"]
    stored = [json.loads(fields["entry"]) for fields in entries]
    judged = [(each["outcome"], each["reward"]["total"]) for each in run.of("reward")]
    latest = {f"{o['slot']}/{o['seed']}/{o['activation']}": total for o, total in judged}
    assert {entry["event"]: entry["reward"] for entry in stored} == latest
    told = [json.loads(fields["body"]) for fields in messages if fields["type"] == "event"]
    assert without_clock(told) == without_clock(run.events)
    assert [json.loads(messages[-1]["body"])] == [run.summary]


def test_tensorboard_is_written_where_it_belongs(runs: dict[str, Run]) -> None:
    assert list((runs["custom"].path / "tensorboard").glob("events.out.tfevents.*"))


def test_no_logger_leaves_nothing_but_the_record(runs: dict[str, Run]) -> None:
    assert {path.name for path in runs["standard"].path.iterdir()} == {
        ".hydra",
        "checkpoints",
        "config.json",
        "metrics.jsonl",
        "events.jsonl",
        "summary.json",
        "network.safetensors",
    }


def test_a_network_of_ones_own_grows_in_its_own_blocks(runs: dict[str, Run]) -> None:
    assert {move["slot"] for move in runs["custom"].moves("GERMINATED")} <= {"1", "2", "2.inner"}
