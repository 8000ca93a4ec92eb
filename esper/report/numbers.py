"""Numbers as people read them; what is unknown is a dash."""

from typing import Any

UNKNOWN = "-"


def percent(value: Any) -> str:
    """Return 0.9412 as `94.1 %`."""
    return UNKNOWN if value is None else f"{100 * value:.1f} %"


def signed_percent(value: Any) -> str:
    """Return 0.032 as `+3.2 %`."""
    return UNKNOWN if value is None else f"{100 * value:+.1f} %"


def count(value: Any) -> str:
    """Return 1930 as `1,930`."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def decimal(value: Any, digits: int = 3) -> str:
    """Return a number with `digits` decimals."""
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def magnitude(value: Any) -> str:
    """Return 1.23e9 as `1.23 G`."""
    if value is None:
        return UNKNOWN
    for power, letter in ((15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if abs(value) >= 10**power:
            return f"{value / 10**power:.3g} {letter}"
    return f"{value:.3g}"


def measured(metric: str, value: Any) -> str:
    """Return an accuracy in percent, anything else with four decimals."""
    return percent(value) if metric.endswith("accuracy") else decimal(value, 4)
