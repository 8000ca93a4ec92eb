"""Which tasks are alike enough for one run to learn from another's trials."""

from torch import Tensor

from esper.contracts.data import InputKind

_KINDS = {2: InputKind.VECTOR, 4: InputKind.IMAGE}


def family_of(example_input: Tensor) -> str:
    """Return the task family of a batch of inputs: the kind of a sample.

    With 2 dimensions it is `tokens` for integers and `vector` for other numbers, and with 4 it is
    `image`.  Any other number of dimensions is a family of its own, such as `3d`.
    """
    dimensions = example_input.dim()
    if dimensions == 2 and not example_input.is_floating_point():
        return InputKind.TOKENS.value
    kind = _KINDS.get(dimensions)
    return f"{dimensions}d" if kind is None else kind.value
