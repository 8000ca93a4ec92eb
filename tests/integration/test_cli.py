"""The commands as users type them, in a folder of their own; what really trains is kept tiny."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from esper import __version__, load_run
from esper.strategy.ucb import UCB
from tests.integration.in_process import TINY, code_of, only, summary_of


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ESPER_DEBUG", raising=False)


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs a command and gives the one line it was refused with."""

    def run(*arguments: str) -> str:
        assert code_of(*arguments) == 1
        said = capfd.readouterr().err.splitlines()
        assert len(said) == 1, said
        assert said[0].startswith("error: ")
        return said[0]

    return run


def test_help_is_quick_because_it_imports_nothing_heavy() -> None:
    heavy = ["torch", "hydra", "omegaconf", "wandb", "matplotlib", "sklearn", "numpy"]
    code = (
        "import sys\nfrom esper.cli import execute\n"
        "assert execute(['--help']) == 0 and execute(['train', '--help']) == 0\n"
        f"print('heavy:', [name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "heavy: []" in done.stdout
    for command in ("train", "report", "inspect", "ledger", "doctor"):
        assert command in done.stdout
    assert "--config-dir" in done.stdout


def test_showing_a_configuration_needs_no_torch() -> None:
    code = (
        "import sys\nfrom esper.cli import execute\n"
        "execute(['train', '--cfg', 'job', 'strategy=thompson'])\n"
        "print('torch:', 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    shown = yaml.safe_load(done.stdout.rpartition("torch:")[0])
    assert shown["strategy"] == {"prior_alpha": 1.0, "prior_beta": 1.0, "first_order_weight": 0.25}
    assert done.stdout.endswith("torch: False\n")


def test_no_command_is_a_question_for_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of() == 0
    assert "Usage: esper" in capsys.readouterr().out


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("--version") == 0
    assert capsys.readouterr().out == f"esper {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], "No such command 'trian'. Did you mean 'train'?"),
        (["--nope"], "No such option: --nope"),
        (["doctor", "x"], "unexpected extra argument"),
        (["report"], "Missing argument"),
        (["inspect", "nowhere"], "no run at nowhere: it does not exist"),
        (["report", "nowhere"], "no run and no sweep at nowhere: it does not exist"),
        (["train", "--nope"], "unrecognized arguments: --nope"),
        (["train", "--resolve"], "--resolve needs --cfg"),
        (["train", "-m", "--cfg", "job"], "only one of"),
        (["train", "strategy=thomson"], "did you mean thompson or linthompson? (allowed: "),
        (["train", "strategy=null"], "strategy must be one of ucb, thompson,"),
        (["train", "=3"], "must be a string"),
        (["train", "strategy.exploration_constant=-1"], "must be >= 0"),
        (["train", "epochs=0"], "epochs must be a whole number >= 1, or auto, got 0"),
        (["train", "+zz=1"], "unknown key zz"),
        (["train", "name=${nowhere}"], "Interpolation key 'nowhere' not found"),
        (["train", "hydra.run.dir=${nowhere}"], "Interpolation key 'nowhere' not found"),
        (["train", "-m", "epochs=1,x"], "epochs must be a whole number >= 1, or auto, got x"),
        (["train", "-cn", "nope"], "there is no configuration named 'nope'"),
        (["train", "--config-dir", "nowhere"], "not found"),
    ],
)
def test_misuse_is_refused_with_one_line_and_leaves_no_run(
    arguments: list[str], words: str, refused: Callable[..., str]
) -> None:
    assert words in refused(*arguments)
    assert not Path("runs").exists()


def test_a_failure_in_a_run_is_one_line_and_in_its_summary(refused: Callable[..., str]) -> None:
    line = refused("train", *TINY, "data=text")
    assert "model=cnn does not take tokens data" in line
    failed = summary_of(only("runs/train/*"))
    assert failed["status"] == "failed"
    assert failed["error"] == line.removeprefix("error: ")


def test_inspect_shows_the_runs_beside_one_that_was_refused(
    refused: Callable[..., str], capfd: pytest.CaptureFixture[str]
) -> None:
    refused("train", *TINY, "data=text")
    failed = str(only("runs/train/*"))
    assert "holds nothing to read: failed before it began" in refused("inspect", failed)
    assert code_of("train", *TINY, "hydra.run.dir=good") == 0
    capfd.readouterr()
    assert code_of("inspect", failed, "good") == 0
    shown = capfd.readouterr()
    assert "finished, 1 epochs" in shown.out
    assert shown.err.startswith(f"skipped: {failed} holds nothing to read: failed before it began")
    assert "no run at nowhere" in refused("inspect", "good", "nowhere")


