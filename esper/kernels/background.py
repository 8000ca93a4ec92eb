"""Prepare kernels in one background thread while the network trains.

A prefetched kernel equals the one built on demand; only the latency differs.  A kernel that fails
in the thread is built again on demand, where the error is reported.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from esper.kernels.kernel import Kernel
from esper.kernels.request import Request


class Background:
    """The kernels that may be needed next.  The thread starts with the first request."""

    def __init__(self, make: Callable[[Request], Kernel]) -> None:
        self._make = make
        self._futures: dict[Request, Future[Kernel]] = {}
        self._executor: ThreadPoolExecutor | None = None

    def prepare(self, requests: Iterable[Request]) -> None:
        """Prepare these kernels, in order; drop those of earlier calls that are not among them."""
        requests = list(requests)
        for request in self._futures.keys() - set(requests):
            self._futures.pop(request).cancel()
        for request in requests:
            if request not in self._futures:
                self._executor = self._executor or ThreadPoolExecutor(1, "esper-kernels")
                self._futures[request] = self._executor.submit(self._make, request)

    def take(self, request: Request) -> Kernel | None:
        """Return and forget a prepared kernel; wait for it if its preparation has started.

        Return None if it was not requested, has not started, or failed.
        """
        future = self._futures.pop(request, None)
        if future is None or future.cancel() or future.exception() is not None:
            return None
        return future.result()

    def close(self) -> None:
        """Drop all kernels and end the thread."""
        self._futures.clear()
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
            self._executor = None
