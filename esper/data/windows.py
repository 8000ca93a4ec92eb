"""Cut a text into windows of characters.  N windows, T characters a window."""

import torch
from torch import Tensor

from esper.contracts.data import DataSpec, InputKind
from esper.data.base import DataSet, Split
from esper.data.text import Text

UNKNOWN = 0
"""Class of all characters that do not occur in train."""


def cut_windows(text: str, options: Text) -> DataSet:
    """Return train, validation and test in the order of the text; no window spans two parts.

    Raises:
        ValueError: if a part is too short for one window and its next character.
    """
    num_val = int(len(text) * options.val_fraction)
    num_test = int(len(text) * options.test_fraction)
    num_train = len(text) - num_val - num_test
    shortest = min(num_train, num_val, num_test)
    if shortest < options.context + 1:
        raise ValueError(
            f"too short: {len(text)} characters leave {shortest} for the smallest of train, "
            f"validation and test, and data.context={options.context} needs {options.context + 1}"
        )
    characters = sorted(set(text[:num_train]))
    vocabulary = {character: i for i, character in enumerate(characters, start=UNKNOWN + 1)}
    codes = torch.tensor([vocabulary.get(character, UNKNOWN) for character in text])
    train, val, test = torch.split(codes, [num_train, num_val, num_test])
    spec = DataSpec(
        kind=InputKind.TOKENS,
        input_shape=(options.context,),
        num_classes=UNKNOWN + 1 + len(vocabulary),
    )
    return DataSet(
        spec=spec,
        train=_windows(train, options, 1 - options.val_fraction - options.test_fraction),
        val=_windows(val, options, options.val_fraction),
        test=_windows(test, options, options.test_fraction),
    )


def _windows(codes: Tensor, options: Text, fraction: float) -> Split:
    """Return disjoint windows, at most this part's fraction of `max_windows`."""
    num_windows = (len(codes) - 1) // options.context
    length = num_windows * options.context
    x_NT = codes[:length].view(num_windows, options.context)
    y_NT = codes[1 : length + 1].view(num_windows, options.context)
    if options.max_windows is None:
        return Split(x=x_NT, y=y_NT)
    num_chosen = min(num_windows, max(1, round(options.max_windows * fraction)))
    chosen = torch.arange(num_chosen) * num_windows // num_chosen
    return Split(x=x_NT[chosen], y=y_NT[chosen])
