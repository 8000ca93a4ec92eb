"""Failed writes are buffered in order; an outage costs one attempt, one warning, one event."""

import logging
from collections.abc import Sequence

import pytest

from esper.contracts.errors import DataError
from esper.remote.outbox import Outbox


class Shelf:
    """Takes numbers while it is open; counts the attempts."""

    def __init__(self) -> None:
        self.is_open = True
        self.numbers: list[int] = []
        self.asked = 0

    def take(self, numbers: Sequence[int]) -> None:
        self.asked += 1
        if not self.is_open:
            raise DataError("the shelf is locked") from OSError("no key")
        self.numbers += numbers


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esper.remote.outbox.REST_S", 0.0)


def test_what_can_be_delivered_is_delivered_at_once(shelf: Shelf) -> None:
    outbox: Outbox[int] = Outbox(shelf.take, "store")
    outbox.send([1, 2])
    outbox.keep([3])
    assert (shelf.numbers, len(outbox)) == ([1, 2], 1)
    outbox.send([4])
    assert (shelf.numbers, len(outbox)) == ([1, 2, 3, 4], 0)
    assert outbox.drain() == []


def test_an_outage_costs_one_attempt_a_rest(shelf: Shelf) -> None:
    outbox: Outbox[int] = Outbox(shelf.take, "store")
    shelf.is_open = False
    for number in range(50):
        outbox.send([number])
    assert shelf.asked == 1
    shelf.is_open = True
    outbox.send([50])
    assert shelf.numbers == [], "no attempt before the rest is over"
    outbox.close()
    assert shelf.numbers == list(range(51))


@pytest.mark.usefixtures("_no_rest")
def test_after_its_rest_everything_is_delivered_in_order(shelf: Shelf) -> None:
    outbox: Outbox[int] = Outbox(shelf.take, "store")
    shelf.is_open = False
    outbox.send([1])
    outbox.send([2])
    assert shelf.asked == 2, "a rest that is over allows one more"
    shelf.is_open = True
    outbox.send([3])
    assert shelf.numbers == [1, 2, 3]


@pytest.mark.usefixtures("_no_rest")
def test_each_outage_is_reported_once_and_only_the_first_logs_a_warning(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    outbox: Outbox[int] = Outbox(shelf.take, "stream")
    with caplog.at_level(logging.WARNING):
        for is_open in (False, False, True, False):
            shelf.is_open = is_open
            outbox.send([1])
        outbox.close()
    message = "the shelf is locked; the run continues and buffers its writes to the stream"
    assert [record.getMessage() for record in caplog.records] == [message]
    outages = outbox.drain()
    assert [(each.where, each.error, each.strategy) for each in outages] == [
        ("stream", "OSError", "circuit_breaker")
    ] * 2
    assert all(each.recovered and each.message == message for each in outages)
    assert outbox.drain() == []


def test_beyond_the_limit_the_oldest_are_dropped(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("esper.remote.outbox.LIMIT", 10)
    outbox: Outbox[int] = Outbox(shelf.take, "store")
    shelf.is_open = False
    for number in range(25):
        outbox.send([number])
    assert (len(outbox), outbox.dropped) == (10, 15)
    shelf.is_open = True
    outbox.close()
    assert shelf.numbers == list(range(15, 25))


def test_a_page_that_was_taken_is_not_sent_again(shelf: Shelf) -> None:
    def take(numbers: Sequence[int]) -> None:
        shelf.take(numbers)
        shelf.is_open = False  # the second page finds it closed

    outbox: Outbox[int] = Outbox(take, "store")
    outbox.send(range(1200))
    assert (len(shelf.numbers), len(outbox)) == (500, 700)
    for _ in range(2):
        shelf.is_open = True
        outbox.close()
    assert shelf.numbers == list(range(1200))


def test_what_is_wrong_with_the_deliverer_itself_is_not_hidden() -> None:
    def broken(numbers: Sequence[int]) -> None:
        raise TypeError(numbers)

    with pytest.raises(TypeError):
        Outbox(broken, "store").send([1])
