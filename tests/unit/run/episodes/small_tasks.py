"""Small tasks of the family, for quick tests."""

from dataclasses import replace

from esper.contracts.slot import SlotKind
from esper.run.episodes.task import EpisodeTask, draw_task


def small_task(index: int = 0, events: int = 3, epochs: int = 16) -> EpisodeTask:
    """Return a task with a dense host of 6 slots."""
    return replace(
        draw_task(index, SlotKind.DENSE),
        data="teacher",
        hidden=(8,) * 6,
        residual=(True, False) * 3,
        place=None,
        damage=None,
        classes=4,
        samples=160,
        epochs=epochs,
        events=events,
        price=0.1,
    )
