"""The figures of `strategy`: times of selection and update, compared with MABWiser's."""

from experiments.benchmarks import strategy
from experiments.benchmarks.figure import Figure


def bandits() -> list[Figure]:
    """Return the median microseconds of every strategy's selection and update."""
    measured = strategy.measure()
    return [
        Figure(
            name=f"strategy_{work}/{name}",
            value=span,
            unit="us",
            goal=measured["goals_us"][work],
            reference=f"MABWiser {measured['mabwiser_us'][name][work]:.3g} us, "
            f"both with {measured['seeds']} seeds",
        )
        for name, spans in measured["esper_us"].items()
        for work, span in spans.items()
    ]
