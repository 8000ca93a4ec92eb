"""What a model is called with in training: its batch size, and its last inputs where needed."""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from esper.probe.modules import modules_of

NUM_INPUTS = 8
"""Batches from which batch statistics are computed anew."""
_STEPS_TO_COUNT = 2
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
"""Norms whose momentum can be None, for a plain mean; instance norms would compute nothing."""


class RecentInputs:
    """Records the arguments of a model's last training calls; a network without norms needs none.

    calls: positional and keyword arguments of each call, oldest first.
    norms: the batch norms that computed statistics in the last call.
    """

    def __init__(self, model: nn.Module) -> None:
        self._reference = ref(model)
        self.calls: deque[tuple[list[Any], dict[str, Any]]] = deque(maxlen=NUM_INPUTS)
        self.norms: list[nn.Module] = []
        self._hook: RemovableHandle | None = None

    @property
    def is_recording(self) -> bool:
        """True while calls are recorded."""
        return self._hook is not None

    @property
    def is_needed(self) -> bool:
        """True if the network has batch statistics."""
        return any(map(_has_statistics, modules_of(self._model)))

    @property
    def _model(self) -> nn.Module:
        model = self._reference()
        assert model is not None, "a host keeps its model"
        return model

    @property
    def num_samples(self) -> int:
        """Samples in the recorded calls, by the length of each call's first tensor."""
        return sum(_num_samples(args, kwargs) or 0 for args, kwargs in self.calls)

    def record(self, *, wanted: bool) -> None:
        """Start or stop recording; a stop forgets the calls."""
        if wanted == self.is_recording:
            return
        if self._hook is not None:
            self._hook.remove()
            self._hook = None
            self.calls.clear()
            self.norms = []
        elif self.is_needed:
            _RECORDERS[self._model] = self
            self._hook = self._model.register_forward_pre_hook(_note, with_kwargs=True)

    def state(self) -> list[Any]:
        """Return the recorded calls."""
        return [list(call) for call in self.calls]

    def load(self, calls: list[Any]) -> None:
        """Load what `state` returned; call `record` before."""
        self.norms = [module for module in self._model.modules() if _has_statistics(module)]
        self.calls.extend((args, kwargs) for args, kwargs in calls)


_RECORDERS: WeakKeyDictionary[nn.Module, RecentInputs] = WeakKeyDictionary()


# A function, not a method: copies of the model share it, and nothing is recorded for them.
def _note(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if model.training and model in _RECORDERS:
        recorder = _RECORDERS[model]
        recorder.norms = [m for m in model.modules() if m.training and _has_statistics(m)]
        # Copies, because a data loader may fill the same memory again.
        recorder.calls.append((list(_copied(args)), _copied(kwargs)))


def _has_statistics(module: nn.Module) -> bool:
    return isinstance(module, _NORMS) and module.running_mean is not None


def _num_samples(args: Iterable[Any], kwargs: Mapping[str, Any]) -> int | None:
    """Return the length of the first tensor of a call, None without one."""
    tensors = (each for each in (*args, *kwargs.values()) if isinstance(each, Tensor))
    first = next(tensors, None)
    return len(first) if first is not None and first.dim() else None


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


class BatchSize:
    """The samples of an optimizer's step: those of the training calls between its first two.

    Calls before the first step count only until the second, because they may be no training; before
    any it is `guess`.  The hooks that count remove themselves, so that they cost nothing later.

    is_in_eval_mode: whether the model was called with gradients, but never in train mode.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, guess: int) -> None:
        self.value, self.is_counted, self.is_in_eval_mode = guess, False, False
        self._samples = self._steps = 0
        _COUNTERS[model] = self
        self._hooks = (
            model.register_forward_pre_hook(_count, with_kwargs=True),
            optimizer.register_step_post_hook(self._stepped),
        )

    def add(self, num_samples: int) -> None:
        """Count the samples of a training call."""
        self._samples += num_samples
        self.is_in_eval_mode = False

    def note_eval_mode(self) -> None:
        """Note a call with gradients in eval mode."""
        self.is_in_eval_mode = not self._samples and not self._steps

    def _stepped(self, *_: Any) -> None:
        if self._samples:
            self.value, self._samples = self._samples, 0
            self._steps += 1
        if self._steps == _STEPS_TO_COUNT:
            self._end()

    def _end(self) -> None:
        self.is_counted = True
        for hook in self._hooks:
            hook.remove()

    def state_dict(self) -> dict[str, Any]:
        """Return the number, and whether it was counted."""
        return {"value": self.value, "is_counted": self.is_counted}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned; a number that was counted is not counted again."""
        self.value = state["value"]
        if state["is_counted"]:
            self._end()


_COUNTERS: WeakKeyDictionary[nn.Module, BatchSize] = WeakKeyDictionary()


# A function, so that a model can be copied and pickled before its first training call.
def _count(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    counter = _COUNTERS.get(model)
    if counter is None or not torch.is_grad_enabled():
        return
    size = _num_samples(args, kwargs)
    if model.training and size is not None:
        counter.add(size)
    elif not model.training:
        counter.note_eval_mode()
