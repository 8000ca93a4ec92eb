"""Follow the data through a host: which slot's output reaches which slot's input.

One forward pass runs under a mode of torch that sees each operation.  An operation's result comes
from everything that the operation read, so each tensor carries a summary of its past, and a slot's
output starts a new one.  This needs no gradients: frozen hosts, integers, detached tensors and
modules under `no_grad` are followed like the rest.  Not followed is what leaves torch and returns,
by way of NumPy or of Python's numbers, and what a scripted or a mapped (`vmap`) function computes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from esper.contracts.data_flow import MOST_SOURCES, DataFlow, Edge
from esper.probe.modes import eval_mode, every_layer_called
from esper.probe.rng_state import RngState, restored

_READS_NO_VALUES = frozenset(
    f"{kind}_like" for kind in ("zeros", "ones", "empty", "full", "rand", "randn", "randint")
) | frozenset(f"new_{kind}" for kind in ("zeros", "ones", "empty", "full", "empty_strided"))
"""Names of operations that read the shape of a tensor, not what is in it."""

_Length = tuple[int, int]
"""Weight layers and operations on a path; shorter is less."""


@dataclass(frozen=True, slots=True)
class _Past:
    """Where the data of a tensor came from.

    depth: slots on the longest path to it.
    sources: a bit for each slot whose output reaches it through no other slot, and the bit after
        those of all slots if the host's input does.
    paths: the shortest path from each of the nearest of them, nearest first.
    """

    depth: int = 0
    sources: int = 0
    paths: tuple[tuple[int, _Length], ...] = ()

    def after(self, *, weights: int) -> "_Past":
        """Return the past of the result of an operation, which read a weight or none."""
        paths = tuple((slot, (w + weights, n + 1)) for slot, (w, n) in self.paths)
        return _Past(self.depth, self.sources, paths)


_WEIGHT = _Past()
"""Stands for the past of weights, and of what is computed from them alone."""


def _merged(pasts: Sequence[_Past]) -> _Past:
    """Return the past of a value that was computed from several."""
    if len(pasts) == 1:
        return pasts[0]
    sources = 0
    for past in pasts:
        sources |= past.sources
    paths = _nearest(path for past in pasts for path in past.paths)
    return _Past(max((past.depth for past in pasts), default=0), sources, paths)


def _nearest(paths: Iterable[tuple[int, _Length]]) -> tuple[tuple[int, _Length], ...]:
    """Return the shortest path from each slot, for the nearest slots; of equals the later."""
    shortest: dict[int, _Length] = {}
    for slot, length in paths:
        shortest[slot] = min(length, shortest.get(slot, length))
    ranked = sorted(shortest.items(), key=lambda path: (path[1], -path[0]))
    return tuple(ranked[:MOST_SOURCES])


class _Follower(TorchFunctionMode):
    """Keeps the past of every tensor of a forward pass.

    Tensors are known by their id, and kept, so that no other gets the same one.
    """

    def __init__(self, model: nn.Module, example_input: Any, num_slots: int) -> None:
        super().__init__()
        self._known: dict[int, tuple[Tensor, _Past, int]] = {}
        self._written: dict[int, tuple[_Past, int]] = {}
        self._clock = 0
        for tensor in _tensors(example_input):
            self.put(tensor, _Past(sources=1 << num_slots))
        for parameter in model.parameters():
            if parameter.dim() > 1:
                self.put(parameter, _WEIGHT)

    def put(self, tensor: Tensor, past: _Past) -> None:
        """Set the past of a tensor."""
        self._clock += 1
        self._known[id(tensor)] = (tensor, past, self._clock)

    def past(self, value: Any) -> _Past:
        """Return the past of the data in a tensor, or in all tensors of nested lists and dicts."""
        pasts = [past for tensor in _tensors(value) for past in self._pasts(tensor)]
        return _merged([past for past in pasts if past is not _WEIGHT])

    def _pasts(self, tensor: Tensor) -> list[_Past]:
        """Return its own past, and that of a later write to memory that it shares."""
        _, own, known_at = self._known.get(id(tensor), (tensor, None, 0))
        pasts = [] if own is None else [own]
        if self._written:
            past, written_at = self._written.get(_memory(tensor), (_WEIGHT, 0))
            pasts += [past] if written_at > known_at else []
        return pasts

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation, and note where its result came from."""
        del types
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        reads = [*_tensors(args), *_tensors(kwargs)]
        if name.endswith("_as"):
            # `view_as` and its like read only the shape or the type of the second tensor.
            reads = reads[:1]
        pasts = [past for tensor in reads for past in self._pasts(tensor)]
        versions = [_version(tensor) for tensor in reads]
        result = func(*args, **kwargs)
        if pasts and name not in _READS_NO_VALUES:
            before = zip(reads, versions, strict=True)
            written = [tensor for tensor, version in before if _version(tensor) != version]
            same = {id(tensor) for tensor in reads}
            made = [tensor for tensor in _tensors(result) if id(tensor) not in same]
            self._note(pasts, made, written)
        return result

    def _note(self, pasts: list[_Past], made: list[Tensor], written: list[Tensor]) -> None:
        data = [past for past in pasts if past is not _WEIGHT]
        past = _merged(data).after(weights=int(len(data) < len(pasts))) if data else _WEIGHT
        for tensor in (*made, *written):
            self.put(tensor, past)
        for tensor in written:
            self._written[_memory(tensor)] = (past, self._clock)


