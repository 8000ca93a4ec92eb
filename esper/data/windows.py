"""Cut a text into windows of characters.  N windows, T characters a window."""

import torch
from torch import Tensor

from esper.contracts.data import DataSpec, InputKind
from esper.data.base import DataSet, Split

UNKNOWN = 0
"""Class of all characters that do not occur in train."""


def cut_windows(
    text: str,
    *,
    context: int,
    val_fraction: float,
    test_fraction: float,
    max_windows: int | None = None,
) -> DataSet:
    """Return train, validation and test in the order of the text; no window spans two parts.

    Args:
        text: all characters.
        context: characters in a window.
        val_fraction: share of the text for validation.
        test_fraction: share of the text for the test.
        max_windows: limit of the windows of all parts together, None without one.

    Raises:
        ValueError: if a part is too short for one window and its next character.
    """
    num_val = int(len(text) * val_fraction)
    num_test = int(len(text) * test_fraction)
    num_train = len(text) - num_val - num_test
    shortest = min(num_train, num_val, num_test)
    if shortest < context + 1:
        raise ValueError(
            f"too short: {len(text)} characters leave {shortest} for the smallest of train, "
            f"validation and test, and data.context={context} needs {context + 1}"
        )
    characters = sorted(set(text[:num_train]))
    vocabulary = {character: i for i, character in enumerate(characters, start=UNKNOWN + 1)}
    codes = torch.tensor([vocabulary.get(character, UNKNOWN) for character in text])
    train, val, test = torch.split(codes, [num_train, num_val, num_test])

    def limit(fraction: float) -> int | None:
        return None if max_windows is None else max(1, round(max_windows * fraction))

    spec = DataSpec(
        kind=InputKind.TOKENS,
        input_shape=(context,),
        num_classes=UNKNOWN + 1 + len(vocabulary),
    )
    return DataSet(
        spec=spec,
        train=_windows(train, context, limit(1 - val_fraction - test_fraction)),
        val=_windows(val, context, limit(val_fraction)),
        test=_windows(test, context, limit(test_fraction)),
    )


def _windows(codes: Tensor, context: int, most: int | None) -> Split:
    """Return disjoint windows; at most so many, evenly spaced, if there is a limit."""
    num_windows = (len(codes) - 1) // context
    length = num_windows * context
    x_NT = codes[:length].view(num_windows, context)
    y_NT = codes[1 : length + 1].view(num_windows, context)
    if most is None:
        return Split(x=x_NT, y=y_NT)
    num_chosen = min(num_windows, most)
    chosen = torch.arange(num_chosen) * num_windows // num_chosen
    return Split(x=x_NT[chosen], y=y_NT[chosen])
