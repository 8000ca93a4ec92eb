"""Hosts that are trained together, against the runs of the product."""

import json
from pathlib import Path
from typing import Any

import pytest

from esper.config import RunConfig
from esper.data.digits import Digits
from esper.data.spirals import Spirals
from esper.data.text import Text
from esper.logger.none import NoLogger
from esper.model.cnn import CNN
from esper.model.mlp import MLP
from esper.model.resnet import ResNet
from esper.model.transformer import Transformer
from esper.policy.never import Never
from esper.run.run import run
from esper.training.options import Training
from experiments.sizes.stacked import Stack

TASKS: dict[str, dict[str, Any]] = {
    "maps": {"data": Digits(val_fraction=0.6), "model": CNN(hidden=(2,), channels=(4,))},
    "dense": {"data": Spirals(num_samples=200), "model": MLP(hidden=(4, 4), width=4)},
    "tokens": {
        "data": Text(max_windows=60, context=8, batch_size=8),
        "model": Transformer(width=8),
    },
}


def config(rng_seed: int, epochs: int = 4, **task: Any) -> RunConfig:
    training = Training(schedule="constant", lr=0.02)
    fixed: dict[str, Any] = {"policy": Never(), "logger": NoLogger(), "training": training}
    return RunConfig(epochs=epochs, rng_seed=rng_seed, **{**fixed, **task})


@pytest.mark.parametrize("task", TASKS)
def test_each_seed_learns_and_is_read_out_as_in_a_run_of_its_own(task: str, tmp_path: Path) -> None:
    stack = Stack(config(0, **TASKS[task]), TASKS[task]["data"].load(), (3, 5))
    for _ in range(4):
        stack.train()
    assert stack.best is not None
    for place, rng_seed in enumerate(stack.seeds):
        folder = tmp_path / str(rng_seed)
        folder.mkdir()
        summary = run(config(rng_seed, **TASKS[task]), folder)
        lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
        losses = [line["val_loss"] for line in lines]
        assert float(stack.best.losses[place]) == pytest.approx(min(losses), rel=1e-4)
        assert float(stack.best.tests[place]) == pytest.approx(summary["test_loss"], rel=1e-4)
        assert float(stack.best.hits[place]) == pytest.approx(summary["test_accuracy"], abs=0.01)


def test_hosts_with_statistics_are_refused() -> None:
    data = Digits()
    given = config(0, data=data, model=ResNet(channels=(4,), norm="batch"))
    with pytest.raises(ValueError, match="hosts with buffers are not stacked"):
        Stack(given, data.load(), (0, 1))
