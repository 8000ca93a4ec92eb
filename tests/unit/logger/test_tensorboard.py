"""TensorBoard gets one point of every curve per epoch; if it is missing, one line says so."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from esper.contracts.errors import ConfigError
from esper.contracts.event import Event, PolicyUpdate
from esper.contracts.plan import Alternative, Selection
from esper.logger import tensorboard
from esper.logger.tensorboard import Tensorboard

needs_library = pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="needs the extra `tensorboard`"
)


@needs_library
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_curves_can_be_read_back(tmp_path: Path, move: Any, line: Any) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    [sink] = Tensorboard().build(tmp_path)
    sink.start({"name": "digits"})
    sink.event(move(epoch=1))
    other = Alternative(seed=0, blueprint="conv", score=0.5)
    chosen = Selection(
        strategy="ucb",
        slot="block2",
        seed=1,
        blueprint="lora",
        score=0.75,
        alternatives=(other,),
        reason="highest",
    )
    sink.event(Event(epoch=1, body=chosen))
    sink.event(Event(epoch=1, body=PolicyUpdate(policy="p", values={"p/penalty/mlp": 2.0})))
    for epoch in (1, 2):
        sink.epoch(line(epoch=epoch, val_loss=1.0 / epoch))
    sink.close({"status": "finished"})
    read = EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    points = [(point.step, point.value) for point in read.Scalars("val/loss")]
    assert points == [(1, 1.0), (2, 0.5)]
    assert [point.value for point in read.Scalars("slot/block2/1/alpha")] == [0.5, 0.5]
    assert [point.value for point in read.Scalars("lifecycle/blending")] == [1.0, 1.0]
    assert "time/attribution_ms" not in read.Tags()["scalars"]
    [text] = read.Tensors("lifecycle/text_summary")
    assert b"TRAINING to BLENDING" in text.tensor_proto.string_val[0]
    [text] = read.Tensors("selection/text_summary")
    words = b"block2: lora (seed 1) 0.750; alternatives: conv (seed 0) 0.500. highest"
    assert text.tensor_proto.string_val[0] == words
    points = [(point.step, point.value) for point in read.Scalars("p/penalty/mlp")]
    assert points == [(1, 2.0)], "reported once"


def test_without_the_library_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'esper-morph\[tensorboard\]'"):
        Tensorboard().build(tmp_path)


def test_a_sink_that_never_started_can_be_closed(tmp_path: Path) -> None:
    tensorboard.TensorboardSink(tmp_path).close(None)
    assert list(tmp_path.iterdir()) == []
