"""Whatever goes wrong is one line that names it, exit code 1, and nothing that looks finished."""

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.harness import Done, Json, esper, esper_forked, lines_of, strict_json
from tests.integration.in_process import code_of
from tests.integration.refusal_cases import FILES, REFUSALS

QUICK = ["train", "logger=none", "epochs=2", "training.steps_per_epoch=2"]
GROWING = "epochs=40 training.steps_per_epoch=2 policy=schedule safety.max_cost=99"
LONG = [*QUICK[:2], *GROWING.split(), "hydra.run.dir=run"]
"""A run whose checkpoints become larger."""
RECORD = {
    ".hydra",
    "checkpoints",
    "config.json",
    "metrics.jsonl",
    "events.jsonl",
    "summary.json",
}


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    folder: Path = tmp_path_factory.mktemp("refused")
    for name in REFUSALS:
        (folder / name).mkdir()
        for file, content in FILES.items():
            (folder / name / file).write_bytes(content)
    return esper_forked(
        folder, {name: [*QUICK, *case.overrides.split()] for name, case in REFUSALS.items()}
    )


def summary_of(run_dir: Path) -> Json:
    found: Json = strict_json((run_dir / "summary.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", REFUSALS)
def test_the_line_names_what_and_where_and_what_is_allowed(
    refused: dict[str, Done], name: str
) -> None:
    line = refused[name].refusal
    for words in REFUSALS[name].words:
        assert words in line
    assert "Traceback" not in refused[name].err + refused[name].out
    assert "_schema" not in line
    assert len(line) < 300


@pytest.mark.parametrize("name", [name for name, case in REFUSALS.items() if case.is_early])
def test_what_the_configuration_tells_is_refused_before_there_is_a_run(
    refused: dict[str, Done], name: str
) -> None:
    assert {path.name for path in refused[name].cwd.iterdir()} == set(FILES)
    assert refused[name].out == ""


@pytest.mark.parametrize("name", [name for name, case in REFUSALS.items() if not case.is_early])
def test_a_run_that_failed_says_so_and_why(refused: dict[str, Done], name: str) -> None:
    (run_dir,) = refused[name].cwd.glob("runs/train/*")
    assert summary_of(run_dir) == {"status": "failed", "error": refused[name].refusal}
    assert {path.name for path in run_dir.iterdir()} == {".hydra", "summary.json"}
    assert refused[name].out == "", "nothing was announced"


def at_most(num_bytes: int) -> Callable[[], None]:
    """Return a function after which a process can write no file longer than this.

    The kernel then refuses to write on, as it does on a full disk, whoever the user is.
    """
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))


def test_a_checkpoint_that_cannot_grow_ends_the_run_and_the_one_before_is_kept(
    tmp_path: Path,
) -> None:
    done = esper(tmp_path, LONG, before=at_most(50_000))
    line = done.refusal
    assert line.startswith("cannot save the run: File too large: ")
    assert "the checkpoint before is intact: esper train --resume" in line
    kept = {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()}
    assert kept <= {"last", "previous", "best"}
    assert "last" in kept
    assert summary_of(tmp_path / "run") == {"status": "failed", "error": line}
    assert {path.name for path in (tmp_path / "run").iterdir()} == RECORD
    epochs = [record["epoch"] for record in lines_of(tmp_path / "run" / "metrics.jsonl")]
    assert epochs == list(range(1, len(epochs) + 1))
    assert 0 < len(epochs) < 40
    assert "Finished" not in done.out


def test_a_network_that_cannot_be_saved_is_no_finished_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run" / "network.safetensors.part").mkdir(parents=True)
    code = code_of(*QUICK, f"hydra.run.dir={tmp_path}/run")
    line = Done(tmp_path, code, *capfd.readouterr()).refusal
    assert line.startswith("cannot write ")
    assert "run/network.safetensors" in line
    assert summary_of(tmp_path / "run") == {"status": "failed", "error": line}
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left == RECORD | {"network.safetensors.part"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB, of which 24 are left."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    (disk / "fill").write_bytes(bytes(40 * 1024))
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_told_once_and_leaves_whole_files(tmp_path: Path, small_disk: Path) -> None:
    done = esper(tmp_path, [*LONG[:-1], f"hydra.run.dir={small_disk}/run"])
    assert "No space left on device" in done.refusal
    assert str(small_disk) in done.refusal
    left = {path.name for path in (small_disk / "run").iterdir()}
    assert left <= RECORD
    if "summary.json" in left:
        assert summary_of(small_disk / "run")["status"] == "failed"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes where permissions forbid it")
def test_a_folder_that_may_not_be_written_to(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    done = esper(tmp_path, [*QUICK, "hydra.run.dir=closed/run"])
    assert "Permission denied" in done.refusal
    assert "closed/run" in done.refusal


def test_the_cause_of_a_factory_that_raises_can_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "networks_seen.py").write_bytes(FILES["networks.py"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ESPER_DEBUG", "1")
    assert code_of(*QUICK, "model=custom", "model.factory=networks_seen:raises") == 1
    said = capfd.readouterr().err
    assert 'return {}["hidden_size"]' in said
    assert said.splitlines()[-1].startswith("error: KeyError: 'hidden_size'")
