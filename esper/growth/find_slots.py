"""Find where slots can sit in a host, by watching one forward pass."""

import difflib
from collections import Counter
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from esper.contracts.errors import ConfigError
from esper.contracts.slot import Placement, SlotKind, SlotSpec
from esper.growth.attach import first_argument
from esper.growth.bank import KernelBank
from esper.growth.reachable import unreachable
from esper.probe.modes import eval_mode, every_layer_called
from esper.probe.rng_state import RngState, restored

KIND_OF_RANK = {2: SlotKind.DENSE, 3: SlotKind.SEQUENCE, 4: SlotKind.FEATURE_MAP}
"""Kind of a slot by the rank of its tensors, the batch dimension included."""

Catalogue = Callable[[SlotKind, Placement, tuple[int, ...], tuple[int, ...]], tuple[str, ...]]
"""Names of the blueprints that fit a kind, a placement, an input and an output shape."""


@dataclass(slots=True)
class _Seen:
    """What passed through one module during the probe."""

    inputs: set[tuple[int, ...] | None] = field(default_factory=set)
    outputs: set[tuple[int, ...] | None] = field(default_factory=set)
    is_last: bool = False
    keeps_input: bool = True


def _shape(value: Any) -> tuple[int, ...] | None:
    """Return the shape of a floating-point tensor, None of anything else."""
    if isinstance(value, Tensor) and value.is_floating_point() and not value.is_nested:
        return tuple(value.shape)
    return None


