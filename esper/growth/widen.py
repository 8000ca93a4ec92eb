"""Give a wider network what a narrower one of the same architecture has learned.

    embedded = a fresh tensor, the old one at its first positions, old rows 0 in new columns
    widened  = shrink * embedded + (1 - shrink) * another fresh tensor

With a shrink of 1 old units compute what they did, and the function is preserved wherever no norm
reads old and new units together.  With 0.5 the new units learn faster, and the network ends better
(shrink and perturb; Ash and Adams 2020).  Buffers are embedded, never shrunk.
"""

import torch
from torch import Tensor, nn

from esper.contracts.errors import ConfigError
from esper.probe.modes import eval_mode
from esper.probe.tensors import Tensors, put_tensors, tensors_of


@torch.no_grad()
def widened(old: Tensors, fresh: nn.Module, noise: nn.Module, shrink: float) -> Tensors:
    """Return the tensors of a network that is to be as wide as `fresh`.

    Args:
        old: of the narrower network.
        fresh, noise: untrained wider ones, with the same names and numbers of their own.
        shrink: share of what was learned, in [0, 1].

    Raises:
        ConfigError: if the wider network has other tensors, or is nowhere as wide as the old one.
    """
    wide, drawn = tensors_of(fresh), tensors_of(noise)
    other = sorted(wide.keys() ^ old.keys())
    if other:
        raise ConfigError(
            f"growth.widen: the wider model is another network: '{other[0]}' is in only one of them"
        )
    parameters = {name for name, _ in fresh.named_parameters()}
    parts = fused_parts(fresh)
    found: Tensors = {}
    for name, tensor in old.items():
        here, beside = wide[name], drawn[name]
        if tensor is None or here is None or beside is None:
            found[name] = here
            continue
        new = embedded(name, tensor, here, parts.get(name, 1))
        is_learned = name in parameters and tensor.is_floating_point()
        found[name] = shrink * new + (1 - shrink) * beside if is_learned else new
    return found


def embedded(name: str, old: Tensor, fresh: Tensor, parts: int = 1) -> Tensor:
    """Return a copy of a fresh tensor with the old one at its first positions.

    Old rows are 0 in new columns.  The rows may consist of several parts, each with its own first
    positions.

    Raises:
        ConfigError: if the old tensor does not fit into the fresh one.
    """
    fits = old.dim() == fresh.dim() and all(
        a <= b for a, b in zip(old.shape, fresh.shape, strict=True)
    )
    if not fits:
        raise ConfigError(
            f"growth.widen: '{name}' is of shape {tuple(old.shape)}, which the wider model's "
            f"{tuple(fresh.shape)} does not hold"
        )
    if parts > 1:
        halves = zip(old.chunk(parts), fresh.chunk(parts), strict=True)
        return torch.cat([embedded(name, own, wide) for own, wide in halves])
    new = fresh.clone()
    if old.dim() > 1:
        new[: old.shape[0], old.shape[1] :] = 0
    new[tuple(slice(size) for size in old.shape)] = old
    return new


def check_widens(
    narrow: nn.Module, fresh: nn.Module, noise: nn.Module, example: Tensor, shrink: float
) -> None:
    """Check that a network can be widened, and keeps its function with a shrink of 1.

    The tensors of `fresh` change.

    Raises:
        ConfigError: if it cannot, or its function changes.
    """
    put_tensors(fresh, widened(tensors_of(narrow), fresh, noise, shrink))
    if shrink < 1:
        return
    with eval_mode(narrow), eval_mode(fresh), torch.no_grad():
        before, after = narrow(example), fresh(example)
    if not torch.allclose(before, after, rtol=1e-3, atol=1e-5):
        raise ConfigError(
            "growth.birth=preserving does not hold for this host: layers such as norms read old "
            "and new units together (allowed: shrink_perturb)"
        )


def fused_parts(model: nn.Module) -> dict[str, int]:
    """Return the number of parts of each weight whose rows are several layers' one after the other.

    They are those of torch's attention, and what a module names in `fused_parts`, by the name of
    its own parameter or submodule.
    """
    found: dict[str, int] = {}
    for path, module in model.named_modules():
        own = {"in_proj": 3} if isinstance(module, nn.MultiheadAttention) else {}
        for start, parts in {**own, **getattr(module, "fused_parts", {})}.items():
            for name, _ in module.named_parameters():
                if name.startswith(start):
                    found[f"{path}.{name}" if path else name] = parts
    return found
