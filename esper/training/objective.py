"""Loss and accuracy of classification, of samples or of sequences of tokens.

Shapes: B batch, T positions, C classes.  Logits are (B, C) or (B, T, C), targets (B,) or (B, T).
"""

from torch import Tensor
from torch.nn.functional import cross_entropy


def mean_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy in nats, a scalar."""
    return cross_entropy(logits.flatten(0, -2), targets.flatten())


def sample_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of each sample (B,), averaged over the positions of a sequence."""
    losses = cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction="none")
    return losses.view(len(targets), -1).mean(dim=1)


def sample_hits(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the fraction of correct answers of each sample (B,), in [0, 1]."""
    hits = (logits.argmax(dim=-1) == targets).to(logits.dtype)
    return hits.view(len(targets), -1).mean(dim=1)
