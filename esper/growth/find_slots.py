"""Find the modules of a host that can hold a slot, by observing forward passes."""

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
from esper.growth.layout import Layout, Sighting
from esper.growth.reachable import unreachable
from esper.probe.modes import eval_mode, every_layer_called
from esper.probe.rng_state import RngState, restored

KIND_OF_RANK = {2: SlotKind.DENSE, 3: SlotKind.SEQUENCE, 4: SlotKind.FEATURE_MAP}
"""Kind of a slot by the rank of its tensors, the batch dimension included."""

Catalogue = Callable[[SlotKind, Placement, tuple[int, ...], tuple[int, ...]], tuple[str, ...]]
"""Names of the blueprints that fit a kind, a placement, an input and an output shape."""


@dataclass(slots=True)
class _Calls:
    """The calls of one module in a forward pass: shapes, and versions of the inputs."""

    inputs: set[tuple[int, ...] | None] = field(default_factory=set)
    outputs: set[tuple[int, ...] | None] = field(default_factory=set)
    last_output: Any = None
    versions: list[tuple[Tensor, int]] = field(default_factory=list)

    def add(self, first: Any, output: Any) -> None:
        """Record a call with the first argument `first`."""
        self.inputs.add(_shape(first))
        self.outputs.add(_shape(output))
        self.last_output = output
        if isinstance(first, Tensor) and not first.is_inference():
            self.versions.append((first, first._version))

    @property
    def sighting(self) -> Sighting:
        """The call as the layout reads it."""
        (inputs, outputs) = (
            next(iter(shapes)) if len(shapes) == 1 else None
            for shapes in (self.inputs, self.outputs)
        )
        return Sighting(inputs, outputs, self.last_output)

    @property
    def keeps_input(self) -> bool:
        """True if no input was changed in place after its call."""
        return all(tensor._version == version for tensor, version in self.versions)


def _shape(value: Any) -> tuple[int, ...] | None:
    """Return the shape of a floating-point tensor, None of anything else."""
    if isinstance(value, Tensor) and value.is_floating_point() and not value.is_nested:
        return tuple(value.shape)
    return None


