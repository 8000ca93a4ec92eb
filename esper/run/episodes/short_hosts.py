"""Growth tasks to train policies on: those of the family, and every third with a short host.

Hosts of the family have 6 to 12 slots, most networks that people begin with have fewer.  There a
kernel is a larger part of the network, and budgets are longer.
"""

from dataclasses import replace

from esper.contracts.slot import SlotKind
from esper.run.episodes.task import EpisodeTask, draw_task

EVERY = 3
MOST_SLOTS = 5
EVENTS_A_SLOT = 3
"""Events of a short host where they are plentiful."""


def training_task(index: int) -> EpisodeTask:
    """Return the training task with an index."""
    task = draw_task(index)
    return task if index % EVERY else shortened(task, 1 + index // EVERY % MOST_SLOTS)


def shortened(task: EpisodeTask, slots: int) -> EpisodeTask:
    """Return a task with fewer slots and half as many epochs more.

    The narrow or damaged block stays; a transformer has an even number of slots, at least 2.
    """
    if task.kind is SlotKind.SEQUENCE:
        slots += slots % 2
    blocks, place = list(range(task.num_slots)), task.place
    if place is not None:
        kept = min(place, slots - 1)
        if task.kind is SlotKind.SEQUENCE:
            kept |= 1  # a feed-forward block
        blocks[kept], blocks[place] = place, kept
        place = kept
    return replace(
        task,
        hidden=tuple(task.hidden[block] for block in blocks[:slots]),
        residual=tuple(task.residual[block] for block in blocks[:slots]),
        place=place,
        epochs=task.epochs * 3 // 2,
        events=max(1, slots // 3) if task.is_scarce else EVENTS_A_SLOT * slots,
    )
