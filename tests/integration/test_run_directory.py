"""The run directory is a contract: which files there are, and what each line of them holds."""

from typing import Any

import pytest
import yaml

from esper.contracts.stage import ALLOWED_MOVES, SeedStage
from tests.integration.harness import Done, Json, Run, leaves, strict_json
from tests.unit.logger.test_wandb import settled

CHECKPOINTS = {
    f"checkpoints/{name}/{file}"
    for name in ("last", "previous", "best")
    for file in ("manifest.json", "state.json", "tensors.safetensors")
}
FILES = CHECKPOINTS | {
    ".hydra/command.json",
    ".hydra/config.yaml",
    ".hydra/hydra.yaml",
    ".hydra/overrides.yaml",
    "config.json",
    "metrics.jsonl",
    "events.jsonl",
    "summary.json",
    "network.safetensors",
}

METRICS = {
    "epoch",
    "train_loss",
    "val_loss",
    "train_accuracy",
    "val_accuracy",
    "params",
    "live_seeds",
    "flops",
    "step_ms",
    "control_ms",
    "attribution_ms",
    "probe_ms",
    "checkpoint_ms",
    "learning_rate",
    "seeds",
}

SUMMARY = {
    "status",
    "epochs",
    "rng_seed",
    "test_accuracy",
    "test_loss",
    "best_val_accuracy",
    "read_out_epoch",
    "read_out_val_accuracy",
    "params_initial",
    "params_final",
    "train_flops",
    "final_plain_flops",
    "cost_ratio",
    "wall_s",
    "processor_s",
    "peak_memory_mb",
    "control_fraction",
    "seeds_germinated",
    "seeds_fossilized",
    "seeds_culled",
    "decisions",
    "adaptations_succeeded",
    "expected_vs_measured",
    "rollbacks",
    "ledger_entries_read",
    "ledger_snapshot",
    "strategy",
    "orchestrator",
    "policy",
    "git_sha",
    "versions",
}

EVENTS: dict[str, list[str]] = {
    "decision": ["decision_kind", "slot", "seed", "adaptation", "confidence", "risk", "reason"],
    "plan": ["slot", "plan_kind", "changes", "reasoning", "risk", "expected_improvement"],
    "selection": ["strategy", "slot", "seed", "blueprint", "score", "alternatives", "reason"],
    "kernel": ["slot", "seed", "blueprint", "parameters", "flops", "build_ms", "error"],
    "lifecycle": ["slot", "seed", "blueprint", "from_stage", "to_stage", "gate", "reason"],
    "health": ["slot", "seed", "blueprint", "gradient_norm", "finite"],
    "performance": [
        "slot",
        "seed",
        "alpha",
        "ablation",
        "gain",
        "gain_error",
        "composite",
        "method",
    ],
    "reward": ["outcome", "reward", "epochs_after_keeping"],
    "ledger": ["slot", "seed", "blueprint", "trials", "mean_reward", "standard_error", "reward"],
    "policy_update": ["policy", "values"],
}
"""The kinds that a default run has; `safety` and others come with what goes wrong."""

REASONS = {"decision": "reason", "plan": "reasoning", "selection": "reason", "lifecycle": "reason"}


@pytest.fixture(scope="module")
def run(default_done: Done) -> Run:
    return default_done.run


def test_every_file_is_there_and_none_is_half_written(run: Run) -> None:
    found = {str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()}
    assert found >= FILES
    rest = {name for name in found - FILES if not name.startswith("wandb/")}
    assert rest == set()


def test_the_folder_of_hydra_says_how_to_repeat_the_run(
    run: Run, default_command: list[str]
) -> None:
    config = yaml.safe_load((run.path / ".hydra" / "config.yaml").read_text())
    assert config["rng_seed"] == run.summary["rng_seed"]
    assert config["strategy"] == {"exploration_constant": 2.0, "first_order_weight": 0.25}
    overrides = yaml.safe_load((run.path / ".hydra" / "overrides.yaml").read_text())
    assert overrides == default_command[1:]


def test_the_checked_options_are_plain_values_with_the_names_of_the_groups(run: Run) -> None:
    config = strict_json((run.path / "config.json").read_text(encoding="utf-8"))
    assert config["rng_seed"] == run.summary["rng_seed"]
    options = {"exploration_constant": 2.0, "first_order_weight": 0.25}
    assert config["strategy"] == {"name": "ucb", **options}
    manifest = (run.path / "checkpoints" / "last" / "manifest.json").read_text(encoding="utf-8")
    assert strict_json(manifest)["facts"]["config"] == config


def test_there_is_a_line_an_epoch_with_every_key(run: Run) -> None:
    assert [line["epoch"] for line in run.metrics] == list(range(1, 41))
    for line in run.metrics:
        assert set(line) >= METRICS
        for seed in line["seeds"]:
            assert {"slot", "seed", "stage", "alpha", "ablation", "gain"} <= set(seed)
            assert seed["stage"] in list(SeedStage)


def test_accuracies_are_fractions_and_times_are_not_negative(run: Run) -> None:
    for path, value in leaves([run.metrics, run.summary]):
        name = path.rpartition("/")[2]
        if "accuracy" in name:
            assert 0 <= value <= 1, path
        if name.endswith(("_ms", "_s")):
            assert value >= 0, path
    assert 0 < run.summary["control_fraction"] < 1


def test_what_is_known_is_no_null(run: Run) -> None:
    unknown = {path.rpartition("/")[2] for path, value in leaves(run.metrics) if value is None}
    assert unknown <= {"ablation", "gain"}


