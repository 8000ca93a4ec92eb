"""A whole run in this process: what it leaves behind, and what can be read back from it."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from esper.config import RunConfig
from esper.contracts.errors import CheckpointError, ConfigError, DataError
from esper.data.digits import Digits
from esper.growth.options import ReadOut
from esper.logger.none import NoLogger
from esper.model.resnet import ResNet
from esper.policy.heuristic import Heuristic
from esper.policy.never import Never
from esper.policy.schedule import Schedule
from esper.probe.flops import forward_flops
from esper.run.load import load_run
from esper.run.run import run
from esper.run.task import Task, scores
from esper.rundir.layout import NETWORK
from esper.safety.options import Safety
from esper.store.sqlite import SQLite
from esper.training.options import Training

EPOCHS = 12


def small(**changes: Any) -> RunConfig:
    """Return a configuration that grows within seconds; its budget holds two trials and more."""
    given = {
        "training": Training(steps_per_epoch=20),
        "safety": Safety(max_cost=4.0),
        "policy": Heuristic(trigger="fractions", fractions=(0.1, 0.25), seeds_per_adaptation=1),
        **changes,
    }
    return RunConfig(logger=NoLogger(), **{"epochs": EPOCHS, **given})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    run_dir = tmp_path_factory.mktemp("run")
    return run_dir, run(small(), run_dir)


def copy_of(run_dir: Path, folder: Path) -> Path:
    """Copy the records of a run, without its network."""
    copy = folder / "copy"
    copy.mkdir()
    for name in ("config.json", "metrics.jsonl", "events.jsonl", "summary.json"):
        (copy / name).write_bytes((run_dir / name).read_bytes())
    return copy


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_grows_and_its_summary_adds_up(finished: tuple[Path, dict[str, Any]]) -> None:
    run_dir, summary = finished
    assert json.loads((run_dir / "summary.json").read_text()) == summary
    assert summary["status"] == "finished"
    assert summary["seeds_germinated"] >= 2
    assert summary["seeds_germinated"] == summary["seeds_fossilized"] + summary["seeds_culled"]
    assert summary["seeds_fossilized"] == len(summary["grown"]) >= 1
    grown = sum(kernel["parameters"] for kernel in summary["grown"])
    assert summary["params_final"] == summary["params_initial"] + grown
    assert 0 < summary["control_fraction"] < 1
    assert 0 < summary["processor_s"] < 60
    assert summary["peak_memory_mb"] > 10
    assert set(summary["versions"]) >= {"python", "esper", "torch"}


def test_the_lines_of_a_run_tell_its_epochs(finished: tuple[Path, dict[str, Any]]) -> None:
    run_dir, summary = finished
    metrics = lines(run_dir / "metrics.jsonl")
    assert [line["epoch"] for line in metrics] == list(range(1, EPOCHS + 1))
    assert max(line["val_accuracy"] for line in metrics) == summary["best_val_accuracy"]
    assert sum(line["flops"] for line in metrics) == summary["train_flops"]
    assert metrics[0]["params"] == summary["params_initial"]
    assert metrics[-1]["params"] == summary["params_final"]
    assert metrics[-1]["live_seeds"] == 0
    rates = [line["learning_rate"] for line in metrics]
    assert rates[0] == 0.01
    assert rates[-1] < 0.001


def test_the_cost_of_growing_is_relative_to_plain_training_of_the_final_network(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    run_dir, summary = finished
    forward = forward_flops(load_run(run_dir).network(), Digits().load().train.x[:4])
    assert summary["final_plain_flops"] == 3 * forward * 20 * 32 * EPOCHS
    assert summary["cost_ratio"] == summary["train_flops"] / summary["final_plain_flops"]


def test_a_run_without_growth_costs_the_plain_training(tmp_path: Path) -> None:
    summary = run(small(policy=Never()), tmp_path)
    assert summary["seeds_germinated"] == 0
    # block1: (1*2 + 2*8) 3x3 kernels on 8x8; block2 pools to 4x4; the head is 16 to 10.
    block1 = 2 * 9 * (1 * 2 + 2 * 8) * 64
    block2 = 2 * 9 * (8 * 4 + 4 * 16) * 16
    forward = block1 + block2 + 2 * 16 * 10
    assert summary["train_flops"] == 3 * forward * 20 * 32 * EPOCHS
    assert summary["final_plain_flops"] == summary["train_flops"]
    assert summary["cost_ratio"] == 1


def test_a_loaded_network_scores_what_the_run_scored(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    run_dir, summary = finished
    loaded = load_run(run_dir)
    assert loaded.config == small()
    assert loaded.summary == summary
    network = loaded.network()
    losses_N, hits_N = scores(network, Digits().load().test)
    assert float(losses_N.mean()) == summary["test_loss"]
    assert float(hits_N.mean()) == summary["test_accuracy"]
    assert any("esper_kernels" in name for name, _ in network.named_parameters())


def val_loss(run_dir: Path) -> float:
    """Return the validation loss of the network that a run saved."""
    loaded = load_run(run_dir)
    return float(scores(loaded.network(), loaded.config.data.load().val)[0].mean())


@pytest.mark.parametrize("policy", ["grown", "never"])
def test_a_run_ends_with_its_best_averaged_network_grown_or_not(
    tmp_path: Path, finished: tuple[Path, dict[str, Any]], policy: str
) -> None:
    # The rate stays high until the end, so that the last network is rarely the best.
    bare = small(policy=Never(), training=Training(steps_per_epoch=20, schedule="constant"))
    run_dir, summary = finished if policy == "grown" else (tmp_path, run(bare, tmp_path))
    found = [line["val_loss"] for line in lines(run_dir / "metrics.jsonl")]
    assert summary["read_out_epoch"] == 1 + found.index(min(found))
    assert val_loss(run_dir) == pytest.approx(min(found), rel=1e-5)


def test_the_last_weights_are_tested_if_that_is_chosen(tmp_path: Path) -> None:
    found = {}
    for read_out in ("best_average", "last"):
        run_dir = tmp_path / read_out
        run_dir.mkdir()
        training = Training(steps_per_epoch=20, schedule="constant", lr=0.05)
        config = small(policy=Never(), training=training, run=ReadOut(read_out=read_out))
        found[read_out] = run(config, run_dir)
        hits_N = scores(load_run(run_dir).network(), Digits().load().test)[1]
        assert float(hits_N.mean()) == found[read_out]["test_accuracy"]
    assert found["last"]["read_out_epoch"] == EPOCHS
    assert found["last"]["test_loss"] != found["best_average"]["test_loss"]
    one, other = (lines(tmp_path / each / "metrics.jsonl") for each in found)
    assert [line["val_loss"] for line in one] == [line["val_loss"] for line in other]


def test_a_run_that_is_not_there_or_of_another_version_is_refused(
    tmp_path: Path, finished: tuple[Path, dict[str, Any]]
) -> None:
    with pytest.raises(DataError, match="no run at"):
        load_run(tmp_path / "nowhere")
    copy = copy_of(finished[0], tmp_path)
    values = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(values | {"wings": 2}))
    with pytest.raises(DataError, match=r"config\.json: it is no configuration .*wings"):
        load_run(copy)


def test_a_broken_network_is_refused(tmp_path: Path, finished: tuple[Path, dict[str, Any]]) -> None:
    run_dir, _ = finished
    copy = copy_of(run_dir, tmp_path)
    (copy / NETWORK).write_bytes((run_dir / NETWORK).read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=NETWORK):
        load_run(copy).network()


def test_a_second_run_starts_from_what_the_first_one_learned(tmp_path: Path) -> None:
    store = SQLite(path=str(tmp_path / "esper.db"), prior="none")
    first, second = tmp_path / "first", tmp_path / "second"
    for run_dir in (first, second):
        run_dir.mkdir()
        run(small(store=store), run_dir)
    tried = [
        [e["blueprint"] for e in lines(folder / "events.jsonl") if e["kind"] == "selection"]
        for folder in (first, second)
    ]
    # UCB tries what it has never seen first, and the second run has seen what the first one did.
    assert tried[0][0] == tried[0][1] == "conv"
    assert "conv" not in tried[1]
    snapshots = [
        json.loads((folder / "ledger_snapshot.json").read_text())["entries"]
        for folder in (first, second)
    ]
    rewards = [e for e in lines(first / "events.jsonl") if e["kind"] == "reward"]
    latest = {(e["outcome"]["slot"], e["outcome"]["seed"]): e["reward"]["total"] for e in rewards}
    assert len(rewards) > len(latest), "kept kernels were looked at again"
    assert snapshots[0] == []
    assert [entry["reward"] for entry in snapshots[1]] == list(latest.values())


def test_an_unknown_device_is_refused(tmp_path: Path) -> None:
    if torch.backends.mps.is_available():
        pytest.skip("this machine has the device")
    with pytest.raises(ConfigError, match="device=mps"):
        run(small(device="mps"), tmp_path)


def test_an_epoch_has_the_same_batches_for_every_model() -> None:
    data = Digits().load()
    task = Task(data, 32, Training(steps_per_epoch=5), 4, 0)
    reports = []
    for _ in range(2):
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Dropout(0.5), torch.nn.Linear(64, 10)
        )
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        torch.rand(7)  # what happened before an epoch does not matter to it
        reports.append(task.train(model, optimizer, 2).loss)
    assert reports[0] == reports[1]
    assert reports[0] is not None
    assert math.isfinite(reports[0])
    assert task.num_steps == 5
    assert Task(data, 32, Training(), 4, 0).num_steps == math.ceil(len(data.train) / 32)


def test_a_checkpoints_network_has_the_batch_statistics_that_its_epoch_was_evaluated_with(
    tmp_path: Path,
) -> None:
    config = small(
        epochs=7,
        model=ResNet(norm="batch"),
        policy=Schedule(fractions=(0.1, 0.2)),
        safety=Safety(max_cost=9.0),
        training=Training(steps_per_epoch=12),
    )
    run(config, tmp_path)
    loaded, data = load_run(tmp_path), Digits().load()
    culled = {e["epoch"] for e in loaded.events if e.get("to_stage") == "CULLED"}
    kept = {e["epoch"] for e in loaded.events if e.get("to_stage") == "FOSSILIZED"}
    # The look before the end closed the trials, so that their inputs are no longer there.
    assert (6 in culled, 6 in kept) == (True, False)
    for name, epoch in (("previous", 6), ("last", 7)):
        losses_N, hits_N = scores(loaded.network(name), data.val)
        line = loaded.metrics[epoch - 1]
        assert float(losses_N.mean()) == pytest.approx(line["val_loss"], rel=1e-6)
        assert float(hits_N.mean()) == pytest.approx(line["val_accuracy"])
