"""Named regions of the program, and counters of their entries and calls.

A region is a function of the product.  `watch` replaces it in this process by a wrapper that passes
each entry to a callback.  Within an entry, Python's profiler counts calls, those into C included.
So a moment (region, entry, calls) lies between any two calls, such as a write and its flush.
"""

import functools
import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

Call = functools.partial[Any]
Around = Callable[[str, Call], Any]
"""Takes a region's name and the call that enters it, makes the call and returns its result."""


@dataclass(frozen=True, slots=True)
class Region:
    """A function of the product.

    word: argument that makes a call an entry; if empty, every call is one.
    """

    module: str
    path: str
    word: str = ""

    def counts(self, arguments: tuple[Any, ...]) -> bool:
        """Return whether a call with these arguments is an entry of this region."""
        return not self.word or any(str(argument) == self.word for argument in arguments)


REGIONS = {
    "start": Region("esper.grower.grower", "Grower.__init__"),
    "training": Region("esper.training.epoch", "Epoch.train"),
    "control step": Region("esper.grower.grower", "Grower.step"),
    "change": Region("esper.grower.adapt", "Adapter.adapt"),
    "germination": Region("esper.growth.host", "Host.germinate"),
    "blending": Region("esper.growth.host", "Host.blend"),
    "cull": Region("esper.growth.host", "Host.cull"),
    "fossil": Region("esper.growth.host", "Host.advance", "FOSSILIZED"),
    "record": Region("esper.logger.jsonl", "Jsonl.epoch"),
    "checkpoint": Region("esper.checkpoint.rotation", "CheckpointRotation.save"),
    "checkpoint file": Region("esper.checkpoint.format", "write_file"),
    "checkpoint turn": Region("esper.checkpoint.rotation", "CheckpointRotation._put_in_place"),
    "checkpoint best": Region("esper.checkpoint.rotation", "CheckpointRotation._link_best"),
    "resuming": Region("esper.run.checkpoints", "RunCheckpoints.resume"),
    "end": Region("esper.run.run", "save_network"),
}


def watch(around: Around, regions: Mapping[str, Region] = REGIONS) -> None:
    """Pass every further entry of the regions in this process to `around`."""
    for name, region in regions.items():
        *outer, last = region.path.split(".")
        owner: Any = importlib.import_module(region.module)
        for part in outer:
            owner = getattr(owner, part)
        setattr(owner, last, _watched(getattr(owner, last), name, region, around))


def _watched(
    original: Callable[..., Any], name: str, region: Region, around: Around
) -> Callable[..., Any]:
    @functools.wraps(original)
    def entered(*arguments: Any, **named: Any) -> Any:
        call = functools.partial(original, *arguments, **named)
        counts = region.counts((*arguments, *named.values()))
        return around(name, call) if counts else call()

    return entered


@dataclass
class Census:
    """Counts the entries of every region, and the calls that Python makes in each."""

    calls: dict[str, list[int]] = field(default_factory=dict)
    _open: list[list[int]] = field(default_factory=list)

    def around(self, name: str, call: Call) -> Any:
        """Make an entry and count its calls, including those of nested regions."""
        counter = [0]
        self._open.append(counter)
        sys.setprofile(self._count)
        try:
            return call()
        finally:
            self._open.remove(counter)
            if not self._open:
                sys.setprofile(None)
            self.calls.setdefault(name, []).append(counter[0])

    def _count(self, frame: FrameType, event: str, argument: Any) -> None:
        for counter in self._open:
            counter[0] += 1


@dataclass
class Trigger:
    """Calls `then` once: after `calls` calls within one entry of a region, or at its end.

    entry: number of the entry, from 0.
    """

    region: str
    entry: int
    calls: int
    then: Callable[[FrameType | None], None]
    _entries: int = 0
    _calls: int = 0

    def around(self, name: str, call: Call) -> Any:
        """Make an entry; call `then` within it if it is the chosen one."""
        if name != self.region:
            return call()
        self._entries += 1
        if self._entries - 1 != self.entry:
            return call()
        sys.setprofile(self._count)
        try:
            result = call()
        finally:
            sys.setprofile(None)
        if self._calls <= self.calls:
            self.then(None)
        return result

    def _count(self, frame: FrameType, event: str, argument: Any) -> None:
        self._calls += 1
        if self._calls > self.calls:
            sys.setprofile(None)
            self.then(frame)