def test_an_output_folder_that_cannot_be_made_is_one_line(refused: Callable[..., str]) -> None:
    Path("taken").write_text("a file, not a folder")
    assert "taken" in refused("train", *TINY, "hydra.run.dir=taken/run")


def test_the_traceback_is_for_those_who_ask(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESPER_DEBUG", "1")
    assert code_of("train", *TINY, "data=text") == 1
    said = capfd.readouterr().err
    assert "Traceback" in said
    assert said.splitlines()[-1].startswith("error: model=cnn")


def test_what_nobody_foresaw_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    Path("unforeseen.py").write_text("def build():\n    return 1 / 0\n")
    monkeypatch.syspath_prepend(Path.cwd())
    factory = ["model=custom", "model.factory=unforeseen:build"]
    assert "division by zero" in refused("train", *TINY, *factory)


def test_the_smoke_experiment_grows_and_keeps_what_helped(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert code_of("train", "experiment=smoke") == 0
    run_dir = only("runs/smoke/*")
    assert re.fullmatch(r"\d{4}(-\d\d){2}_(\d\d-){3}\d{6}", run_dir.name)
    grown = summary_of(run_dir)
    assert grown["status"] == "finished"
    assert grown["seeds_fossilized"] == 1
    assert grown["params_final"] == 150 > grown["params_initial"] == 75
    overrides = yaml.safe_load((run_dir / ".hydra" / "overrides.yaml").read_text())
    assert overrides == ["experiment=smoke"]
    assert not list(run_dir.glob("*.log"))

    capfd.readouterr()
    assert code_of("inspect", str(run_dir)) == 0
    assert "FOSSILIZED" in capfd.readouterr().out
    assert code_of("report", str(run_dir)) == 0
    page = Path(capfd.readouterr().out.strip())
    assert page.read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html")


def test_runs_that_start_together_share_no_folder() -> None:
    for _ in range(2):
        assert code_of("train", *TINY) == 0
    assert len(list(Path("runs/train").iterdir())) == 2


def test_a_run_is_never_mixed_with_an_earlier_one(refused: Callable[..., str]) -> None:
    assert code_of("train", *TINY, "hydra.run.dir=same") == 0
    assert "same holds a run already" in refused("train", *TINY, "hydra.run.dir=same")
    assert len(Path("same/metrics.jsonl").read_text().splitlines()) == 1


def test_flags_may_stand_between_options(capfd: pytest.CaptureFixture[str]) -> None:
    assert code_of("train", "epochs=3", "--cfg", "job", "name=x", "-p", "data") == 0
    assert yaml.safe_load(capfd.readouterr().out)["batch_size"] == 32


def test_options_of_ones_own_are_found_in_a_folder_of_ones_own() -> None:
    own = Path("own/strategy")
    own.mkdir(parents=True)
    (own / "bold.yaml").write_text("defaults: [ucb, _self_]\nexploration_constant: 9\n")
    assert code_of("train", *TINY, "--config-dir", "own", "strategy=bold") == 0
    run_dir = only("runs/train/*")
    config = yaml.safe_load((run_dir / ".hydra" / "config.yaml").read_text())
    assert config["strategy"] == {"exploration_constant": 9.0, "first_order_weight": 0.25}
    assert load_run(run_dir).config.strategy == UCB(exploration_constant=9.0)


def test_an_interrupted_run_leaves_with_130() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "esper", "train", "logger=none", "epochs=100000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list(Path("runs").glob("train/*/metrics.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    (line,) = said.splitlines()
    (run,) = Path("runs").glob("train/*")
    assert line.startswith("stopped by SIGINT after epoch ")
    assert line.endswith(f"nothing is lost: esper train --resume {run.resolve()}")


def test_the_doctor_names_what_is_there_and_what_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert code_of("doctor") == 0
    said = capsys.readouterr().out
    for what in ("esper", "torch", "device", "W&B", "extra sweep"):
        assert what in said
