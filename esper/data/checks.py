"""Checks that the options of the `data` group share."""

import math

MAX_SEED = 2**32


def check_batch_size(batch_size: int) -> None:
    """Refuse a batch without samples."""
    if not batch_size >= 1:
        raise ValueError(f"data.batch_size must be >= 1, got {batch_size}")


def check_split_seed(split_seed: int) -> None:
    """Refuse what the generator of the splits cannot take."""
    if not 0 <= split_seed < MAX_SEED:
        raise ValueError(f"data.split_seed must be in [0, {MAX_SEED}), got {split_seed}")


def check_fractions(val_fraction: float, test_fraction: float) -> None:
    """Refuse shares of the data that leave one of the three parts without any."""
    for key, fraction in (("val_fraction", val_fraction), ("test_fraction", test_fraction)):
        if not 0 < fraction < 1:
            raise ValueError(f"data.{key} must be in (0, 1), got {fraction}")
    if not val_fraction + test_fraction < 1:
        raise ValueError(
            "data.val_fraction + data.test_fraction must be < 1, "
            f"got {val_fraction} + {test_fraction}"
        )


def check_finite(key: str, value: float) -> None:
    """Refuse a negative or boundless quantity."""
    if not 0 <= value < math.inf:
        raise ValueError(f"data.{key} must be >= 0 and finite, got {value}")
