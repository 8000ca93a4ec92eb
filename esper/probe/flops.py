"""Count the FLOPs of a forward pass: matrix products and convolutions, 2 for a multiply-add."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from esper.probe.modes import eval_mode, every_layer_called
from esper.probe.rng_state import RngState, restored


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


_MAPPING = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}
"""Fused attention on a CPU, which torch's counter omits."""


def forward_flops(model: nn.Module, example_input: Tensor) -> float:
    """Return the forward FLOPs of `model` in eval mode for one sample.

    Gradients are enabled, so that torch does not use fused operators, which hide FLOPs.
    """
    counter = FlopCounterMode(display=False, custom_mapping=_MAPPING)
    same_rng = restored(RngState.now())
    with eval_mode(model), every_layer_called(), same_rng, torch.enable_grad(), counter:
        model(example_input)
    return counter.get_total_flops() / len(example_input)
