"""The order in which signals leave the buffer, and what it drops."""

from enum import IntEnum

from hypothesis import given
from hypothesis import strategies as st

from esper.signals.priority_buffer import PriorityBuffer


class Level(IntEnum):
    LOW = 0
    MIDDLE = 1
    HIGH = 2


def buffer_of(*items: tuple[str, int], capacity: int = 50_000) -> PriorityBuffer[str]:
    buffer: PriorityBuffer[str] = PriorityBuffer(Level, capacity)
    for name, priority in items:
        buffer.put(name, priority)
    return buffer


def test_the_highest_priority_leaves_first_and_of_equal_ones_the_oldest() -> None:
    buffer = buffer_of(("a", 0), ("b", 2), ("c", 1), ("d", 2), ("e", 0))
    assert buffer.take() == ["b", "d", "c", "a", "e"]
    assert (buffer.take(), len(buffer)) == ([], 0)


def test_a_batch_is_bounded_and_the_rest_stays() -> None:
    buffer: PriorityBuffer[int] = PriorityBuffer(Level)
    for number in range(2_500):
        buffer.put(number, 1)
    batches = [buffer.take() for _ in range(4)]
    assert [len(batch) for batch in batches] == [1_000, 1_000, 500, 0]
    assert [number for batch in batches for number in batch] == list(range(2_500))


def test_a_full_buffer_drops_the_lowest_priority_of_which_the_newest() -> None:
    buffer = buffer_of(("a", 0), ("b", 0), ("c", 1), capacity=3)
    buffer.put("d", 2)
    assert (len(buffer), buffer.dropped) == (3, 1)
    buffer.put("e", 0)
    assert (len(buffer), buffer.dropped) == (3, 2)
    assert buffer.take() == ["d", "c", "a"]


def test_it_holds_50_000() -> None:
    buffer: PriorityBuffer[int] = PriorityBuffer(Level)
    for number in range(50_001):
        buffer.put(number, 1)
    assert (len(buffer), buffer.dropped) == (50_000, 1)


puts = st.tuples(st.just("put"), st.sampled_from(Level))
takes = st.tuples(st.just("take"), st.integers(1, 4))


@given(st.lists(puts | takes, max_size=60), st.integers(1, 6))
def test_it_equals_a_sorted_list_that_is_cut_at_its_end(
    steps: list[tuple[str, int]], capacity: int
) -> None:
    buffer: PriorityBuffer[int] = PriorityBuffer(Level, capacity)
    held: list[tuple[int, int]] = []
    dropped = 0
    for number, (what, value) in enumerate(steps):
        if what == "put":
            buffer.put(number, value)
            held = sorted([*held, (-value, number)])
            dropped += len(held) > capacity
            held = held[:capacity]
        else:
            assert buffer.take(value) == [item for _, item in held[:value]]
            held = held[value:]
        assert (len(buffer), buffer.dropped) == (len(held), dropped)
