"""Numbers as people read them; an unknown number is a dash."""

import re
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any, TypeGuard

UNKNOWN = "-"

# Not a digit of a name, such as 'block2' or '0'.
_NUMBER = re.compile(r"(?<![\w'.])[-+]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?")
_REMARK = re.compile(r" \([^()]*\)$")


def is_number(value: object) -> TypeGuard[float]:
    """Return whether `value` is a finite number; a bool is not a number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def percent(fraction: float | None) -> str:
    """Return 0.9412 as `94.1 %`."""
    return UNKNOWN if fraction is None else f"{100 * fraction:.1f} %"


def signed_percent(
    fraction: float | None, error: float | None = None, *, margin: str = "+-"
) -> str:
    """Return 0.032 as `+3.2 %`, and with an error of 0.004 as `+3.2 % +- 0.4`."""
    words = UNKNOWN if fraction is None else f"{100 * fraction:+.1f} %"
    return words if error is None else f"{words} {margin} {100 * error:.1f}"


def decimal(value: float | None, digits: int = 3) -> str:
    """Return a number with `digits` decimals."""
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def count(value: float | None) -> str:
    """Return 1930 as `1,930`."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def plural(number: int, noun: str, nouns: str | None = None) -> str:
    """Return `1 kernel` or `2 kernels`; `nouns` is a plural that is not formed by an s."""
    return f"{number:,} {noun if number == 1 else nouns or f'{noun}s'}"


def magnitude(value: float | None) -> str:
    """Return 1.23e9 as `1.23 G`, for a unit to follow."""
    if value is None:
        return "unknown "
    for power, letter in ((15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if abs(value) >= 10**power:
            return f"{value / 10**power:.3g} {letter}"
    return f"{value:.3g} "


def duration(seconds: float | None) -> str:
    """Return 75 as `1 min 15 s`."""
    if seconds is None:
        return UNKNOWN
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def place(slot: str | None, seed: int | None = None) -> str:
    """Return `block2 seed 0`; the slot without a name is the host itself."""
    return (slot or "host") + ("" if seed is None else f" seed {seed}")


def without_details(words: str) -> str:
    """Return words with `#` for every number and without a remark in parentheses at their end.

    So those that differ in numbers, or in an example, agree.
    """
    return _NUMBER.sub("#", _REMARK.sub("", words))


def spans(numbers: Iterable[int]) -> str:
    """Return 7, 8, 9, 12 as `7 to 9, 12`; each number counts once."""
    ends: list[list[int]] = []
    for number in sorted(set(numbers)):
        if ends and number == ends[-1][1] + 1:
            ends[-1][1] = number
        else:
            ends.append([number, number])
    return ", ".join(f"{low}" if low == high else f"{low} to {high}" for low, high in ends)


def scored(options: Iterable[Mapping[str, Any]]) -> str:
    """Return `conv (seed 0) 0.412, mlp (seed 1)`: blueprints with their scores where known."""
    return ", ".join(
        f"{option['blueprint']} (seed {option['seed']})"
        + ("" if option.get("score") is None else f" {decimal(option['score'])}")
        for option in options
    )


def measured(metric: str, value: Any) -> str:
    """Return an accuracy in percent, any other metric with four decimals."""
    return percent(value) if metric.endswith("accuracy") else decimal(value, 4)