@dataclass(slots=True)
class _Entries:
    """What reached a slot in its calls: see `_Past`."""

    depth: int = 0
    sources: int = 0
    paths: list[tuple[int, _Length]] = field(default_factory=list)


class _Recorder:
    """Hooks of the slots that record what reaches each of them.

    Args:
        follower: knows where tensors come from.
        slots: modules of the slots, in order.
    """

    def __init__(self, follower: _Follower, slots: Sequence[nn.Module]) -> None:
        self._follower = follower
        self._places = {id(module): place for place, module in enumerate(slots)}
        self._open: list[_Past] = []
        self.entries = [_Entries() for _ in slots]

    def enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        """Note what the call of a slot's block reads."""
        del module
        self._open.append(self._follower.past((args, kwargs)))

    def leave(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        """Record the call of a slot's block; its output comes from this slot alone."""
        place, before = self._places[id(module)], self._open.pop()
        inside = self._follower.past(output)
        entries, known = self.entries[place], {slot for slot, _ in before.paths}
        # A slot in the block, and what the block reads from elsewhere, reach it from inside.
        later = [path for path in inside.paths if path[0] not in known]
        depth = max(before.depth, inside.depth)
        entries.depth = max(entries.depth, depth)
        entries.sources |= before.sources | inside.sources
        entries.paths += [*before.paths, *later]
        if any(output is tensor for tensor in _tensors((args, kwargs))):
            # Others may read the input, whose past must stay.
            output = output.view_as(output)
        self._follower.put(output, _Past(depth + 1, 1 << place, ((place, (0, 0)),)))
        return output


def data_flow(model: nn.Module, example_input: Any, slots: Sequence[str]) -> DataFlow:
    """Return the graph of the slots at the given paths, by a forward pass in eval mode.

    The model, its modes and the random generators do not change.  The time is linear in the number
    of operations, the memory is that of all activations.
    """
    modules = [model.get_submodule(name) for name in slots]
    follower = _Follower(model, example_input, len(modules))
    recorder = _Recorder(follower, modules)
    handles = [
        handle
        for module in modules
        for handle in (
            module.register_forward_pre_hook(recorder.enter, with_kwargs=True),
            module.register_forward_hook(recorder.leave, with_kwargs=True),
        )
    ]
    same_rng = restored(RngState.now())
    try:
        with eval_mode(model), every_layer_called(), same_rng, torch.no_grad(), follower:
            output = model(example_input)
    finally:
        for handle in handles:
            handle.remove()
    deepest = max((entries.depth for entries in recorder.entries), default=0) or 1
    reaching = follower.past(output).sources
    unavoidable = _unavoidable(recorder.entries, reaching)
    return DataFlow(
        positions={
            name: entries.depth / deepest
            for name, entries in zip(slots, recorder.entries, strict=True)
        },
        outputs=tuple(name for place, name in enumerate(slots) if reaching >> place & 1),
        unavoidable=tuple(slots[place] for place in unavoidable),
        edges=tuple(_edges(slots, recorder.entries)),
    )


def _unavoidable(entries: Sequence[_Entries], reaching: int) -> list[int]:
    """Return the slots without which the data of the input would not reach the output.

    `reaching` holds the sources of the output.
    """
    order = sorted(range(len(entries)), key=lambda place: entries[place].depth)

    def is_cut_by(left_out: int) -> bool:
        reached, before = 1 << len(entries), 0
        # One pass finds all, unless slots that are called again read each other.
        while reached != before:
            before = reached
            for place in order:
                if place != left_out and entries[place].sources & reached:
                    reached |= 1 << place
        return not reaching & reached

    return [place for place in range(len(entries)) if is_cut_by(place)]


def _edges(slots: Sequence[str], entries: Sequence[_Entries]) -> Iterator[Edge]:
    for place, (target, reached) in enumerate(zip(slots, entries, strict=True)):
        others = [path for path in reached.paths if path[0] != place]
        slots_alone = (1 << len(slots)) - 1
        num_sources = (reached.sources & slots_alone & ~(1 << place)).bit_count()
        for source, (weights, operations) in sorted(_nearest(others)):
            yield Edge(
                source=slots[source],
                target=target,
                weights=weights,
                operations=operations,
                share=1 / num_sources,
            )


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested lists, tuples and mappings."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each)
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))


def _version(tensor: Tensor) -> int:
    """Return a number that each change in place raises."""
    return 0 if tensor.is_inference() else tensor._version


def _memory(tensor: Tensor) -> int:
    """Return the address of the memory that a tensor shares with its views."""
    is_dense = tensor.layout is torch.strided
    return (tensor.untyped_storage().data_ptr() if is_dense else 0) or id(tensor)