def test_the_summary_has_every_key(run: Run) -> None:
    assert set(run.summary) >= SUMMARY
    assert run.summary["status"] == "finished"
    assert run.summary["epochs"] == 40
    best = max(line["val_accuracy"] for line in run.metrics)
    assert run.summary["best_val_accuracy"] == best
    of_read_out = run.metrics[run.summary["read_out_epoch"] - 1]["val_accuracy"]
    assert run.summary["read_out_val_accuracy"] == of_read_out <= best
    assert run.summary["git_sha"] is None, "the run was not started in a repository"
    assert run.summary["strategy"] == "ucb"
    assert {"python", "esper", "torch"} <= set(run.summary["versions"])


@pytest.mark.parametrize("kind", EVENTS)
def test_every_event_of_a_kind_has_its_fields(run: Run, kind: str) -> None:
    events = run.of(kind)
    assert events, "a default run has some"
    for event in events:
        assert list(event)[:3] == ["time", "epoch", "kind"]
        assert set(EVENTS[kind]) <= set(event)


@pytest.mark.parametrize(("kind", "field"), REASONS.items())
def test_everything_decided_carries_its_reason(run: Run, kind: str, field: str) -> None:
    assert all(event[field].strip() for event in run.of(kind))


def test_events_come_in_order(run: Run) -> None:
    times = [event["time"] for event in run.events]
    epochs = [event["epoch"] for event in run.events]
    assert times == sorted(times)
    assert epochs == sorted(epochs)
    assert {1, 40} <= set(epochs)


def test_every_move_is_one_of_the_lifecycle_table(run: Run) -> None:
    stages: dict[tuple[str, int], str] = {}
    for move in run.of("lifecycle"):
        key = move["slot"], move["seed"]
        assert move["from_stage"] == stages.get(key, "DORMANT")
        assert SeedStage(move["to_stage"]) in ALLOWED_MOVES[SeedStage(move["from_stage"])]
        stages[key] = move["to_stage"]


def test_every_gate_that_was_passed_tells_what_it_measured(run: Run) -> None:
    gated = [move for move in run.of("lifecycle") if move["gate"] is not None]
    entered = {move["to_stage"] for move in gated}
    assert {"TRAINING", "BLENDING", "SHADOWING", "PROBATIONARY"} <= entered
    for move in gated:
        assert move["gate"]["passed"] == all(check["passed"] for check in move["gate"]["checks"])
        assert move["gate"]["passed"] or move["to_stage"] == "CULLED"


def test_every_settled_seed_was_judged_and_entered_in_the_ledger(run: Run) -> None:
    settled = len(run.moves("FOSSILIZED")) + len(run.moves("CULLED"))
    verdicts = [each for each in run.of("reward") if each["epochs_after_keeping"] is None]
    assert len(verdicts) == settled
    assert len(run.of("reward")) == len(run.of("ledger"))
    for judged in run.of("reward"):
        assert -1 <= judged["reward"]["total"] <= 1
        assert judged["reward"]["explanation"]


@pytest.fixture(scope="module")
def wandb(run: Run) -> list[Any]:
    (file,) = run.path.glob("wandb/offline-run-*/run-*.wandb")
    return settled(file)


def history(wandb: list[Any]) -> list[Json]:
    """Return the rows that were logged, keys as `slot/block1/0/alpha`."""
    rows = [record.history for record in wandb if record.WhichOneof("record_type") == "history"]
    return [
        {item.key or "/".join(item.nested_key): item.value_json for item in row.item}
        for row in rows
    ]


def test_wandb_holds_losses_accuracies_stages_and_alphas(run: Run, wandb: list[Any]) -> None:
    logged = [row for row in history(wandb) if "val/loss" in row]
    assert [float(row["val/loss"]) for row in logged] == pytest.approx(
        [line["val_loss"] for line in run.metrics]
    )
    assert [float(row["val/accuracy"]) for row in logged] == pytest.approx(
        [line["val_accuracy"] for line in run.metrics]
    )
    for line, row in zip(run.metrics, logged, strict=True):
        for seed in line["seeds"]:
            prefix = f"slot/{seed['slot']}/{seed['seed']}"
            assert float(row[f"{prefix}/alpha"]) == pytest.approx(seed["alpha"])
            assert int(row[f"{prefix}/stage"]) == list(SeedStage).index(seed["stage"])
    assert float(logged[-1]["decisions/adapt"]) == len(
        [each for each in run.of("decision") if each["decision_kind"] == "adapt"]
    )


def test_wandb_holds_configuration_tables_and_the_end(run: Run, wandb: list[Any]) -> None:
    kinds = [record.WhichOneof("record_type") for record in wandb]
    assert kinds.count("exit") == 1
    (begun,) = [record.run for record in wandb if record.WhichOneof("record_type") == "run"]
    config = {item.key: item.value_json for item in begun.config.update}
    assert config["rng_seed"] == str(run.summary["rng_seed"])
    assert begun.project == "esper"
    tables = {key for row in history(wandb) for key in row if key.startswith("events/")}
    assert {f"events/{kind}" for kind in REASONS} <= {
        "/".join(key.split("/")[:2]) for key in tables
    }
    (file,) = run.path.glob("wandb/offline-run-*/files/media/table/events/decision_*.json")
    assert len(yaml.safe_load(file.read_text())["data"]) == len(run.of("decision"))
