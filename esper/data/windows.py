"""Cut a text into windows of characters.  N windows, T characters a window."""

from dataclasses import dataclass

import torch
from torch import Tensor

from esper.contracts.data import DataSpec, InputKind
from esper.data.base import DataSet, Split

UNKNOWN = 0
"""Class of every character that the train part does not hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How the text is cut; the fields are those of `Text`."""

    context: int
    val_fraction: float
    test_fraction: float
    max_windows: int | None


def cut_windows(text: str, cut: Cut) -> DataSet:
    """Return train, validation and test, in the order of the text; no window crosses a border.

    Raises:
        ValueError: if a part is too short for one window and its next character.
    """
    num_val = int(len(text) * cut.val_fraction)
    num_test = int(len(text) * cut.test_fraction)
    num_train = len(text) - num_val - num_test
    shortest = min(num_train, num_val, num_test)
    if shortest < cut.context + 1:
        raise ValueError(
            f"too short: {len(text)} characters leave {shortest} for the smallest of train, "
            f"validation and test, and data.context={cut.context} needs {cut.context + 1}"
        )
    vocabulary = {
        character: UNKNOWN + 1 + i for i, character in enumerate(sorted(set(text[:num_train])))
    }
    codes = torch.tensor([vocabulary.get(character, UNKNOWN) for character in text])
    train, val, test = torch.split(codes, [num_train, num_val, num_test])
    spec = DataSpec(
        kind=InputKind.TOKENS, input_shape=(cut.context,), num_classes=UNKNOWN + 1 + len(vocabulary)
    )
    return DataSet(
        spec=spec,
        train=_windows(train, cut, 1 - cut.val_fraction - cut.test_fraction),
        val=_windows(val, cut, cut.val_fraction),
        test=_windows(test, cut, cut.test_fraction),
    )


def _windows(codes: Tensor, cut: Cut, fraction: float) -> Split:
    """Return windows that do not overlap, at most this part's fraction of `max_windows`."""
    num_windows = (len(codes) - 1) // cut.context
    length = num_windows * cut.context
    x_NT = codes[:length].view(num_windows, cut.context)
    y_NT = codes[1 : length + 1].view(num_windows, cut.context)
    if cut.max_windows is None:
        return Split(x=x_NT, y=y_NT)
    wanted = min(num_windows, max(1, round(cut.max_windows * fraction)))
    chosen = torch.arange(wanted) * num_windows // wanted
    return Split(x=x_NT[chosen], y=y_NT[chosen])
