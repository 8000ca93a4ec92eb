"""`esper train-policy` repeats itself, survives kills, and learns from the trials of runs."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from esper.run.policy_training import rows
from esper.signals.gain_features import BLUEPRINTS, FEATURES
from esper.store.sqlite import read_file
from tests.gain_models import tiny_task, write_gain_model
from tests.integration.harness import lines_of
from tests.integration.in_process import code_of, summary_of

ROOT = Path(__file__).parents[2]
FILES = ("branches.jsonl", "planner.safetensors", "planner.json")
TINY = ["train-policy", "tasks=4", "learning.members=8"]
MOMENTS = (
    "replace:1", "batch:9", "torn:1", "fsync:1", "appended:1", "batch:300", "torn:2", "saving:1",
    "half_saved:1", "replace:2",
)  # fmt: skip
"""When the training is killed: each time in another process, which resumed the one before."""


@pytest.fixture(autouse=True)
def _tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rows, "training_task", tiny_task)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "training_task", tiny_task)
        assert code_of(*TINY, f"hydra.run.dir={folder}") == 0
    return folder


def contents(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in FILES}


def without_place(run: Path) -> dict[str, Any]:
    return {key: value for key, value in summary_of(run).items() if key != "wall_s"}


def test_a_training_measures_fits_and_evaluates(whole: Path) -> None:
    records = lines_of(whole / "branches.jsonl")
    assert [record["task"] for record in records] == [1000, 1001, 1002, 1003]
    branches = [branch for record in records for branch in record["branches"]]
    assert {len(branch["features"]) for branch in branches} == {len(FEATURES)}
    gains = [branch["gain"] for branch in branches]
    assert len(set(gains)) > 4
    health = FEATURES.index("linear_gain")
    assert any(branch["features"][health] not in (None, 0.0) for branch in branches)
    facts = json.loads((whole / "planner.json").read_text(encoding="utf-8"))
    assert facts["command"] == (
        "esper train-policy rng_seed=0 tasks=4 first_task=1000 learning.members=8 policy=planner "
        "store=memory"
    )
    assert facts["rows"] == len(gains) == summary_of(whole)["rows"]
    judged = facts["evaluation"]
    assert judged["best"] >= max(judged["chosen"], judged["random"])
    assert 0 <= judged["top_1"] <= 1


@pytest.mark.slow
def test_ten_kills_change_no_file(whole: Path, tmp_path: Path) -> None:
    driver = "tests.integration.killed_training"
    done = subprocess.run(
        [sys.executable, "-m", driver, "planner", str(tmp_path / "run"), *MOMENTS],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert contents(tmp_path / "run") == contents(whole)
    assert without_place(tmp_path / "run") == without_place(whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_training_which_then_continues(
    number: signal.Signals,
    whole: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def stopping(index: int) -> Any:
        if index == 1002:
            os.kill(os.getpid(), number)
        return tiny_task(index)

    monkeypatch.setattr(rows, "training_task", stopping)
    assert code_of(*TINY, "hydra.run.dir=run") == 130
    printed = capfd.readouterr()
    assert "2/4  task 1001" in printed.out
    assert "interrupted; to continue: esper train-policy --resume" in printed.err
    assert summary_of(Path("run"))["status"] == "interrupted"
    assert len(lines_of(Path("run/branches.jsonl"))) == 2
    monkeypatch.setattr(rows, "training_task", tiny_task)
    assert code_of("train-policy", "--resume", "run") == 0
    assert contents(Path("run")) == contents(whole)


def test_more_tasks_continue_a_finished_training_as_if_it_had_them_from_the_start(
    whole: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert code_of(*TINY[:1], "tasks=5", "learning.members=8", "hydra.run.dir=five") == 0
    assert code_of(*TINY, "hydra.run.dir=run") == 0
    assert contents(Path("run")) == contents(whole)
    assert code_of("train-policy", "--resume", "run") == 0
    assert "run is finished; to continue it, give it more tasks than 4" in capfd.readouterr().out
    assert code_of("train-policy", "--resume", "run", "tasks=5") == 0
    assert contents(Path("run")) == contents(Path("five"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["policy=never"], "(planner, gnn, hierarchical, actor_critic), got never"),
        (["policy.price=0.3"], "policy.price=0.3 has no effect: it is a key of `esper train`"),
        (["tasks=3"], "tasks must be >= 4, got 3"),
        (["learning.members=1"], "learning.members must be >= 2, got 1"),
        (["learning.member=4"], "unknown key learning.member; did you mean learning.members?"),
        (["-m", "rng_seed=0,1"], "train-policy takes no -m: one command trains one policy"),
        (["--resume", "whole", "rng_seed=1"], "another configuration: rng_seed was 0, is 1 now"),
        (["--resume", "whole", "tasks=4", "first_task=0"], "first_task was 1000, is 0 now"),
        (["hydra.run.dir=whole"], "hydra.run.dir=whole holds a run already"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_line(
    arguments: list[str], said: str, whole: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("whole").symlink_to(whole)
    before = contents(whole)
    assert code_of("train-policy", *arguments) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert said in line
    assert contents(whole) == before
    assert not list(Path().glob("policies/*/*/branches.jsonl"))


def test_each_command_resumes_its_own_runs(whole: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert code_of("train", "--resume", str(whole)) == 1
    assert "is continued by another command: esper train-policy" in capfd.readouterr().err


RUN = [
    "train", "logger=none", "data=spirals", "data.num_samples=300", "model=mlp", "epochs=12",
    "model.hidden=[16,16]", "training.steps_per_epoch=8", "safety.max_cost=99", "policy=planner",
    "policy.path=given", "store=sqlite", "store.path=trials.db",
]  # fmt: skip


def test_a_policy_learns_from_the_settled_trials_of_its_runs(whole: Path) -> None:
    write_gain_model(Path("given"), bias=1.0, log_first_order=0.1)
    for rng_seed in (0, 1):
        assert code_of(*RUN, f"rng_seed={rng_seed}") == 0
    entries = [entry for entry in read_file(Path("trials.db")) if entry.features]
    settled = [entry for entry in entries if entry.loss_reduction is not None]
    assert len({entry.run for entry in settled}) == 2
    columns = [BLUEPRINTS.index(entry.blueprint) for entry in entries]
    start = FEATURES.index(BLUEPRINTS[0])
    assert [
        entry.features[start + column] for entry, column in zip(entries, columns, strict=True)
    ] == [1.0] * len(entries)
    assert {entry.shown for entry in entries} == {0.25}
    learned = ["store=sqlite", "store.path=trials.db"]
    assert code_of(*TINY, *learned, "hydra.run.dir=run") == 0
    assert summary_of(Path("run"))["settled_rows"] == len(settled) > 0
    run, other = contents(Path("run")), contents(whole)
    assert run["branches.jsonl"] == other["branches.jsonl"]
    assert run["planner.safetensors"] != other["planner.safetensors"]
    assert code_of(*RUN, "policy.path=run/planner", "rng_seed=2") == 0


def test_a_missing_model_is_refused_in_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    assert code_of(*RUN) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert "policy.path: the gain model given.json or given.safetensors is missing" in line
