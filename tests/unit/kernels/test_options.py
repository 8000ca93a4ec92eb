import math

import pytest

from esper.kernels.options import Kernels, RecoveryOptions


@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
def test_a_limit_out_of_range_is_refused_by_its_key(value: float) -> None:
    message = f"kernels.max_flops must be >= 0 and finite, or null, got {value}"
    with pytest.raises(ValueError, match=message):
        Kernels(max_flops=value)


def test_a_limit_can_be_0_and_can_be_absent() -> None:
    assert [Kernels(max_flops=value).max_flops for value in (0.0, None)] == [0.0, None]


@pytest.mark.parametrize("key", ["failures", "rest_epochs", "quarantine_after", "retries"])
@pytest.mark.parametrize("value", [0, -1, 1.5])
def test_counts_of_recovery_are_whole_numbers_from_1(key: str, value: float) -> None:
    rule = "a whole number >= 1" if isinstance(value, int) else "a whole number"
    message = rf"^recovery\.{key} must be {rule}, got {value}$"
    with pytest.raises(ValueError, match=message):
        RecoveryOptions(**{key: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [-0.1, 61.0, math.nan])
def test_a_pause_of_recovery_is_short(value: float) -> None:
    with pytest.raises(
        ValueError, match=rf"^recovery\.backoff_s must be in \[0, 60\], got {value}$"
    ):
        RecoveryOptions(backoff_s=value)
