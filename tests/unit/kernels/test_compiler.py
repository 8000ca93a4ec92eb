"""Kernels that torch's own compiler makes machine code of, in a run and ahead of it."""

import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from esper.contracts.decision import DecisionKind
from esper.contracts.event import EventKind
from esper.kernels.compiled import compiled_of
from esper.kernels.options import Kernels
from esper.kernels.pipeline import KernelPipeline
from esper.kernels.warming import Warming, asked
from tests.unit.growth.builders import grow, kernel_of, make_host
from tests.unit.kernels.builders import make_request
from tests.unit.scripted import adapt, go, same_weights, script, verdict

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler"),
    # Torch's compiler makes use of what torch gives up.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
]

BLUEPRINT = "affine"
"""One that is compiled in a second."""

POLICY = script(
    e2=[adapt("0", 1)],
    e8=[verdict(DecisionKind.CULL, "0", 0)],
    e9=[adapt("3", 1)],
)


def run(**options: Any) -> Any:
    kernels = Kernels(**({"disk_mb": 0, "ahead": False} | options))
    return go(policy=POLICY, blueprint=BLUEPRINT, num_seeds=1, grow_until=1.0, kernels=kernels)


def test_a_run_with_compiled_kernels_is_the_run_without_but_for_rounding() -> None:
    eager, compiled = run(), run(compile=True)
    kernels = compiled.told.of(EventKind.KERNEL)
    assert [kernel.graphs for kernel in kernels] == [3, 3]
    assert all(kernel.compile_ms > 0 for kernel in kernels)
    assert compiled.told.of(EventKind.RECOVERY) == []
    assert compiled.stages("0", 0) == eager.stages("0", 0)
    # Ramps of alpha, evaluations, twins, a cull and another kernel: not one graph more.
    assert compiled.grower.adapter.pipeline.num_graphs == 6
    losses = [[r.metrics.val_loss for r in each.reports] for each in (eager, compiled)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    compiled.grower.close()


def test_where_there_is_no_compiler_kernels_run_eagerly_and_that_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from torch._inductor import config

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    with config.patch({"cpp.cxx": (str(tmp_path / "no-compiler"),)}):
        eager, compiled = run(), run(compile=True)
    told = compiled.told.of(EventKind.RECOVERY)
    assert [(r.where, r.strategy, r.recovered, r.slot, r.blueprint) for r in told] == [
        ("kernel", "fallback", True, "0", BLUEPRINT),
        ("kernel", "fallback", True, "3", BLUEPRINT),
    ]
    assert all(r.message.startswith("it cannot be compiled and runs eagerly: ") for r in told)
    assert same_weights(compiled.model, eager.model)
    compiled.grower.close()


def test_a_kernel_out_of_a_checkpoint_runs_compiled_too() -> None:
    host = make_host("mlp")
    grow(host, "block1", blueprint=BLUEPRINT)
    pipeline = KernelPipeline(Kernels(compile=True, disk_mb=0), 0)
    twin = host.copy()
    pipeline.compile_living([host, twin])
    first, second = (compiled_of(kernel_of(each, "block1")) for each in (host, twin))
    assert first is second is not None
    assert pipeline.drain() == []
    assert pipeline.num_graphs == first.graphs == 3
    pipeline.compile_living([host, twin])
    assert pipeline.num_graphs == 3
    host.cull("block1", 0, 1, "")
    pipeline.compile_living([host])
    assert pipeline.num_graphs == 3, "what was compiled is counted, though it has gone"
    pipeline.close()


def test_another_process_compiles_ahead_and_is_waited_for_where_it_is_at_a_kernel() -> None:
    kernels = [asked(make_request(name)) for name in (BLUEPRINT, "noop", "lora")]
    warming = Warming()
    warming.start(kernels)
    process = warming._process
    assert process is not None
    warming.start(kernels)
    assert warming._process is process, "one at a time"
    while warming._num_begun == 0:
        warming.wait_for(kernels[-1])
        time.sleep(0.01)
    warming.wait_for(kernels[0])
    assert warming._num_begun >= 2, "the first is done"
    warming.wait_for(asked(make_request("mlp")))
    warming.close()
    warming.close()
    assert process.poll() is not None
    assert torch.get_num_threads() == 1
