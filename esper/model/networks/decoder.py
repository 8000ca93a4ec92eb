"""A causal transformer over tokens.  B batch, T positions, D features, V vocabulary."""

from collections import OrderedDict
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from esper.model.networks.dense import DenseBlock

EMBEDDING_DEVIATION = 0.02


class CausalAttention(nn.Module):
    """Multi-head self-attention; a position attends to itself and those before it.

    fused_parts: layers whose weights are those of several, by name.
    """

    fused_parts: ClassVar[dict[str, int]] = {"queries_keys_values": 3}

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Return (B, T, D)."""
        batch, positions, width = x_BTD.shape
        shape = (batch, positions, self.heads, width // self.heads)
        query, key, value = (
            part.reshape(shape).transpose(1, 2)
            for part in self.queries_keys_values(x_BTD).chunk(3, dim=-1)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        out: Tensor = self.project(mixed.transpose(1, 2).reshape(batch, positions, width))
        return out


class DecoderBlock(nn.Module):
    """Attention, then a dense block, each with a norm before it and a residual connection."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = CausalAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = DenseBlock(width, hidden, width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Return (B, T, D)."""
        x_BTD = x_BTD + self.attention(self.norm1(x_BTD))
        out: Tensor = x_BTD + self.mlp(self.norm2(x_BTD))
        return out


class Embedding(nn.Module):
    """Embeds tokens and adds a learned vector for each position."""

    def __init__(self, vocabulary: int, positions: int, width: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.empty(positions, width))
        nn.init.normal_(self.tokens.weight, std=EMBEDDING_DEVIATION)
        nn.init.normal_(self.positions, std=EMBEDDING_DEVIATION)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Return (B, T, D); T is at most the `positions` given at construction."""
        out: Tensor = self.tokens(tokens_BT) + self.positions[: tokens_BT.shape[1]]
        return out


def decoder(
    layers: int, width: int, heads: int, hidden: int, *, vocabulary: int, positions: int
) -> nn.Sequential:
    """Return an embedding, blocks `block1`, `block2`, ... and a head of (B, T, V) logits.

    Args:
        layers: number of blocks.
        width: features of a position, divisible by `heads`.
        heads: attention heads of each block.
        hidden: inner units of each block's dense part.
        vocabulary: number of tokens, and of logits for each position.
        positions: longest sequence.
    """
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    modules["embedding"] = Embedding(vocabulary, positions, width)
    for i in range(layers):
        modules[f"block{i + 1}"] = DecoderBlock(width, heads, hidden)
    modules["norm"] = nn.LayerNorm(width)
    modules["head"] = nn.Linear(width, vocabulary)
    return nn.Sequential(modules)
