"""Runs that share a ledger one after another, a run that is killed early, and a shipped prior."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import esper as package
from esper.contracts.ledger import PoolPrior
from esper.run.ledger_file import read_ledger
from esper.store.prior import FILE, write_prior
from experiments.chaos.left import without_clock
from tests.integration.harness import Run, esper
from tests.integration.in_process import code_of
from tests.integration.option_cases import DENSE, EARLY
from tests.integration.resumable import WHAT, WHEN

ROOT = Path(__file__).parents[2]
PROFILE = ["logger=none", *f"{DENSE} epochs=10 {EARLY}".split()]
COLD = "store.prior=none"
SHARED = ["store=sqlite", "store.path=ledger.db"]
HOST = ["model=custom", "model.factory=tests.integration.resumable:make_host", "model.slots=[body]"]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_each_job_of_a_sweep_learns_from_those_before_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = ["hydra.sweep.dir=sweep", "rng_seed=0,1,2", "strategy.first_order_weight=0", COLD]
    assert code_of("train", "-m", *PROFILE, *SHARED, *sweep) == 0
    said = capfd.readouterr().out
    jobs = [Run(tmp_path / "sweep" / str(job)) for job in range(3)]
    written = read_ledger(tmp_path / "ledger.db")
    tried: set[str] = set()
    for number, job in enumerate(jobs):
        kept = json.loads((job.path / "ledger_snapshot.json").read_text())["entries"]
        before = [e for e in written if e.run in [str(each.path) for each in jobs[:number]]]
        assert [entry["run"] for entry in kept] == [entry.run for entry in before]
        assert job.summary["ledger_entries_read"] == len(before) == len(tried)
        assert job.summary["ledger_snapshot"]["launcher"] == "basic"
        line = rf"job {number}: read {len(before)} ledger entr.* UTC, jobs one after another\n"
        assert re.search(line, said)
        # Without a first-order score UCB tries what it has never seen first.
        (settled,) = job.of("reward")
        assert settled["outcome"]["blueprint"] not in tried
        tried.add(settled["outcome"]["blueprint"])


def lived(run: Run) -> list[Any]:
    """Return what happened to the network, and which weights it ended with."""
    events = without_clock([event for event in run.events if event["kind"] != "checkpoint"])
    return [without_clock(run.metrics), events, (run.path / "network.safetensors").read_bytes()]


@pytest.mark.parametrize("num_before", [0, 1])
def test_a_run_killed_before_it_was_saved_starts_again_from_what_it_had_read(
    tmp_path: Path, num_before: int
) -> None:
    def train(name: str, seed: int, *store: str) -> Run:
        where = [f"rng_seed={seed}", f"hydra.run.dir={name}"]
        assert code_of("train", *PROFILE, *HOST, *store, *where) == 0
        return Run(tmp_path / name)

    for number in range(num_before):
        train(f"before{number}", 7 + number, *SHARED)
    killed = ["train", *PROFILE, *HOST, *SHARED, "rng_seed=0", "hydra.run.dir=mine"]
    env = {WHEN: "3", WHAT: "SIGKILL", "PYTHONPATH": str(ROOT)}
    assert esper(tmp_path, killed, env).code == -9
    assert not (tmp_path / "mine" / "checkpoints" / "last").exists()
    later = train("later", 9, *SHARED)
    assert later.summary["ledger_entries_read"] == num_before

    assert code_of("train", "--resume", "mine") == 0
    mine = Run(tmp_path / "mine")
    assert mine.summary["ledger_entries_read"] == num_before
    again = train("again", 0, "store=snapshot", "store.path=mine")
    assert lived(mine) == lived(again)
    assert len(read_ledger(tmp_path / "ledger.db")) == num_before + 2


def test_a_shipped_prior_decides_what_a_first_run_tries(tmp_path: Path) -> None:
    copy = tmp_path / "site"
    shutil.copytree(Path(package.__file__).parent, copy / "esper")
    shutil.copytree(ROOT / "conf", copy / "conf")
    names = ("affine", "bottleneck", "frozen_random", "gated_mlp", "lora", "mlp", "norm", "noop")
    cold = esper(tmp_path / "cold", ["train", *PROFILE, COLD]).run
    offered = {each["blueprint"] for each in cold.of("selection")[0]["alternatives"]}
    offered.add(cold.of("selection")[0]["blueprint"])
    assert offered <= set(names)
    best = min(offered - {cold.of("selection")[0]["blueprint"]})
    rows = [
        PoolPrior(
            task_family="vector",
            reward_model="multi_metric",
            slot_kind="dense",
            placement="parallel",
            blueprint=name,
            trials=50,
            mean_reward=0.5 if name == best else -0.1,
            spread=0.01,
            mean_gain=None,
        )
        for name in names
    ]
    write_prior(copy / "esper" / "store" / FILE, rows, {})
    command = ["train", *PROFILE, "store.prior=shipped"]
    warm = esper(tmp_path / "warm", command, {"PYTHONPATH": str(copy)}).run
    assert warm.of("selection")[0]["blueprint"] == best
    assert all(each["score"] is not None for each in warm.of("selection")[0]["alternatives"])
    (learned,) = warm.of("ledger")
    assert learned["trials"] == 1
    assert warm.summary["ledger_entries_read"] == 0


def test_a_prior_that_is_not_there_is_refused_before_anything_starts(tmp_path: Path) -> None:
    done = esper(tmp_path, ["train", *PROFILE, "store.prior=shiped"])
    assert done.refusal == "store.prior must be one of none, shipped, got 'shiped'"
    assert not (tmp_path / "runs").exists()
