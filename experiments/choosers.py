"""Let selectors choose in another way for a while, to see or to repeat what they choose."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

from esper.contracts.plan import Plan, Selection
from esper.strategy.selector import Selector
from esper.strategy.viability import SelectionInputs

Choose = Callable[[Selector, Plan, SelectionInputs], tuple[Plan, tuple[Selection, ...]]]

CHOOSE: Choose = Selector.choose
"""The product's own way."""


@contextmanager
def choosing_by(choose: Choose) -> Iterator[None]:
    """Replace the method of all selectors inside the `with` block; `choose` may call `CHOOSE`."""
    with patch.object(Selector, CHOOSE.__name__, choose):
        yield
