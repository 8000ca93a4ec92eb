"""A run that was stopped goes on as if it had not been; what cannot go on is refused in a line."""

import json
import pickle
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from esper import load_run
from esper.run.task import scores
from esper.rundir.lock import lock_run_dir
from experiments.chaos.left import without_clock
from tests.integration.harness import esper, lines_of
from tests.integration.in_process import code_of, summary_of
from tests.integration.resumable import WHAT, WHEN

EPOCHS, STEPS = 12, 6
RUN = [
    "logger=none", "data=spirals", "model=custom", f"epochs={EPOCHS}", "policy=schedule",
    "model.factory=tests.integration.resumable:make_host", "model.slots=[body]",
    f"training.steps_per_epoch={STEPS}",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ESPER_DEBUG", raising=False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    assert code_of("train", *RUN, f"hydra.run.dir={folder}/run") == 0
    return folder / "run"


def stopped(
    at: int, what: str = "SIGTERM", folder: Path = Path(), command: Sequence[str] = RUN
) -> int:
    """Train in the folder `run` until a signal comes at a pass through the network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(WHEN, str(at))
        patch.setenv(WHAT, what)
        return code_of("train", *command, f"hydra.run.dir={folder}/run")


@pytest.fixture(scope="module")
def halted(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Runs that were stopped at the 20th pass and at the 40th, in epochs 4 and 7."""
    folders = {at: tmp_path_factory.mktemp("halted") for at in (20, 40)}
    for at, folder in folders.items():
        assert stopped(at, folder=folder) == 130
    return {at: folder / "run" for at, folder in folders.items()}


def assert_same(run: Path, whole: Path, recoveries: dict[str, int] | None = None) -> None:
    """Metrics, events, weights and summary are those of the undisturbed run.

    It tells of no recoveries but those that are expected.
    """
    metrics = [without_clock(lines_of(each / "metrics.jsonl")) for each in (run, whole)]
    assert metrics[0] == metrics[1]
    events = [
        [e for e in without_clock(lines_of(each / "events.jsonl")) if e["kind"] != "checkpoint"]
        for each in (run, whole)
    ]
    assert events[0] == events[1]
    weights = [(each / "network.safetensors").read_bytes() for each in (run, whole)]
    assert weights[0] == weights[1]
    elsewhere = {"control_fraction", "peak_memory_mb", "run_dir", "git_sha", "recoveries"}
    assert summary_of(run)["recoveries"] == (recoveries or {})
    summaries = [
        {k: v for k, v in without_clock(summary_of(each)).items() if k not in elsewhere}
        for each in (run, whole)
    ]
    assert summaries[0] == summaries[1]
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"last", "previous", "best"}


def moves_of(run: Path) -> list[str]:
    return [e["to_stage"] for e in lines_of(run / "events.jsonl") if e["kind"] == "lifecycle"]


@pytest.mark.parametrize(("at", "what"), [(3, "SIGTERM"), (17, "SIGINT"), (40, "SIGTERM")])
def test_a_signal_stops_a_run_and_nothing_is_lost(
    at: int, what: str, whole: Path, capfd: Any
) -> None:
    assert {"GERMINATED", "BLENDING", "CULLED"} <= set(moves_of(whole))
    assert stopped(at, what) == 130
    said = capfd.readouterr().err
    assert f"stopped by {what} after epoch {at // STEPS}" in said
    assert "esper train --resume" in said
    assert summary_of(Path("run"))["status"] == "interrupted"
    assert not (Path("run") / "network.safetensors").exists()
    assert code_of("train", "--resume", "run") == 0
    assert_same(Path("run"), whole)


def test_a_run_that_was_killed_goes_on_from_the_epoch_before(whole: Path, tmp_path: Path) -> None:
    killed = esper(tmp_path, ["train", *RUN, "hydra.run.dir=run"], {WHEN: "45", WHAT: "SIGKILL"})
    assert killed.code == -9
    assert len(lines_of(Path("run/metrics.jsonl"))) >= 4
    assert code_of("train", "--resume", "run") == 0
    assert_same(Path("run"), whole)


