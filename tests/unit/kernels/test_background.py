"""A kernel prepared in the background equals the one built on demand, and training is unchanged."""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import wait
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn

from esper.blueprint import catalogue
from esper.kernels.background import Background
from esper.kernels.kernel import Kernel
from esper.kernels.make import Limits, Maker
from esper.kernels.request import Request
from tests.unit.kernels.builders import make_request, make_spec


def make_ahead(request: Request) -> Kernel:
    return Maker(Limits()).make(request, in_background=True)


def finish(worker: Background) -> None:
    """Wait until everything that was requested is made or has failed."""
    wait(worker._futures.values(), timeout=30)


class Watched:
    """Makes kernels; each waits until `may_go_on` is set."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.may_go_on = threading.Event()
        self.has_begun = threading.Event()
        self.made = threading.Semaphore(0)

    def __call__(self, request: Request) -> Kernel:
        self.begun.append(request.weights)
        self.has_begun.set()
        assert self.may_go_on.wait(10)
        try:
            return make_ahead(request)
        finally:
            self.made.release()


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.fixture
def worker(watched: Watched) -> Iterator[Background]:
    worker = Background(watched)
    yield worker
    watched.may_go_on.set()
    worker.close()


def requests(count: int) -> list[Request]:
    return [make_request("mlp", weights=weights) for weights in range(count)]


def test_one_that_is_being_made_is_waited_for(worker: Background, watched: Watched) -> None:
    worker.prepare(requests(1))
    assert watched.has_begun.wait(10)
    threading.Timer(0.05, watched.may_go_on.set).start()
    kernel = worker.take(requests(1)[0])
    assert kernel is not None
    assert kernel.blueprint == "mlp"


def test_one_that_is_not_begun_is_not_waited_for_and_not_made(
    worker: Background, watched: Watched
) -> None:
    first, second, third = requests(3)
    worker.prepare([first, second, third])
    assert watched.has_begun.wait(10)
    assert worker.take(second) is None
    watched.may_go_on.set()
    assert worker.take(first) is not None
    for _ in range(2):
        assert watched.made.acquire(timeout=10)
    assert worker.take(third) is not None
    assert watched.begun == [0, 2]


def test_each_is_handed_over_once(worker: Background, watched: Watched) -> None:
    watched.may_go_on.set()
    worker.prepare(requests(1))
    assert watched.made.acquire(timeout=10)
    assert worker.take(requests(1)[0]) is not None
    assert worker.take(requests(1)[0]) is None


def test_what_is_made_is_kept_while_it_is_wanted_and_dropped_after_that(
    worker: Background, watched: Watched
) -> None:
    watched.may_go_on.set()
    first, second = requests(2)
    worker.prepare([first, second])
    for _ in range(2):
        assert watched.made.acquire(timeout=10)
    worker.prepare([second])
    assert worker.take(first) is None
    assert worker.take(second) is not None
    assert sorted(watched.begun) == [0, 1]


def test_another_default_dtype_is_another_request(worker: Background, watched: Watched) -> None:
    watched.may_go_on.set()
    worker.prepare(requests(1))
    assert watched.made.acquire(timeout=10)
    assert worker.take(make_request("mlp", weights=0, drawn_as=torch.float64)) is None


def test_there_is_a_thread_from_the_first_request_until_it_is_closed() -> None:
    before = set(threading.enumerate())
    worker = Background(make_ahead)
    worker.prepare([])
    assert set(threading.enumerate()) == before
    worker.prepare(requests(3))
    assert len(set(threading.enumerate()) - before) == 1
    worker.close()
    assert set(threading.enumerate()) == before
    worker.prepare(requests(2))
    worker.close()
    worker.close()
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
def test_a_kernel_that_fails_is_left_to_the_caller_and_the_next_are_made(error: Any) -> None:
    def make(request: Request) -> Kernel:
        if request.weights == 0:
            raise error
        return make_ahead(request)

    worker = Background(make)
    worker.prepare(requests(2))
    finish(worker)
    assert worker.take(requests(1)[0]) is None
    assert worker.take(requests(2)[1]) is not None
    worker.close()


def test_a_default_dtype_of_another_thread_makes_no_kernel() -> None:
    request, worker = make_request("mlp"), Background(make_ahead)
    torch.set_default_dtype(torch.float64)
    try:
        worker.prepare([request])
        finish(worker)
    finally:
        torch.set_default_dtype(torch.float32)
    assert worker.take(request) is None
    worker.close()


def train(steps: int) -> list[Any]:
    """Train with dropout, shuffles and augmentation from every global generator."""
    torch.manual_seed(0), random.seed(0), numpy.random.seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.Dropout(0.5), nn.GELU(), nn.Linear(16, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    seen: list[Any] = []
    for _ in range(steps):
        x = torch.randn(8, 6)[torch.randperm(8)]
        optimizer.zero_grad()
        loss: Tensor = (model(x) * random.random()).square().sum() + float(numpy.random.rand())
        loss.backward()
        optimizer.step()
        seen.append(loss.item())
    return [*seen, torch.rand(2).tolist(), random.random(), numpy.random.rand()]


def every_kind() -> list[Request]:
    return [
        make_request(name, make_spec(kind, placement), weights=weights)
        for name, recipe in catalogue.BUILT_IN.items()
        for kind, placement in sorted(recipe.fits_in)
        for weights in range(4)
    ]


def test_training_is_the_same_to_the_last_bit_while_kernels_are_made() -> None:
    alone = train(steps=150)
    maker, made = Maker(Limits()), []

    def make(request: Request) -> Kernel:
        kernel = maker.make(request, in_background=True)
        made.append(threading.current_thread() is not threading.main_thread())
        return kernel

    worker = Background(make)
    worker.prepare(every_kind())
    beside = train(steps=150)
    num_beside = len(made)
    worker.close()
    assert beside == alone
    assert num_beside >= 3, "kernels were made meanwhile"
    assert all(made)


def test_a_kernel_made_beside_training_is_the_one_made_alone() -> None:
    maker, prepared = Maker(Limits()), every_kind()[::3]
    worker = Background(lambda each: maker.make(each, in_background=True))
    worker.prepare(prepared)
    train(steps=100)
    finish(worker)
    for request in prepared:
        kernel = worker.take(request)
        assert kernel is not None
        alone = Maker(Limits()).make(request)
        assert kernel.gate == alone.gate
        weights, expected = kernel.module.state_dict(), alone.module.state_dict()
        assert all(map(torch.equal, weights.values(), expected.values()))
    worker.close()
