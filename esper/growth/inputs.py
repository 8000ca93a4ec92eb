"""The last training inputs of a network with batch norms, kept while a kernel is on trial."""

from collections import deque
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

NUM_INPUTS = 8
"""Batches from which batch statistics are computed anew."""
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
"""Norms whose momentum can be None, for a plain mean; instance norms would compute nothing."""


class RecentInputs:
    """Records the arguments of a model's last training calls; a network without norms needs none.

    calls: positional and keyword arguments of each call, oldest first.
    norms: the batch norms that computed statistics in the last call.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.calls: deque[tuple[list[Any], dict[str, Any]]] = deque(maxlen=NUM_INPUTS)
        self.norms: list[nn.Module] = []
        self._hook: RemovableHandle | None = None

    @property
    def is_recording(self) -> bool:
        """True while calls are recorded."""
        return self._hook is not None

    @property
    def num_samples(self) -> int:
        """Samples in the recorded calls, by the length of each call's first tensor."""
        firsts = (
            next((each for each in (*args, *kwargs.values()) if isinstance(each, Tensor)), None)
            for args, kwargs in self.calls
        )
        return sum(len(first) for first in firsts if first is not None and first.dim())

    def record(self, *, wanted: bool) -> None:
        """Start or stop recording; a stop forgets the calls."""
        if wanted == self.is_recording:
            return
        if self._hook is not None:
            self._hook.remove()
            self._hook = None
            self.calls.clear()
            self.norms = []
        elif any(_has_statistics(module) for module in self.model.modules()):
            self._hook = self.model.register_forward_pre_hook(self._note, with_kwargs=True)

    def _note(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if model.training:
            modules = model.modules()
            self.norms = [m for m in modules if m.training and _has_statistics(m)]
            # Copies, because a data loader may fill the same memory again.
            self.calls.append((list(_copied(args)), _copied(kwargs)))

    def state(self) -> list[Any]:
        """Return the recorded calls."""
        return [list(call) for call in self.calls]

    def load(self, calls: list[Any]) -> None:
        """Load what `state` returned; call `record` before."""
        self.norms = [module for module in self.model.modules() if _has_statistics(module)]
        self.calls.extend((args, kwargs) for args, kwargs in calls)


def _has_statistics(module: nn.Module) -> bool:
    return isinstance(module, _NORMS) and module.running_mean is not None


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, list | tuple):
        items = [_copied(each) for each in value]
        # A named tuple takes its fields one by one.
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    return value
