"""The sizes of what a network reads, and layers that networks share."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

TEMPERATURE = 0.01
"""Log loss by which an offer must be better to be e times as probable, before learning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSizes:
    """Numbers of columns of what a network reads: see `Situation`."""

    run: int
    node: int
    edge: int
    offer: int

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> "InputSizes":
        """Return the sizes that `asdict` gave."""
        return cls(**{name: int(value) for name, value in values.items()})

    def values(self) -> dict[str, int]:
        """Return the sizes by name."""
        return asdict(self)


class Dropout(nn.Module):
    """Leaves out numbers only where a generator is given, whatever mode the module is in."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, values: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return the numbers, a share of them 0 and the others scaled up."""
        if generator is None or self.share == 0:
            return values
        kept = torch.rand(values.shape, generator=generator) >= self.share
        return values * kept / (1 - self.share)


class Head(nn.Module):
    """Two layers to one number, which is 0 before learning."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(width, hidden), nn.Linear(hidden, 1)
        self.dropout = Dropout(dropout)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, values: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return a number for each row, (N,)."""
        hidden = self.dropout(functional.gelu(self.first(values)), generator)
        number: Tensor = self.last(hidden)
        return number[:, 0]


class Sharpness(nn.Module):
    """Turns log loss into logits; learned, and > 0."""

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(-math.log(TEMPERATURE)))

    def forward(self, values: Tensor) -> Tensor:
        """Return the logits of net gains."""
        logits: Tensor = values * self.log_scale.exp()
        return logits
