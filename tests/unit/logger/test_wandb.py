"""An offline W&B run, read back from its own file; W&B changes nothing else in the process."""

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.errors import ConfigError
from esper.contracts.event import Event, EventKind
from esper.contracts.plan import Alternative, Selection
from esper.kernels.options import RecoveryOptions
from esper.logger.bus import EventBus
from esper.logger.wandb import TABLES, Wandb
from tests.unit.growth.faulty import offered
from tests.unit.scripted import adapt, losses_and_hits, make_grower, script, train

BLOCK = 32_768


@pytest.fixture(autouse=True)
def _stranger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("API_KEY", "IDENTITY_TOKEN_FILE", "BASE_URL", "MODE"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))


def records(path: Path) -> Iterator[Any]:
    """Read W&B's own file: a header of 7 bytes, then records as LevelDB frames them."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, parts = path.read_bytes(), 7, b""
    while position + 7 <= len(data):
        room = BLOCK - position % BLOCK
        if room < 7:
            position += room
            continue
        length, kind = (
            int.from_bytes(data[position + 4 : position + 6], "little"),
            data[position + 6],
        )
        if position + 7 + length > len(data):
            return
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):
            yield Record.FromString(parts)
            parts = b""


def settled(path: Path) -> list[Any]:
    """Return the records once the last is there: W&B's own process writes them behind `finish`."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        entries = list(records(path))
        if any(record.WhichOneof("record_type") == "exit" for record in entries):
            return entries
        time.sleep(0.02)
    raise AssertionError(f"{path} was not finished")


def play(run_dir: Path, move: Any, line: Any, **options: Any) -> Path:
    [sink] = Wandb(tags=("a", "b"), **options).build(run_dir)
    sink.start({"name": "digits", "sweep": "nightly", "config": {"epochs": 2, "model": {"x": 1}}})
    decision = Decision(kind=DecisionKind.ADAPT, slot="block2", reason="plateau")
    sink.event(Event(epoch=1, body=decision))
    sink.event(move(epoch=1))
    other = Alternative(seed=0, blueprint="conv", score=0.5)
    chosen = Selection(
        strategy="ucb",
        slot="block2",
        seed=1,
        blueprint="lora",
        score=0.75,
        alternatives=(other, replace(other, seed=2, blueprint="mlp", score=None)),
        reason="highest",
    )
    sink.event(Event(epoch=1, body=chosen))
    for epoch in (1, 2):
        sink.epoch(line(epoch=epoch, val_loss=1.0 / epoch))
    sink.close({"test_accuracy": 0.9, "grown": [], "git_sha": None})
    [file] = run_dir.glob("wandb/offline-run-*/run-*.wandb")
    return file


def test_a_run_is_whole_in_its_file_and_the_process_is_left_as_it_was(
    tmp_path: Path, move: Any, line: Any
) -> None:
    before = dict(os.environ), sys.exit, sys.excepthook
    run_dir = tmp_path / "run"
    entries = settled(play(run_dir, move, line))
    assert (dict(os.environ), sys.exit, sys.excepthook) == before

    [run] = [record.run for record in entries if record.WhichOneof("record_type") == "run"]
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert (run.project, run.run_group, run.job_type) == ("esper", "nightly", "train")
    assert list(run.tags) == ["a", "b"]
    assert config["model"] == {"x": 1}
    assert run.run_id == (run_dir / "wandb" / "run_id").read_text().strip()

    rows = [
        {
            "/".join(item.nested_key) or item.key: json.loads(item.value_json)
            for item in r.history.item
        }
        for r in entries
        if r.WhichOneof("record_type") == "history"
    ]
    curve = [row for row in rows if "val/loss" in row]
    assert [(row["epoch"], row["val/loss"]) for row in curve] == [(1, 1.0), (2, 0.5)]
    assert curve[0]["slot/block2/1/stage"] == 3
    assert curve[0]["decisions/adapt"] == 1
    assert any(key.startswith("events/lifecycle") for row in rows for key in row), rows
    exits = [r.exit.exit_code for r in entries if r.WhichOneof("record_type") == "exit"]
    assert exits == [0]
    [table] = run_dir.glob("wandb/offline-run-*/files/media/table/events/decision*.json")
    content = json.loads(table.read_text())
    assert content["columns"] == list(TABLES[EventKind.DECISION])
    assert content["data"][0][:3] == [1, "adapt", "block2"]
    [table] = run_dir.glob("wandb/offline-run-*/files/media/table/events/selection*.json")
    others = "conv (seed 0) 0.500, mlp (seed 2)"
    assert json.loads(table.read_text())["data"] == [
        [1, "ucb", "block2", 1, "lora", 0.75, others, "highest"]
    ]


