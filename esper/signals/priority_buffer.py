"""Hold signals until they are told: the highest priority first, of equal ones the oldest."""

from collections import deque
from enum import IntEnum
from typing import Generic, TypeVar

CAPACITY = 50_000
BATCH = 1_000

T = TypeVar("T")


class PriorityBuffer(Generic[T]):
    """A bounded queue of items by priority.

    priorities: those that an item can have, with values from 0 on.
    dropped: number of items for which there was no room.
    """

    def __init__(self, priorities: type[IntEnum], capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        self.dropped = 0
        self._queues: list[deque[T]] = [deque() for _ in priorities]
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, item: T, priority: int) -> None:
        """Add an item; if the buffer is full, drop what would come out last."""
        queues = self._queues
        queues[priority].append(item)
        if self._size < self.capacity:
            self._size += 1
            return
        next(queue for queue in queues if queue).pop()
        self.dropped += 1

    def take(self, most: int = BATCH) -> list[T]:
        """Remove and return the next items, at most so many; none from an empty buffer."""
        taken: list[T] = []
        for queue in reversed(self._queues):
            if len(taken) == most:
                break
            taken += [queue.popleft() for _ in range(min(len(queue), most - len(taken)))]
        self._size -= len(taken)
        return taken