def test_a_finished_run_says_so_and_goes_on_with_a_longer_budget_only(
    whole: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole, "run")
    assert code_of("train", "--resume", "run") == 0
    assert (
        "is finished after 12 epochs; to continue it, give it a longer budget"
        in capfd.readouterr().out
    )
    assert_same(Path("run"), whole)
    assert code_of("train", "--resume", "run", "training.lr=0.5") == 1
    assert "training.lr was 0.01, is 0.5 now" in capfd.readouterr().err
    assert code_of("train", "--resume", "run", "epochs=14") == 0
    lines = lines_of(Path("run/metrics.jsonl"))
    assert [line["epoch"] for line in lines] == list(range(1, 15))
    assert without_clock(lines[:12]) == without_clock(lines_of(whole / "metrics.jsonl"))
    assert summary_of(Path("run"))["epochs"] == 14
    capfd.readouterr()
    assert code_of("train", "--resume", "run", "epochs=13") == 1
    assert "longer budget: epochs=28, got epochs=13\n" in capfd.readouterr().err


def test_a_run_goes_on_under_its_own_configuration_only(
    halted: dict[int, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(halted[20], "run")
    capfd.readouterr()
    assert code_of("train", "--resume", "run", "strategy=thompson") == 1
    assert "another configuration: strategy." in capfd.readouterr().err
    assert code_of("train", "--resume", "run", "training.lr=0.5") == 1
    assert "training.lr was 0.01, is 0.5 now" in capfd.readouterr().err
    assert code_of("train", "--resume", "run", "epochs=2") == 1
    assert "epochs must be >= 3, which are over, got 2" in capfd.readouterr().err
    assert code_of("train", "--resume", "run") == 0


def damage(file: Path, how: str) -> None:
    content = file.read_bytes()
    middle = content.rindex(b"1")
    match how:
        case "flipped":
            file.write_bytes(content[:middle] + b"2" + content[middle + 1 :])
        case "torn":
            file.write_bytes(content[: len(content) // 2])
        case "pickled":
            file.write_bytes(pickle.dumps({"weights": [1.0]}))


@pytest.mark.parametrize(
    ("how", "why"), [("flipped", "checksum"), ("torn", ""), ("pickled", "checksum")]
)
@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "manifest.json"])
def test_a_broken_checkpoint_is_told_of_and_the_one_before_is_used(
    name: str, how: str, why: str, whole: Path, halted: dict[int, Path], capfd: Any
) -> None:
    shutil.copytree(halted[40], "run")
    damage(Path("run/checkpoints/last") / name, how)
    assert code_of("train", "--resume", "run") == 0
    said = capfd.readouterr().err.splitlines()
    (warning,) = [line for line in said if "checkpoints/last" in line]
    is_json = (name, how) != ("manifest.json", "pickled")
    assert (why if is_json else "is not JSON") in warning
    assert "the one before it is used" in warning
    recovered = [e for e in lines_of(Path("run/events.jsonl")) if e["kind"] == "recovery"]
    assert [(e["where"], e["recovered"]) for e in recovered] == [("checkpoint", True)]
    events = Path("run/events.jsonl")
    lines = events.read_text().splitlines(keepends=True)
    events.write_text("".join(each for each in lines if json.loads(each)["kind"] != "recovery"))
    assert_same(Path("run"), whole, recoveries={"fallback": 1})


def test_without_any_sound_checkpoint_nothing_is_trained(
    halted: dict[int, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(halted[20], "run")
    for name in ("last", "previous"):
        damage(Path("run/checkpoints") / name / "tensors.safetensors", "torn")
    before = Path("run/metrics.jsonl").read_bytes()
    capfd.readouterr()
    assert code_of("train", "--resume", "run") == 1
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "no checkpoint in" in said
    assert Path("run/metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("name", ["metrics.jsonl", "events.jsonl"])
@pytest.mark.parametrize("how", ["flipped digit", "emptied", "deleted"])
def test_damaged_records_are_refused_in_one_line(
    name: str, how: str, halted: dict[int, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(halted[20], "run")
    path = Path("run") / name
    content = path.read_bytes()
    path.unlink()
    if how == "emptied":
        path.touch()
    if how == "flipped digit":
        place = content.index(b'"epoch": 1') + len(b'"epoch": ')
        path.write_bytes(content[:place] + b"2" + content[place + 1 :])
    capfd.readouterr()
    assert code_of("train", "--resume", "run") == 1
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert f"run/{name} " in said
    assert ("fails its checksum" if how == "flipped digit" else "was cut or removed") in said
    path.write_bytes(content)
    assert code_of("train", "--resume", "run") == 0


def test_a_run_that_saved_nothing_yet_starts_anew(whole: Path, halted: dict[int, Path]) -> None:
    shutil.copytree(halted[20], "run")
    shutil.rmtree("run/checkpoints")
    assert code_of("train", "--resume", "run") == 0
    assert_same(Path("run"), whole)


def test_the_network_of_a_checkpoint_can_be_loaded(whole: Path) -> None:
    run = load_run(whole)
    data = run.config.data.load()
    kept = {e["epoch"] for e in run.events if e.get("to_stage") == "FOSSILIZED"}
    standing = [line for line in run.metrics if line["epoch"] not in kept]
    best = max(line["val_accuracy"] for line in standing)
    accuracy = float(scores(run.network("best"), data.val)[1].mean())
    assert accuracy == pytest.approx(best)
    assert run.summary is not None
    losses = {line["epoch"]: line["val_loss"] for line in run.metrics}
    read_out = float(scores(run.network(), data.val)[0].mean())
    assert read_out == pytest.approx(losses[run.summary["read_out_epoch"]])
    assert read_out == pytest.approx(min(losses.values()))
    last = float(scores(run.network("last"), data.val)[0].mean())
    assert last == pytest.approx(losses[len(losses)])
    with pytest.raises(ValueError, match="one of last, previous, best, got 'none'"):
        run.network("none")


def test_what_is_no_run_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "nowhere"):
        assert code_of("train", "--resume", folder) == 1
        said = capfd.readouterr().err
        assert "cannot be resumed: it is no folder of a run" in said
        assert said.count("\n") == 1


def test_a_run_can_be_resumed_from_another_folder(
    whole: Path, halted: dict[int, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(halted[20], "run")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert code_of("train", "--resume", "../run") == 0
    assert_same(tmp_path / "run", whole)


def test_a_folder_is_trained_in_by_one_process_at_a_time(whole: Path, capfd: Any) -> None:
    shutil.copytree(whole, "run")
    with lock_run_dir(Path("run")):
        assert code_of("train", "--resume", "run", "epochs=14") == 1
    assert "is being trained by another process" in capfd.readouterr().err
    assert without_clock(summary_of(Path("run"))) == without_clock(summary_of(whole))


def test_flags_and_a_second_folder_that_is_no_report_are_refused(whole: Path, capfd: Any) -> None:
    shutil.copytree(whole, "run")
    assert code_of("train", "--resume", "run", "-m", "epochs=14") == 1
    assert "--resume takes options only, got -m" in capfd.readouterr().err
    assert code_of("train", "--resume", "run", str(whole)) == 1
    assert "--resume takes one folder, got 2: run to " in capfd.readouterr().err
    assert code_of("report", "run", "--out=report") == 0
    assert code_of("train", "--resume", "run", "report", "epochs=13") == 0


@pytest.mark.parametrize("name", ["it's", "a b,c=d", "tail\\"])
def test_a_run_in_a_folder_of_any_name_goes_on(name: str, whole: Path) -> None:
    shutil.copytree(whole, name)
    assert code_of("train", "--resume", name, "epochs=13") == 0
    assert len(lines_of(Path(name) / "metrics.jsonl")) == 13


def test_a_rollback_after_an_epoch_that_was_interrupted_finds_the_last_good_weights() -> None:
    broken = ["training.optimizer=sgd", "training.lr=1e13", "training.clip_norm=0", "policy=never"]
    small = [*RUN[:3], "epochs=4", *RUN[5:], *broken]
    assert code_of("train", *small, "hydra.run.dir=whole") == 0
    assert stopped(2, command=small) == 130
    assert code_of("train", "--resume", "run") == 0
    weights = [Path(run, "network.safetensors").read_bytes() for run in ("run", "whole")]
    assert weights[0] == weights[1]
    assert summary_of(Path("run"))["rollbacks"] == summary_of(Path("whole"))["rollbacks"] >= 1