def ruin(model: nn.Module, optimizer: Optimizer) -> None:
    """Train an epoch that ends with a step along a gradient that is not a number."""
    train(model, optimizer)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, float("nan"))
    optimizer.step()


def test_a_run_with_faults_raises_the_alarm_and_goes_on(tmp_path: Path, line: Any) -> None:
    [sink] = Wandb(mode="offline").build(tmp_path)
    sink.start({"name": "faults"})
    with offered("bad") as troubles:
        grower, told = make_grower(
            policy=script(e2=[adapt("0", 1)]),
            blueprint=("bad",),
            recovery=RecoveryOptions(quarantine_after=1),
        )
        told.bus.subscribe(sink.event)
        for epoch in range(1, 10):
            learn = ruin if epoch in (5, 7, 9) else train
            learn(grower.host.model, grower.host.optimizer)
            report = grower.step(losses_and_hits, learn)
            sink.epoch(line(epoch=epoch, val_loss=report.metrics.val_loss))
            if epoch == 2:
                troubles["bad"].forward = ValueError("a mistake")
    sink.close({"rollbacks": grower.governor.rollbacks})

    [file] = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    entries = settled(file)
    alerts = [record.alert for record in entries if record.WhichOneof("record_type") == "alert"]
    assert [(alert.level, alert.title) for alert in alerts] == [
        ("WARN", "Quarantine: bad"),
        ("WARN", "Rolled back to epoch 4 after epoch 5"),
        ("WARN", "Rolled back to epoch 6 after epoch 7"),
        ("WARN", "Rolled back to epoch 8 after epoch 9"),
        ("ERROR", "Growth switched off after epoch 9"),
    ]
    assert alerts[0].text.endswith("barred from the run, last 0 seed 0: ValueError")
    assert [r.exit.exit_code for r in entries if r.WhichOneof("record_type") == "exit"] == [0]
    [table] = tmp_path.glob("wandb/offline-run-*/files/media/table/events/governor*.json")
    rows = json.loads(table.read_text())["data"]
    assert [row[1] for row in rows] == ["rollback", "rollback", "rollback", "end_growth"]
    [table] = tmp_path.glob("wandb/offline-run-*/files/media/table/events/ledger*.json")
    [update] = told.of(EventKind.LEDGER)
    mean = [update.reward, None, update.reward]
    assert json.loads(table.read_text())["data"] == [
        [3, "0", 0, "bad", 1, *mean, 1, 0, 1, update.history.activated_epoch]
    ]


def test_an_alert_that_cannot_be_sent_costs_the_sink_and_not_the_run(
    tmp_path: Path, move: Any, rollback: Any
) -> None:
    [sink] = Wandb(mode="offline").build(tmp_path)
    heard: list[Event] = []
    bus = EventBus(sink)
    bus.subscribe(heard.append)
    bus.start({})
    sink._run.finish()
    bus.publish(rollback())
    bus.publish(move())
    assert heard == [rollback(), move()]
    assert len(bus.failures) == 1
    assert bus.failures[0].startswith("Weights & Biases: ")
    bus.close({})


def test_a_failed_run_is_marked_as_failed(tmp_path: Path, line: Any) -> None:
    [sink] = Wandb(mode="offline").build(tmp_path)
    sink.start({})
    sink.epoch(line(epoch=1))
    sink.close(None)
    sink.close(None)
    [file] = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    exits = [r.exit.exit_code for r in settled(file) if r.WhichOneof("record_type") == "exit"]
    assert exits == [1]


def test_a_resumed_run_keeps_its_id(tmp_path: Path) -> None:
    ids = set()
    for _ in range(2):
        [sink] = Wandb(mode="offline").build(tmp_path)
        sink.start({})
        sink.close({})
        ids.add((tmp_path / "wandb" / "run_id").read_text())
    assert len(ids) == 1


def test_disabled_is_no_sink_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Wandb(mode="disabled").build(tmp_path) == []
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert Wandb().build(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_online_without_a_login_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no login"):
        Wandb(mode="online").build(tmp_path)


def test_a_login_without_a_network_is_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, move: Any, line: Any
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    assert play(tmp_path / "run", move, line).exists()


def test_a_server_that_does_not_answer_in_time_leaves_the_run_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, move: Any, line: Any
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("esper.logger.wandb._INIT_TIMEOUT_S", 1.0)
    entries = settled(play(tmp_path / "run", move, line, mode="online"))
    assert sum(record.WhichOneof("record_type") == "history" for record in entries) >= 2


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"mode": "sometimes"}, r"logger\.mode must be one of auto, offline, .* got 'sometimes'"),
        ({"project": ""}, r"logger\.project must be a name"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Wandb(**options)


def test_tags_given_as_a_list_become_a_tuple() -> None:
    assert Wandb(tags=["x"]).tags == ("x",)  # type: ignore[arg-type]
