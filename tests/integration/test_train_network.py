"""`esper train-policy policy=gnn` repeats itself, survives kills, and its network decides."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from esper.learning.reading import from_text
from esper.run.policy_training import rollouts
from esper.signals.gain_features import BLUEPRINTS, FEATURES
from esper.store.sqlite import read_file
from tests.gain_models import tiny_task, write_gain_model
from tests.integration.harness import lines_of
from tests.integration.in_process import TINY, code_of, only, summary_of
from tests.integration.tiny_policies import LEARNED, NETWORK, PLAYED, use_tiny_tasks

ROOT = Path(__file__).parents[2]
FILES = ("learning.jsonl", "gnn.safetensors", "gnn.json")
MOMENTS = (
    "batch:3", "rename:1", "updated:1", "fsync:3", "saved:1", "replace:2", "updated:1", "rename:1",
    "batch:9", "saving:1", "half_saved:1", "replace:1", "replace:2",
)  # fmt: skip
"""When the training is killed: each time in another process, which resumed the one before."""


@pytest.fixture(autouse=True)
def _tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    use_tiny_tasks(monkeypatch)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        use_tiny_tasks(patch)
        assert code_of(*NETWORK, f"hydra.run.dir={folder}") == 0
    return folder


def contents(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in FILES}


def without_place(run: Path) -> dict[str, Any]:
    return {key: value for key, value in summary_of(run).items() if key != "wall_s"}


def test_a_training_plays_learns_and_is_judged(whole: Path) -> None:
    lines = lines_of(whole / "learning.jsonl")
    assert [line["update"] for line in lines] == [1, 2, 3]
    assert all(line["kl"] > 0 and line["gradient_norm"] > 0 for line in lines)
    assert all(line["decisions"] > 4 for line in lines)
    facts = json.loads((whole / "gnn.json").read_text(encoding="utf-8"))
    assert facts["command"] == (
        "esper train-policy rng_seed=0 tasks=6 first_task=2000 check_tasks=2 learning.hidden=8 "
        "learning.dropout=0.1 learning.tasks_at_once=2 learning.rollouts=2 learning.replay=100 "
        "policy=gnn store=memory"
    )
    assert (facts["updates"], facts["episodes"]) == (3, 12)
    assert len(facts["spreads"]) == facts["evaluation"]["decisions"] > 0
    heads = load_file(whole / "gnn.safetensors")
    assert all(heads[f"{name}.last.weight"].any() for name in ("offer", "wait", "value"))


def test_the_same_command_gives_the_same_files(whole: Path) -> None:
    assert code_of(*NETWORK, "hydra.run.dir=again") == 0
    assert contents(Path("again")) == contents(whole)


@pytest.mark.slow
def test_thirteen_kills_change_no_file(whole: Path, tmp_path: Path) -> None:
    driver = "tests.integration.killed_training"
    done = subprocess.run(
        [sys.executable, "-m", driver, "network", str(tmp_path / "run"), *MOMENTS],
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
        if index == 2002:
            os.kill(os.getpid(), number)
        return tiny_task(index)

    monkeypatch.setattr(rollouts, "training_task", stopping)
    assert code_of(*NETWORK, "hydra.run.dir=run") == 130
    printed = capfd.readouterr()
    assert "1/3  return " in printed.out
    assert "interrupted; to continue: esper train-policy --resume" in printed.err
    assert len(lines_of(Path("run/learning.jsonl"))) == 1
    monkeypatch.setattr(rollouts, "training_task", tiny_task)
    assert code_of("train-policy", "--resume", "run") == 0
    assert contents(Path("run")) == contents(whole)


def test_more_tasks_continue_a_finished_training(
    whole: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert code_of(*NETWORK, "tasks=8", "hydra.run.dir=four") == 0
    assert code_of(*NETWORK, "hydra.run.dir=run") == 0
    assert code_of("train-policy", "--resume", "run") == 0
    assert "run is finished; to continue it, give it more tasks than 6" in capfd.readouterr().out
    assert code_of("train-policy", "--resume", "run", "tasks=8") == 0
    assert contents(Path("run")) == contents(Path("four"))


def test_a_damaged_checkpoint_gives_way_to_the_one_before(whole: Path) -> None:
    assert code_of(*NETWORK, "hydra.run.dir=run") == 0
    (Path("run/summary.json")).unlink()
    (Path("run/checkpoints/last/state.json")).write_text("torn")
    assert code_of("train-policy", "--resume", "run") == 0
    assert contents(Path("run")) == contents(whole)


RUN = [
    "train", *TINY, "data=spirals", "data.num_samples=300", "model=mlp", "model.hidden=[16,16]",
    "policy=gnn", "epochs=8", "training.steps_per_epoch=8", "safety.max_cost=99",
]  # fmt: skip


def test_a_trained_network_decides_in_a_run(whole: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = whole / "gnn"
    assert code_of(*RUN, f"policy.pretrained={path}", "policy.threshold=-9") == 0
    events = lines_of(only("runs/train/*/events.jsonl"))
    reasons = [e["reason"] for e in events if e["kind"] == "decision" and e["slot"]]
    assert any("the network ranks it" in reason for reason in reasons)
    more = [f"policy.pretrained={path}", "policy.uncertainty=dropout", "hydra.run.dir=dropout"]
    assert code_of(*RUN, *more) == 0
    assert code_of(*RUN, "policy.pretrained=nowhere") == 1
    said = "policy.pretrained: the network nowhere: nowhere.json is missing in ."
    assert said in capfd.readouterr().err


def test_a_training_goes_on_from_a_network(whole: Path) -> None:
    start = f"start={whole / 'gnn'}"
    assert code_of(*PLAYED, start, "hydra.run.dir=further") == 0
    first, further = (lines_of(run / "learning.jsonl")[0] for run in (whole, Path("further")))
    assert first["return"] != further["return"] or first["kl"] != further["kl"]


STORED = [
    "train", "logger=none", "data=spirals", "data.num_samples=300", "model=mlp", "epochs=24",
    "model.hidden=[16,16,16]", "training.steps_per_epoch=8", "safety.max_cost=99", "policy=gnn",
    "policy.path=given", "policy.pretrained=null", "store=sqlite", "store.path=trials.db",
    "safety.max_uncertainty=1",
]  # fmt: skip


def test_a_network_learns_on_from_the_settled_trials_of_its_runs() -> None:
    write_gain_model(Path("given"), bias=1.0, log_first_order=0.1)
    for rng_seed in range(4):
        assert code_of(*STORED, f"rng_seed={rng_seed}") == 0
    entries = [entry for entry in read_file(Path("trials.db")) if entry.reading]
    for entry in entries:
        values = dict(zip(FEATURES, entry.features, strict=True))
        read = from_text(entry.reading).situation
        assert values[entry.blueprint] == 1.0
        assert read.nodes.shape[0] == 2
        # The offer that the network was shown is that of the kernel: its column is the largest.
        start = FEATURES.index(BLUEPRINTS[0])
        shown = read.offers[0, start : start + len(BLUEPRINTS)]
        assert BLUEPRINTS[int(shown.argmax())] == entry.blueprint
    learning = [*LEARNED, "policy.path=given", "store=sqlite", "store.path=trials.db"]
    assert code_of(*learning, "hydra.run.dir=learned") == 0
    facts = summary_of(Path("learned"))["settled"]
    settled = [entry for entry in entries if entry.loss_reduction is not None]
    assert facts["trials"] + facts["left_out"] == len(settled) >= 10
    assert facts["error_after"] <= facts["error_before"]
    assert facts["passes"] > 0
    assert code_of(*learning, "hydra.run.dir=again") == 0
    name = "gnn.safetensors"
    assert (Path("again") / name).read_bytes() == (Path("learned") / name).read_bytes()
    assert code_of(*STORED, "policy.pretrained=learned/gnn", "rng_seed=9") == 0
    # Beside another gain model none of these trials counts; what is refused leaves no snapshot.
    write_gain_model(Path("other"), bias=2.0)
    elsewhere = [each.replace("given", "other") for each in learning]
    assert code_of(*elsewhere, "hydra.run.dir=refused") == 1
    assert not (Path("refused") / "ledger_snapshot.json").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["learning.clip=2"], "learning.clip must be in (0, 1), got 2.0"),
        (["learning.members=3"], "learning.members=3 has no effect on policy=gnn"),
        (["learning.target_every=3"], "no effect without learning.baseline=value"),
        (["learning.tasks_at_once=9"], "learning.tasks_at_once must be <= tasks=6, got 9"),
        (
            ["learning.hidden=null", "start=nowhere"],
            "start: the network nowhere: nowhere.json is missing in .",
        ),
        (["policy.pretrained=x"], "policy.pretrained=x has no effect"),
        (["tasks=0"], "tasks must be >= 4, or 0 with a store to learn from, got 0"),
        (["tasks=0", "store=redis"], "learning.tasks_at_once=2 has no effect with tasks=0"),
        (["store=sqlite", "store.path=no.db"], "store.path: there is no file no.db"),
        (
            ["tasks=7"],
            "tasks=7 leaves 1 over: an update plays learning.tasks_at_once=2, so make it 6",
        ),
        (["learning.hidden=16", "start=nowhere"], "learning.hidden=16 has no effect with start"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_line(
    arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert code_of(*NETWORK, *arguments) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert said in line
    assert not list(Path().iterdir())