def _watch(model: nn.Module, example_input: Any) -> dict[str, _Calls]:
    """Run `model` once in eval mode; return the calls of each module by path."""
    calls: dict[str, _Calls] = {}

    def hook(name: str) -> Callable[..., None]:
        def record(_: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
            # The last call counts for the order of the modules.
            calls[name] = calls.pop(name, _Calls())
            calls[name].add(first_argument(args, kwargs), output)

        return record

    handles = [
        module.register_forward_hook(hook(name), with_kwargs=True)
        for name, module in model.named_modules()
    ]
    try:
        with eval_mode(model), every_layer_called(), torch.no_grad(), restored(RngState.now()):
            model(example_input)
    finally:
        for handle in handles:
            handle.remove()
    return calls


class SlotFinder:
    """Finds the modules of a host that can hold a slot, and gives reasons for the others.

    Args:
        model: the host.
        example_input: a batch; the model runs it once as it is and once with a sample added.
        catalogue: returns the blueprints on offer.

    Raises:
        ConfigError: if the model holds kernels.
    """

    def __init__(self, model: nn.Module, example_input: Any, catalogue: Catalogue) -> None:
        if any(isinstance(module, KernelBank) for module in model.modules()):
            raise ConfigError(
                "the model holds kernels of an earlier growth (a host has none to begin with)"
            )
        self.model = model
        self.example_input = example_input
        self.catalogue = catalogue
        self._calls = _watch(model, example_input)
        self._layout = Layout(model, {name: each.sighting for name, each in self._calls.items()})
        self._calls_longer = _watch(model, torch.cat([example_input, example_input[:1]]))

    def spec(self, name: str, placement: str) -> SlotSpec | str:
        """Return the slot at a module path, or the reason why there can be none.

        `placement` is `series`, `parallel`, or `auto` (parallel where a blueprint fits).
        """
        shapes = self._shapes(name)
        if isinstance(shapes, str):
            return shapes
        in_shape, out_shape = shapes
        kind = KIND_OF_RANK[len(out_shape)]
        places = [Placement.PARALLEL, Placement.SERIES] if placement == "auto" else [placement]
        for place in map(Placement, places):
            reads = out_shape if place is Placement.SERIES else in_shape
            if reads is None or len(reads) != len(out_shape):
                continue
            if place is Placement.PARALLEL and not self._is_readable(name, kind):
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

    def _is_readable(self, name: str, kind: SlotKind) -> bool:
        """Return whether a kernel can learn from a module's input.

        The host must not change the input after the block, and its features must be last.
        """
        is_first = kind is SlotKind.SEQUENCE and self._layout.reads_channels_first(name)
        return self._calls[name].keeps_input and not is_first

    def _shapes(self, name: str) -> tuple[tuple[int, ...] | None, tuple[int, ...]] | str:
        """Return the shapes of a module's input and output, or why it can hold no slot."""
        calls = self._calls.get(name)
        if calls is None:
            return "it is not called in forward"
        if len(calls.outputs) > 1 or len(calls.inputs) > 1:
            return "it is called with tensors of different shapes"
        (in_shape,), (out_shape,) = calls.inputs, calls.outputs
        if out_shape is None:
            return "its output is not a floating-point tensor"
        if len(out_shape) not in KIND_OF_RANK:
            return f"its output has {len(out_shape)} dimensions (allowed: 2, 3, 4)"
        return self._misplaced(name, out_shape) or (in_shape, out_shape)

    def _misplaced(self, name: str, out_shape: tuple[int, ...]) -> str | None:
        """Return why the dimensions of an output are not in the order that kernels expect."""
        num = len(self.example_input)
        # One more sample must lengthen the first dimension and no other.
        longer = (out_shape[0] * (num + 1) // num, *out_shape[1:])
        if out_shape[0] % num != 0 or self._calls_longer[name].outputs != {longer}:
            return (
                f"its output {out_shape} does not begin with the batch of "
                f"{num} (layers of torch take batch_first=True)"
            )
        if len(out_shape) == 3 and self._layout.gives_channels_first(name):
            return f"its output {out_shape} has channels before positions (wanted: after)"
        return None

    def listed(self, names: Sequence[str], placement: str) -> list[SlotSpec]:
        """Return the slots at the given paths.

        Raises:
            ConfigError: if a path is not in the host, occurs twice, or cannot hold a slot.
        """
        specs = [self._listed(name, placement) for name in names]
        if len(set(names)) < len(names):
            raise ConfigError(f"slots (model.slots) names a path twice: {', '.join(names)}")
        for name, why in unreachable(self.model, self.example_input, names).items():
            raise ConfigError(f"slots (model.slots): '{name}' cannot hold a slot: {why}")
        return specs

    def _listed(self, name: str, placement: str) -> SlotSpec:
        modules = dict(self.model.named_modules())
        if name not in modules:
            paths = [path for path in modules if path]
            near = difflib.get_close_matches(name, paths)
            hint = f"near matches: {', '.join(near)}" if near else f"paths: {', '.join(paths)}"
            raise ConfigError(f"slots (model.slots): no module '{name}' in the host ({hint})")
        spec = self.spec(name, placement)
        if isinstance(spec, str):
            raise ConfigError(f"slots (model.slots): '{name}' cannot hold a slot: {spec}")
        return spec

    def auto(self, placement: str) -> list[SlotSpec]:
        """Return a slot for each suitable module.

        Suitable are the innermost modules that hold several others (blocks), and layers with
        weights outside of blocks.  The module that computes the host's output gets a slot only if
        no other is suitable.

        Raises:
            ConfigError: if no module is suitable.
        """
        refused: dict[str, str] = {}
        specs = self._suitable(placement, refused)
        while more := unreachable(self.model, self.example_input, [spec.name for spec in specs]):
            refused |= more
            specs = self._suitable(placement, refused)
        if not specs:
            raise ConfigError(
                f"model.slots=auto: no slot can be placed in {type(self.model).__name__} with "
                f"model.placement={placement} (wanted: blocks of shape (batch, features), "
                "(batch, positions, features) or (batch, channels, height, width))"
            )
        output = self._calls[""].last_output
        inner = [spec for spec in specs if self._calls[spec.name].last_output is not output]
        return inner or specs

    def _suitable(self, placement: str, refused: Container[str]) -> list[SlotSpec]:
        """Return the slots of blocks and of layers outside of blocks, except those `refused`."""
        specs = {
            name: spec
            for name, _ in self.model.named_modules()
            if name not in refused and isinstance(spec := self.spec(name, placement), SlotSpec)
        }
        usable = {
            name: module
            for name, module in self.model.named_modules()
            if name and not isinstance(self._shapes(name), str)
        }
        layers = {name for name, module in usable.items() if is_layer(module)}
        blocks = {name for name in specs.keys() & usable if _is_block(usable[name])}
        blocks = _without_wrapped_layers(blocks, layers)
        blocks -= {outer for name in blocks for outer in _around(name)}
        layers = {name for name in layers if not blocks & _around(name)}
        return [spec for name, spec in specs.items() if name in blocks | layers]


def _is_block(module: nn.Module) -> bool:
    """Return whether a module has at least two submodules, one of them with weights."""
    num_modules = len(list(islice(module.modules(), 3)))
    return num_modules == 3 and next(module.parameters(), None) is not None


def is_layer(module: nn.Module) -> bool:
    """Return whether a module is a single layer with a weight matrix."""
    if module._modules or isinstance(module, nn.Embedding):
        return False
    return any(parameter.dim() > 1 for parameter in module.parameters(recurse=False))


def _around(name: str) -> set[str]:
    """Return the paths of the modules around the one at a path, except the host itself."""
    return {name[:place] for place, letter in enumerate(name) if letter == "."}


def _without_wrapped_layers(blocks: set[str], layers: set[str]) -> set[str]:
    """Leave out blocks that hold a single layer and lie beside other layers of a block.

    The shortcut of a residual block is one; a unit of layers in a sequence is not.
    """
    num_layers = Counter(outer for name in layers for outer in _around(name))
    holders = blocks & {name.rpartition(".")[0] for name in layers}
    return {
        name for name in blocks if num_layers[name] > 1 or name.rpartition(".")[0] not in holders
    }
