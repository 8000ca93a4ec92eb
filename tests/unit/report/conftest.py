"""A made-up run, written by the real bus and the real JSONL sink."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from esper.logger.base import Sink
from esper.logger.bus import EventBus
from esper.logger.jsonl import Jsonl
from tests.unit.report.lives import EPOCHS, LIVES, Activation, epoch_line, events_at


def summary_of(
    path: Path, lives: tuple[Activation, ...], rng_seed: int, shift: float
) -> dict[str, Any]:
    kept = [life for life in lives if life.kept]
    return {
        "status": "finished",
        "epochs": EPOCHS,
        "rng_seed": rng_seed,
        "test_accuracy": 0.957 + shift,
        "test_loss": 0.1432,
        "best_val_accuracy": 0.9712 + shift,
        "params_initial": 938,
        "params_final": 938 + sum(life.parameters for life in kept),
        "train_flops": 1.32e9,
        "wall_s": 21.4,
        "control_fraction": 0.031,
        "seeds_germinated": len(lives),
        "seeds_fossilized": len(kept),
        "seeds_culled": len(lives) - len(kept),
        "decisions": 43,
        "adaptations_succeeded": 4,
        "rollbacks": 0,
        "strategy": "thompson",
        "orchestrator": "auto",
        "policy": "heuristic",
        "git_sha": None,
        "versions": {"python": "3.11.7", "torch": "2.13.0"},
        "run_dir": str(path),
        "grown": [
            {
                "slot": life.slot,
                "seed": life.seed,
                "blueprint": life.blueprint,
                "parameters": life.parameters,
                "gain": life.gain,
            }
            for life in kept
        ],
    }


def tell(bus: EventBus, lives: tuple[Activation, ...], epochs: int, shift: float = 0.0) -> None:
    for epoch in range(1, epochs + 1):
        for event in events_at(epoch, lives):
            bus.publish(event)
        bus.epoch(epoch_line(epoch, lives, shift))


def write_run(
    path: Path,
    *,
    lives: tuple[Activation, ...] = LIVES,
    epochs: int = EPOCHS,
    overrides: tuple[str, ...] = (),
    rng_seed: int = 0,
    shift: float = 0.0,
    finished: bool = True,
    sinks: tuple[Sink, ...] = (),
) -> Path:
    """Write a run directory and return its path."""
    (path / ".hydra").mkdir(parents=True)
    config = {
        "epochs": EPOCHS,
        "rng_seed": rng_seed,
        "name": "digits",
        "model": {"num_seeds": 4, "slots": "auto", "hidden": [64, 12]},
        "strategy": {"prior_alpha": 1.0, "prior_beta": 1.0},
    }
    (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    text = yaml.safe_dump(list(overrides))
    (path / ".hydra" / "overrides.yaml").write_text(text, encoding="utf-8")
    bus = EventBus(Jsonl(path), *sinks)
    bus.start({"config": config, "run_dir": path, "name": "digits", "epochs": EPOCHS})
    tell(bus, lives, epochs, shift)
    summary = summary_of(path, lives, rng_seed, shift) if finished else None
    bus.close(summary)
    if summary is not None:
        (path / "summary.json").write_text(json.dumps(summary, indent=2), encoding="utf-8")
    return path


def write_sweep(path: Path) -> Path:
    """Write a sweep of 2 strategies with 3 rng seeds each, and one job that failed."""
    (path / "multirun.yaml").parent.mkdir(parents=True)
    (path / "multirun.yaml").write_text("hydra: {}\n", encoding="utf-8")
    job = 0
    for strategy, shift in (("thompson", 0.0), ("ucb", -0.02)):
        for rng_seed in range(3):
            overrides = (f"strategy={strategy}", f"rng_seed={rng_seed}", "epochs=40")
            write_run(
                path / str(job),
                overrides=overrides,
                rng_seed=rng_seed,
                shift=shift + 0.004 * rng_seed,
            )
            job += 1
    write_run(path / str(job), epochs=2, overrides=("strategy=fixed",), finished=False)
    return path


@pytest.fixture
def make_run() -> Callable[..., Path]:
    return write_run


@pytest.fixture
def make_sweep() -> Callable[[Path], Path]:
    return write_sweep
