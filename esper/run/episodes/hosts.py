"""The hosts of growth tasks: chains of small blocks, one slot a block, some with damage.

Shapes: B batch, D features, T positions, C channels, H height, W width.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from esper.contracts.slot import SlotKind
from esper.probe.rng_state import seed_torch
from esper.run.episodes.data import FEATURES, POSITIONS, TOKENS
from esper.run.episodes.task import Damage, EpisodeTask

WIDTH = {SlotKind.DENSE: 16, SlotKind.FEATURE_MAP: 8, SlotKind.SEQUENCE: 16}
"""Features, or channels, between the blocks."""

ALIVE = 1
"""Hidden units that the damage `dead` spares."""


class Dense(nn.Module):
    """A block of two linear layers."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x_BD: Tensor) -> Tensor:
        """Return features of the same shape."""
        y_BD: Tensor = self.last(gelu(self.first(x_BD)))
        return y_BD


class Convolution(nn.Module):
    """A block of a 3x3 and a 1x1 convolution."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, hidden, 3, padding=1)
        self.last = nn.Conv2d(hidden, width, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return a feature map of the same shape."""
        y_BCHW: Tensor = self.last(gelu(self.first(x_BCHW)))
        return y_BCHW


class Attention(nn.Module):
    """A block of normalised self-attention with one head of `hidden` features."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first, self.last = nn.Linear(width, 3 * hidden), nn.Linear(hidden, width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Return features of the same shape."""
        queries, keys, values = self.first(self.norm(x_BTD)).chunk(3, dim=-1)
        y_BTD: Tensor = self.last(scaled_dot_product_attention(queries, keys, values))
        return y_BTD


class FeedForward(Dense):
    """A block of two linear layers on normalised features."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__(width, hidden)
        self.norm = nn.LayerNorm(width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Return features of the same shape."""
        return super().forward(self.norm(x_BTD))


class Embedding(nn.Module):
    """Embeds tokens and their positions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(TOKENS, width), nn.Embedding(POSITIONS, width)

    def forward(self, x_BT: Tensor) -> Tensor:
        """Return features (B, T, D)."""
        y_BTD: Tensor = self.tokens(x_BT) + self.positions.weight
        return y_BTD


class EpisodeHost(nn.Module):
    """A stem, a chain of blocks, and a linear read-out."""

    def __init__(self, task: EpisodeTask) -> None:
        super().__init__()
        width = WIDTH[task.kind]
        self.kind, self.residual = task.kind, task.residual
        self.stem = _stem(task.kind, width)
        self.blocks = nn.ModuleList(
            _block(task.kind, place, width, hidden) for place, hidden in enumerate(task.hidden)
        )
        self.head = nn.Linear(width, task.classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, classes)."""
        h = self.stem(x)
        for block, is_residual in zip(self.blocks, self.residual, strict=True):
            h = h + block(h) if is_residual else block(h)
        if self.kind is SlotKind.FEATURE_MAP:
            h = h.mean((2, 3))
        elif self.kind is SlotKind.SEQUENCE:
            h = h[:, -1]
        logits: Tensor = self.head(h)
        return logits


def build_host(task: EpisodeTask, rng_seed: int) -> EpisodeHost:
    """Return the untrained host of a task, damaged if the task says so."""
    seed_torch(_mixed(task.index, rng_seed))
    host = EpisodeHost(task)
    for block, is_residual in zip(host.blocks, task.residual, strict=True):
        if not is_residual:
            _keep_variance(block)
    if task.damage is not None:
        assert task.place is not None, "a damaged block has a place"
        damage(host.blocks[task.place], task.damage)
    return host


@torch.no_grad()
def damage(block: nn.Module, kind: Damage) -> None:
    """Damage a block in place."""
    first, last = block.first, block.last
    assert isinstance(first, nn.Linear | nn.Conv2d), "every block has a first layer with weights"
    assert isinstance(last, nn.Linear | nn.Conv2d), "every block has a last layer with weights"
    if kind is Damage.DEAD:
        dead = torch.arange(last.weight.shape[1]) >= ALIVE
        last.weight[:, dead] = 0.0
        _silence(first, dead)
    elif kind is Damage.TINY:
        for parameter in (*first.parameters(), *last.parameters()):
            parameter.mul_(0.02)
    elif kind is Damage.HUGE:
        first.weight.mul_(8.0)
    block.requires_grad_(False)


def _silence(first: nn.Linear | nn.Conv2d, dead: Tensor) -> None:
    """Stop hidden units: far on the flat side of the GELU, or values of 0 in attention."""
    assert first.bias is not None, "every layer has a bias"
    if len(first.bias) == len(dead):
        first.bias[dead] -= 8.0
    else:
        first.weight[-len(dead) :][dead] = 0.0


def _keep_variance(block: nn.Module) -> None:
    """Scale a block without a way around it so that it keeps the variance of its input.

    Torch's initial weights would divide it by about 10 in each such block.
    """
    for layer in (block.first, block.last):
        assert isinstance(layer, nn.Linear | nn.Conv2d), "every block has two layers"
        nn.init.kaiming_normal_(
            layer.weight, nonlinearity="relu" if layer is block.last else "linear"
        )


def _stem(kind: SlotKind, width: int) -> nn.Module:
    if kind is SlotKind.DENSE:
        return nn.Linear(FEATURES, width)
    if kind is SlotKind.FEATURE_MAP:
        return nn.Conv2d(1, width, 3, stride=2, padding=1)
    return Embedding(width)


def _block(kind: SlotKind, place: int, width: int, hidden: int) -> nn.Module:
    if kind is SlotKind.DENSE:
        return Dense(width, hidden)
    if kind is SlotKind.FEATURE_MAP:
        return Convolution(width, hidden)
    return FeedForward(width, hidden) if place % 2 else Attention(width, hidden)


def _mixed(index: int, rng_seed: int) -> int:
    return (index * 1_000_003 + rng_seed) % 2**63
