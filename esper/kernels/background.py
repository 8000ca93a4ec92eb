"""Prepare kernels in one background thread while the network trains.

A prefetched kernel equals the one built on demand; only the latency differs.  A kernel that fails
in the thread is built again on demand, where the error is reported.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from esper.kernels.kernel import Kernel
from esper.kernels.request import Request


class Background:
    """The kernels that may be asked for next.  The thread starts with the first request."""

    def __init__(self, make: Callable[[Request], Kernel]) -> None:
        self._make = make
        self._futures: dict[Request, Future[Kernel]] = {}
        self._executor: ThreadPoolExecutor | None = None

    def want(self, requests: Iterable[Request]) -> None:
        """Prepare these kernels, in order; drop those of earlier calls that are not among them."""
        wanted = list(requests)
        for request in self._futures.keys() - set(wanted):
            self._futures.pop(request).cancel()
        for request in wanted:
            if request not in self._futures:
                self._executor = self._executor or ThreadPoolExecutor(1, "esper-kernels")
                self._futures[request] = self._executor.submit(self._make, request)

    def take(self, request: Request) -> Kernel | None:
        """Return and forget the kernel for a request; wait for it if it is being made.

        None if it was not requested, was not begun, or failed.
        """
        future = self._futures.pop(request, None)
        if future is None or future.cancel() or future.exception() is not None:
            return None
        return future.result()

    def close(self) -> None:
        """Drop everything and end the thread."""
        self._futures.clear()
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
            self._executor = None
