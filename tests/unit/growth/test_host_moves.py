"""No sequence of operations on a host makes a move outside the lifecycle table."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esper.contracts.errors import LifecycleError
from esper.contracts.stage import ALLOWED_MOVES, BLENDED, LIVE, SeedStage
from esper.growth.attach import bank_of
from esper.growth.host import Host
from esper.growth.param_groups import kernel_groups, stale_entries
from esper.growth.slot import Activation
from esper.kernels.pipeline import build_kernel
from tests.unit.growth.builders import (
    make_host,
)

_S = SeedStage


def _life(kernel: Any, target: float = 1.0) -> Activation:
    return Activation(
        event=0,
        germinated_epoch=1,
        aged_from=1,
        blueprint=kernel.blueprint,
        parameters=kernel.parameters,
        trainable=kernel.trainable,
        flops=kernel.flops,
        latency_ms=None,
        start_accuracy=None,
        start_loss=1.0,
        target=target,
    )


def _germinate(host: Host, slot: str, seed: int) -> None:
    kernel = build_kernel(host.request(slot, seed, "affine", 0))
    host.germinate(slot, seed, kernel, _life(kernel))


MOVES: dict[SeedStage, Callable[[Host, str, int], object]] = {
    _S.GERMINATED: _germinate,
    _S.BLENDING: lambda host, slot, seed: host.blend(slot, seed, 0.5, None, ""),
    _S.CULLED: lambda host, slot, seed: host.cull(slot, seed, 3, ""),
} | {
    stage: lambda host, slot, seed, stage=stage: host.advance(slot, seed, stage, None, "")  # type: ignore[misc]
    for stage in SeedStage
    if stage not in (_S.GERMINATED, _S.BLENDING, _S.CULLED)
}


def _facts(host: Host) -> Any:
    """Return everything that a refused move must not change, in comparable form."""
    return (
        [asdict(seed) for seed in host.seeds()],
        list(host.model.state_dict()),
        [len(group["params"]) for group in host.optimizer.param_groups],
        (len(host.op_log), len(host.closed)),
    )


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(["0", "1"]), st.integers(0, 1), st.sampled_from(list(SeedStage))),
        max_size=40,
    )
)
def test_no_sequence_of_operations_makes_a_move_that_the_table_does_not_hold(
    wishes: list[tuple[str, int, SeedStage]],
) -> None:
    host = make_host("sequential")
    for slot, index, target in wishes:
        stage, before = host.seed(slot, index).stage, _facts(host)
        wanted = target if target is not _S.TRAINING else _S.GERMINATED
        if wanted not in ALLOWED_MOVES[stage]:
            allowed = [str(s) for s in SeedStage if s in ALLOWED_MOVES[stage]]
            with pytest.raises(LifecycleError) as refused:
                MOVES[wanted](host, slot, index)
            assert str(refused.value) == (
                f"slot '{slot}' seed {index}: cannot move {stage} -> {wanted} "
                f"(allowed: {', '.join(allowed) or 'none'})"
            )
            assert _facts(host) == before
            continue
        MOVES[wanted](host, slot, index)
        now = host.seed(slot, index)
        assert now.stage is (_S.TRAINING if wanted is _S.GERMINATED else wanted)
    for seed in host.seeds():
        bank = bank_of(host.slots[seed.slot].module)
        has_kernel = bank is not None and str(seed.index) in bank.kernels
        assert has_kernel == (seed.stage in LIVE | BLENDED) == (seed.current is not None)
        assert ((seed.slot, seed.index) in kernel_groups(host.optimizer)) == has_kernel
        if has_kernel and bank is not None:
            assert (str(seed.index) in bank.isolated) == (seed.stage not in BLENDED)
    assert not stale_entries(host.optimizer, host.model)
