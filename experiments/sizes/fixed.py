"""Curves of hosts of a fixed size: the best network so far by what was spent."""

from typing import Any

from esper.attribution.trials import BACKWARD
from esper.growth.options import NEVER, Growth
from esper.probe.flops import forward_flops
from esper.run.model import example_input
from experiments.sizes.places import BUDGETS, REFERENCE_EPOCHS, REFERENCE_FACTOR, Place
from experiments.sizes.stacked import Stack

STEP = 1.03
"""Factor of FLOPs between points of a curve."""
Curve = dict[str, Any]


def epoch_flops(stack: Stack) -> float:
    """Return the FLOPs of an epoch of one host."""
    example = example_input(stack.data)
    each: float = forward_flops(stack.host, example)
    return (1 + BACKWARD) * each * len(stack.data.train)


def unit(place: Place) -> float:
    """Return the FLOPs of the budget 1."""
    config = place.config(REFERENCE_FACTOR, 0.01, 0)
    return REFERENCE_EPOCHS[place.task] * epoch_flops(Stack(config, config.data.load(), (0,)))


def curve(
    task: str, cifar: str | None, factor: float, rate: float, seeds: list[int], most: float
) -> Curve:
    """Return the curve of a host of some size up to a budget.

    It ends where no seed has had a better network for half of its FLOPs, by which growth is judged,
    too: what it has then stands for all that follows.

    Returns:
        unit: FLOPs of the budget 1.  flops: of each point.  losses, tests, hits: for each point
        and seed, of the network with the lowest validation loss so far: that loss, and its loss
        and accuracy on the test split.
    """
    place = Place(task, cifar)
    config = place.config(factor, rate, 0, growth=Growth(widen=NEVER))
    stack = Stack(config, config.data.load(), tuple(seeds))
    each, end = epoch_flops(stack), most * unit(place)
    found: Curve = {"unit": end / most, "flops": [], "losses": [], "tests": [], "hits": []}
    last = 0.0
    while (stack.epoch + 1) * each <= end and not _is_over(stack, each, found["unit"]):
        stack.train()
        spent = stack.epoch * each
        is_due = any(spent <= budget * found["unit"] < spent + each for budget in BUDGETS)
        if spent >= STEP * last or is_due:
            assert stack.best is not None, "an epoch is over"
            last = spent
            found["flops"].append(spent)
            for name in ("losses", "tests", "hits"):
                found[name].append([round(v, 5) for v in getattr(stack.best, name).tolist()])
    return found


def _is_over(stack: Stack, each: float, one: float) -> bool:
    """Return whether no seed gets better any more, after the smallest budget."""
    is_early = stack.best is None or stack.epoch * each < BUDGETS[0] * one
    return not is_early and stack.epoch > 2 * stack.improved