def watch(model: nn.Module, example_input: Any) -> dict[str, _Seen]:
    """Run `model` once in eval mode and return what each called module saw, by path."""
    seen: dict[str, _Seen] = {}
    last_output: list[Any] = []
    outputs: dict[str, Any] = {}
    read: list[tuple[str, Tensor, int]] = []

    def hook(name: str) -> Callable[..., None]:
        def record(_: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
            entry = seen.setdefault(name, _Seen())
            first = first_argument(args, kwargs)
            entry.inputs.add(_shape(first))
            if isinstance(first, Tensor) and not first.is_inference():
                read.append((name, first, first._version))
            entry.outputs.add(_shape(output))
            outputs[name] = output

        return record

    handles = [
        module.register_forward_hook(hook(name), with_kwargs=True)
        for name, module in model.named_modules()
    ]
    try:
        with eval_mode(model), every_layer_called(), torch.no_grad(), restored(RngState.now()):
            last_output.append(model(example_input))
    finally:
        for handle in handles:
            handle.remove()
    for name, output in outputs.items():
        seen[name].is_last = output is last_output[0]
    for name, tensor, version in read:
        seen[name].keeps_input &= tensor._version == version
    return seen


def _convolves(module: nn.Module) -> bool:
    """Return whether what `module` gives lies as one-dimensional convolutions want it."""
    last = list(module.modules())[-1]
    return isinstance(module, nn.Conv1d) or isinstance(last, nn.Conv1d | nn.BatchNorm1d)


class SlotFinder:
    """Answers which modules of a host can hold a slot, and why others cannot."""

    def __init__(self, model: nn.Module, example_input: Any, catalogue: Catalogue) -> None:
        if any(isinstance(module, KernelBank) for module in model.modules()):
            raise ConfigError(
                "the model holds kernels of an earlier growth (a host has none to begin with)"
            )
        self.model = model
        self.example_input = example_input
        self.catalogue = catalogue
        self.seen = watch(model, example_input)
        self.seen_longer = watch(model, torch.cat([example_input, example_input[:1]]))

    def spec(self, name: str, placement: str) -> SlotSpec | str:
        """Return the slot at a path, or the reason why there can be none.

        Args:
            name: module path.
            placement: `series`, `parallel`, or `auto` (parallel where a blueprint fits).
        """
        shapes = self._shapes(name)
        if isinstance(shapes, str):
            return shapes
        in_shape, out_shape = shapes
        kind = KIND_OF_RANK[len(out_shape)]
        wanted = [Placement.PARALLEL, Placement.SERIES] if placement == "auto" else [placement]
        for place in map(Placement, wanted):
            reads = out_shape if place is Placement.SERIES else in_shape
            if reads is None or len(reads) != len(out_shape):
                continue
            if place is Placement.PARALLEL and not self.seen[name].keeps_input:
                # Its host changes the block's input afterwards: a kernel could not learn from it.
                continue
            names = self.catalogue(kind, place, reads[1:], out_shape[1:])
            if names:
                return SlotSpec(
                    name=name,
                    kind=kind,
                    placement=place,
                    in_shape=reads[1:],
                    out_shape=out_shape[1:],
                    catalogue=names,
                )
        return f"no blueprint fits a {kind} block {in_shape} -> {out_shape} ({placement})"

    def _shapes(self, name: str) -> tuple[tuple[int, ...] | None, tuple[int, ...]] | str:
        seen = self.seen.get(name)
        if seen is None:
            return "it is not called in forward"
        if len(seen.outputs) > 1 or len(seen.inputs) > 1:
            return "it is called with tensors of different shapes"
        (in_shape,), (out_shape,) = seen.inputs, seen.outputs
        if out_shape is None:
            return "its output is not a floating-point tensor"
        if len(out_shape) not in KIND_OF_RANK:
            return f"its output has {len(out_shape)} dimensions (allowed: 2, 3, 4)"
        return self._misplaced(name, out_shape) or (in_shape, out_shape)

    def _misplaced(self, name: str, out_shape: tuple[int, ...]) -> str | None:
        """Return why the dimensions of an output are not in the order that kernels expect."""
        if not self._begins_with_batch(name, out_shape):
            return (
                f"its output {out_shape} does not begin with the batch of "
                f"{len(self.example_input)} (layers of torch take batch_first=True)"
            )
        if len(out_shape) == 3 and _convolves(self.model.get_submodule(name)):
            return f"its output {out_shape} has channels before positions (wanted: after)"
        return None

    def _begins_with_batch(self, name: str, out_shape: tuple[int, ...]) -> bool:
        """Return whether the first dimension grows with the batch, and no other does."""
        longer = self.seen_longer[name].outputs
        num = len(self.example_input)
        wanted = (out_shape[0] * (num + 1) // num, *out_shape[1:])
        return out_shape[0] % num == 0 and longer == {wanted}

    def listed(self, names: Sequence[str], placement: str) -> list[SlotSpec]:
        """Return the slots at the paths given; raises `ConfigError` for one that cannot be."""
        specs = [self._listed(name, placement) for name in names]
        if len({spec.name for spec in specs}) < len(specs):
            raise ConfigError(f"model.slots names a path twice: {', '.join(names)}")
        for name, why in unreachable(self.model, self.example_input, names).items():
            raise ConfigError(f"model.slots: '{name}' cannot hold a slot: {why}")
        return specs

    def _listed(self, name: str, placement: str) -> SlotSpec:
        known = dict(self.model.named_modules())
        if name not in known:
            near = difflib.get_close_matches(name, [n for n in known if n], n=3, cutoff=0.3)
            hint = f"near matches: {', '.join(near)}" if near else f"paths: {', '.join(known)}"
            raise ConfigError(f"model.slots: no module '{name}' in the host ({hint})")
        spec = self.spec(name, placement)
        if isinstance(spec, str):
            raise ConfigError(f"model.slots: '{name}' cannot hold a slot: {spec}")
        return spec

    def auto(self, placement: str) -> list[SlotSpec]:
        """Return a slot for every sensible block; raises `ConfigError` when there is none.

        Sensible are the innermost modules that hold several others (blocks), and, outside of
        blocks, layers with weights of their own; what gives the host's own output only serves
        when there is nothing else.
        """
        lost: dict[str, str] = {}
        while True:
            found = self._sensible(placement, lost)
            more = unreachable(self.model, self.example_input, [spec.name for spec in found])
            if not more:
                break
            lost |= more
        inner = [spec for spec in found if not self.seen[spec.name].is_last]
        if not found:
            raise ConfigError(
                f"model.slots=auto: no slot can be placed in {type(self.model).__name__} with "
                f"model.placement={placement} (wanted: blocks of shape (batch, features), "
                "(batch, positions, features) or (batch, channels, height, width))"
            )
        return inner or found

    def _sensible(self, placement: str, lost: Container[str]) -> list[SlotSpec]:
        """Return the slots of the sensible modules, those that were `lost` left out."""
        specs = {
            name: spec
            for name, _ in self.model.named_modules()
            if name not in lost and isinstance(spec := self.spec(name, placement), SlotSpec)
        }
        layers = self._layers()
        blocks = _whole(self._blocks() & specs.keys(), layers)
        blocks -= {outer for name in blocks for outer in _around(name)}
        layers = {name for name in layers if not blocks & _around(name)}
        return [spec for name, spec in specs.items() if name in blocks | layers]

    def _usable(self, name: str) -> bool:
        return name != "" and name in self.seen and not isinstance(self._shapes(name), str)

    def _blocks(self) -> set[str]:
        """Return the paths of modules with at least two submodules, one of them with weights."""
        return {
            name
            for name, module in self.model.named_modules()
            if self._usable(name)
            and len(list(islice(module.modules(), 3))) == 3
            and any(True for _ in module.parameters())
        }

    def _layers(self) -> set[str]:
        """Return the paths of single layers that map features: they hold a weight matrix."""
        return {
            name
            for name, module in self.model.named_modules()
            if self._usable(name)
            and not module._modules
            and not isinstance(module, nn.Embedding)
            and any(parameter.dim() > 1 for parameter in module.parameters(recurse=False))
        }


def _around(name: str) -> set[str]:
    """Return the paths of the modules that hold the one at a path, the host's own left out."""
    return {name[:place] for place, letter in enumerate(name) if letter == "."}


def _whole(blocks: set[str], layers: set[str]) -> set[str]:
    """Leave out blocks that are a single layer in a wrapping, one of several layers of a block.

    So is the shortcut of a residual block; a unit of layers that stand in a row is none.
    """
    num_layers = Counter(outer for name in layers for outer in _around(name))
    holders = {name.rpartition(".")[0] for name in layers}
    parents = {name: name.rpartition(".")[0] for name in blocks}
    return {
        name
        for name, parent in parents.items()
        if num_layers[name] > 1 or parent not in blocks & holders
    }
