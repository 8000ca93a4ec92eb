"""What is made in the background is what would be made on the spot, and nobody else feels it."""

import random
import threading
from collections.abc import Iterator
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn

from esper.blueprint import catalogue
from esper.kernels import background
from esper.kernels.background import Background
from esper.kernels.build import BuildMode
from esper.kernels.cache import VerdictCache
from esper.kernels.kernel import Kernel
from esper.kernels.make import Maker
from esper.kernels.options import Kernels
from esper.kernels.request import Request
from tests.unit.kernels.builders import make_request, make_spec


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "REST", 0.0)


def make_maker() -> Maker:
    options = Kernels(memory_entries=0, disk_mb=0)
    return Maker(options, VerdictCache(options))


class Watched:
    """Makes kernels; each waits until it is let go on."""

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
            return make_maker().make(request, BuildMode(privately=True, in_background=True))
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
    worker.want(requests(1))
    assert watched.has_begun.wait(10)
    threading.Timer(0.05, watched.may_go_on.set).start()
    kernel = worker.take(requests(1)[0])
    assert kernel is not None
    assert kernel.blueprint == "mlp"


def test_one_that_is_not_begun_is_not_waited_for_and_not_made(
    worker: Background, watched: Watched
) -> None:
    first, second, third = requests(3)
    worker.want([first, second, third])
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
    worker.want(requests(1))
    assert watched.made.acquire(timeout=10)
    assert worker.take(requests(1)[0]) is not None
    assert worker.take(requests(1)[0]) is None


def test_what_is_made_is_kept_while_it_is_wanted_and_dropped_after_that(
    worker: Background, watched: Watched
) -> None:
    watched.may_go_on.set()
    first, second = requests(2)
    worker.want([first, second])
    for _ in range(2):
        assert watched.made.acquire(timeout=10)
    worker.want([second])
    assert worker.take(first) is None
    assert worker.take(second) is not None
    assert sorted(watched.begun) == [0, 1]


def test_another_default_dtype_is_another_request(worker: Background, watched: Watched) -> None:
    watched.may_go_on.set()
    worker.want(requests(1))
    assert watched.made.acquire(timeout=10)
    assert worker.take(make_request("mlp", weights=0, drawn_as=torch.float64)) is None


def test_the_thread_is_there_only_while_there_is_work() -> None:
    before = set(threading.enumerate())
    worker = Background(lambda request: make_maker().make(request, BuildMode(privately=True)))
    worker.want(requests(3))
    assert len(set(threading.enumerate()) - before) == 1
    worker.close()
    assert set(threading.enumerate()) == before
    worker.want(requests(2))
    worker.close()
    assert set(threading.enumerate()) == before


def test_a_process_that_ends_is_not_held_up_by_a_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "REST", 1e9)
    worker = Background(lambda request: make_maker().make(request, BuildMode(privately=True)))
    worker.want(requests(3))
    over = threading.Thread(target=lambda: None)
    monkeypatch.setattr(background, "main_thread", lambda: over)
    thread = worker._thread
    if thread is not None:
        thread.join(timeout=10)
        assert not thread.is_alive()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_kernel_that_ends_its_thread_is_made_at_the_boundary_and_the_next_ones_ahead(
    watched: Watched,
) -> None:
    def make(request: Request) -> Kernel:
        if request.weights == 0:
            raise SystemExit
        return watched(request)

    watched.may_go_on.set()
    worker = Background(make)
    worker.want(requests(1))
    while worker.is_busy:
        pass
    assert worker.take(requests(1)[0]) is None
    worker.want(requests(2)[1:])
    assert watched.made.acquire(timeout=10)
    assert worker.take(requests(2)[1]) is not None
    worker.close()


def test_what_fails_in_the_background_is_left_to_the_boundary() -> None:
    def make(request: Request) -> Kernel:
        raise ZeroDivisionError

    worker = Background(make)
    worker.want(requests(1))
    worker.close()
    worker.want(requests(1))
    while worker.is_busy:
        pass
    assert worker.take(requests(1)[0]) is None
    worker.close()


def test_a_default_dtype_of_another_thread_makes_no_kernel() -> None:
    request = make_request("mlp")
    torch.set_default_dtype(torch.float64)
    try:
        worker = Background(
            lambda each: make_maker().make(each, BuildMode(privately=True, in_background=True))
        )
        worker.want([request])
        while worker.is_busy:
            pass
    finally:
        torch.set_default_dtype(torch.float32)
    assert worker.take(request) is None


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
    maker, made = make_maker(), []

    def make(request: Request) -> Kernel:
        kernel = maker.make(request, BuildMode(privately=True, in_background=True))
        made.append(threading.current_thread() is not threading.main_thread())
        return kernel

    worker = Background(make)
    worker.want(every_kind())
    beside = train(steps=150)
    num_beside = len(made)
    worker.close()
    assert beside == alone
    assert num_beside >= 3, "kernels were made meanwhile"
    assert all(made)


def test_a_kernel_made_beside_training_is_the_one_made_alone() -> None:
    maker = make_maker()
    worker = Background(
        lambda each: maker.make(each, BuildMode(privately=True, in_background=True))
    )
    wanted = every_kind()[::3]
    worker.want(wanted)
    train(steps=100)
    while worker.is_busy:
        train(steps=1)
    for request in wanted:
        kernel = worker.take(request)
        assert kernel is not None
        alone = maker.make(request, BuildMode(privately=True))
        assert kernel.gate == alone.gate
        found, expected = kernel.module.state_dict(), alone.module.state_dict()
        assert all(map(torch.equal, found.values(), expected.values()))
