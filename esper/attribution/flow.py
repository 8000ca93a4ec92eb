"""Record what flows through the blocks of a host in a forward pass."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from esper.contracts.slot import SlotKind
from esper.growth.attach import BANK, first_argument
from esper.growth.find_slots import is_layer
from esper.growth.host import Host
from esper.probe.rows import rows

_CHANNELS_FIRST = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(slots=True)
class _Seen:
    """A tensor, and its version: one that is changed in place later is not known any more."""

    tensor: Tensor
    version: int

    @classmethod
    def of(cls, value: Any) -> "_Seen | None":
        """Return the record of a floating-point tensor, None of anything else."""
        if not isinstance(value, Tensor) or not value.is_floating_point() or value.is_nested:
            return None
        return None if value.is_inference() else cls(value, value._version)

    @property
    def unchanged(self) -> Tensor | None:
        """The tensor, None if it was changed in place."""
        return self.tensor if self.tensor._version == self.version else None

    def shares_memory(self, other: "_Seen") -> bool:
        """Return whether the tensors are one, or views of one."""
        mine, others = self.tensor.untyped_storage(), other.tensor.untyped_storage()
        return mine.data_ptr() == others.data_ptr()


@dataclass(slots=True)
class BlockFlow:
    """What flowed through a block in its last call.  B samples.

    output: of the slot, kernels included; a tensor with a graph where the call had one.
    """

    kind: SlotKind
    output: Tensor | None = None
    _input: _Seen | None = None
    _hidden: _Seen | None = None
    _hidden_is_last: bool = True
    _layers: set[nn.Module] = field(default_factory=set)

    @property
    def input(self) -> Tensor | None:
        """The block's input, None where it is no tensor or was changed in place since."""
        return None if self._input is None else self._input.unchanged

    def begin(self, value: Any) -> None:
        """Note a call of the block with `value`, and forget an earlier one."""
        self._input, self._hidden, self.output = _Seen.of(value), None, None
        self._layers.clear()

    def enter(self, layer: nn.Module, value: Any) -> None:
        """Note a call of a layer in the block.

        A layer that reads the block's input, such as that of a shortcut, has no hidden units
        before it.
        """
        self._layers.add(layer)
        seen = _Seen.of(value)
        if seen is not None and (self._input is None or not seen.shares_memory(self._input)):
            self._hidden, self._hidden_is_last = seen, not isinstance(layer, _CHANNELS_FIRST)

    def end(self, value: Any) -> Any:
        """Note the slot's output; return the tensor that the host goes on with.

        It is a copy, because the host may change it in place.
        """
        if not isinstance(value, Tensor) or value.is_nested or len(value) < 2:
            return value
        if torch.is_grad_enabled() and not value.requires_grad:
            value = value.detach().requires_grad_()
        self.output = value
        return value.clone()

    def rows_of(self, value_B: Tensor, most_features: int) -> Tensor:
        """Return rows (2, S, F) of a tensor whose dimensions are those of the output."""
        is_last = self.kind is not SlotKind.FEATURE_MAP
        return rows(value_B, most_features=most_features, has_features_last=is_last)

    def output_rows(self, most_features: int) -> Tensor:
        """Return the rows of the output, which must be known."""
        assert self.output is not None, "the block was called"
        return self.rows_of(self.output, most_features)

    def input_rows(self, most_features: int) -> Tensor | None:
        """Return the rows of the block's input at those of the output; None where it has none.

        A feature map of another size is pooled to that of the output.
        """
        value, output = self.input, self.output
        if value is None or output is None or len(value) != len(output):
            return None
        if self.kind is SlotKind.DENSE:
            return rows(value.detach().flatten(1), most_features=most_features)
        if value.dim() != output.dim():
            return None
        if self.kind is SlotKind.FEATURE_MAP and value.shape[2:] != output.shape[2:]:
            size = output.shape[2:]
            value = nn.functional.adaptive_avg_pool2d(value.detach(), (size[0], size[1]))
        elif self.kind is SlotKind.SEQUENCE and value.shape[1] != output.shape[1]:
            return None
        return self.rows_of(value, most_features)

    def unit_rows(self, most_features: int) -> Tensor:
        """Return the rows of the units: of the input of the last layer with a weight matrix.

        Those of the output, which must be known, if fewer than two such layers are called, or
        the last of them reads the block's input.
        """
        hidden = None if self._hidden is None else self._hidden.unchanged
        if hidden is not None and len(self._layers) > 1 and hidden.dim() > 1 and len(hidden) > 1:
            return rows(hidden, most_features=most_features, has_features_last=self._hidden_is_last)
        return self.output_rows(most_features)


@contextmanager
def watched(host: Host) -> Iterator[dict[str, BlockFlow]]:
    """Record the calls of all blocks in a block of code; a block that is not called stays empty."""
    flows = {name: BlockFlow(slot.spec.kind) for name, slot in host.slots.items()}
    handles: list[RemovableHandle] = []
    try:
        for name, slot in host.slots.items():
            handles += _listen(slot.module, flows[name])
        yield flows
    finally:
        for handle in handles:
            handle.remove()


def _listen(block: nn.Module, flow: BlockFlow) -> list[RemovableHandle]:
    def begin(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        flow.begin(first_argument(args, kwargs))

    def enter(layer: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        flow.enter(layer, first_argument(args, kwargs))

    def end(_: nn.Module, __: Any, output: Any) -> Any:
        return flow.end(output)

    layers = [
        module
        for name, module in block.named_modules()
        if module is not block and BANK not in name.split(".") and is_layer(module)
    ]
    return [
        block.register_forward_pre_hook(begin, with_kwargs=True),
        *[layer.register_forward_pre_hook(enter, with_kwargs=True) for layer in layers],
        block.register_forward_hook(end),
    ]
