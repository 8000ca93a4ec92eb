"""Time and memory of a run, over all its parts."""

import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from esper.config import RunConfig
from esper.logger.none import NoLogger
from esper.policy.never import Never
from esper.run import usage
from esper.run.run import run
from esper.run.usage import RunUsage
from esper.training.options import Training

EARLIER = {"elapsed_s": 100.0, "processor_s": 50.0, "peak_memory_mb": 1e6}


def test_work_costs_processor_time_and_sleep_does_not() -> None:
    used = RunUsage()
    began = time.process_time()
    time.sleep(0.2)
    assert used.elapsed_s >= 0.2
    assert used.processor_s < 0.15
    while time.process_time() - began < 0.2:
        pass
    assert used.processor_s >= 0.2


def test_memory_that_was_used_stays_in_the_peak() -> None:
    before = RunUsage().peak_memory_mb
    block = bytearray(64 * 2**20)
    block[:: 2**12] = b"x" * len(block[:: 2**12])
    peak = RunUsage().peak_memory_mb
    del block
    assert before > 10
    assert before <= peak <= RunUsage().peak_memory_mb
    assert peak >= 64


def test_a_resumed_run_adds_its_earlier_parts_and_keeps_the_larger_peak() -> None:
    used = RunUsage()
    now = used.peak_memory_mb
    used.resume(EARLIER)
    assert 100.0 <= used.elapsed_s < 110.0
    assert 50.0 <= used.processor_s < 60.0
    assert used.peak_memory_mb == 1e6 > now
    used.resume({"elapsed_s": 0.0, "processor_s": 0.0, "peak_memory_mb": 0.0})
    assert used.peak_memory_mb == pytest.approx(now, rel=0.1)
    assert used.facts().keys() == EARLIER.keys()


def test_the_processor_seconds_of_a_resumed_run_add_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def part(epochs: int, clock: Any) -> dict[str, Any]:
        """Run up to an epoch with a clock that counts how often it is read."""
        monkeypatch.setattr(usage.time, "process_time", lambda: float(next(clock)))
        training = Training(steps_per_epoch=2)
        return run(
            RunConfig(epochs=epochs, logger=NoLogger(), training=training, policy=Never()), tmp_path
        )

    # Read at the start, in the checkpoint of each epoch, and in the summary.
    assert part(2, count(0))["processor_s"] == 3
    # The second checkpoint holds 2; another start, two checkpoints and the summary add 3.
    assert part(4, count(1000))["processor_s"] == 2 + 3
