"""List the modules of a network."""

from torch import nn


def modules_of(model: nn.Module) -> list[nn.Module]:
    """Return what `model.modules()` yields, in the same order, in a fraction of the time."""
    found: dict[nn.Module, None] = {}
    waiting = [model]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found[module] = None
            children = [each for each in module._modules.values() if each is not None]
            waiting += reversed(children)
    return list(found)
