"""Make in a thread what may be asked for next.  The thread lives only while there is work.

What the thread makes is what would be made on the spot: whoever takes it cannot tell, but by the
clock.  What it fails to make is made on the spot, where the failure is told.
"""

import logging
import time
from collections.abc import Callable, Sequence
from threading import Event, Lock, Thread, main_thread

from esper.kernels.kernel import Kernel
from esper.kernels.request import Request

REST = 40.0
"""After each kernel the thread rests so many times as long as it was at work."""

LOOK_S = 0.1
"""How often a resting thread looks whether the process is about to end."""

_logger = logging.getLogger(__name__)


class _Job:
    """One kernel that is wanted."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.is_begun = False
        self.done = Event()
        self.kernel: Kernel | None = None


class Background:
    """Kernels that are wanted, and the thread that makes them one after the other."""

    def __init__(self, make: Callable[[Request], Kernel]) -> None:
        self._make = make
        self._jobs: dict[Request, _Job] = {}
        self._lock = Lock()
        self._stopped = Event()
        self._thread: Thread | None = None

    def want(self, requests: Sequence[Request]) -> None:
        """Go on to make these, in order; what was made and is no longer wanted is dropped."""
        with self._lock:
            self._jobs = {each: self._jobs.get(each) or _Job(each) for each in requests}
            if not self.is_busy and any(not job.is_begun for job in self._jobs.values()):
                self._stopped.clear()
                self._thread = Thread(target=self._work, name="esper-kernels")
                self._thread.start()

    def take(self, request: Request) -> Kernel | None:
        """Return what was made for a request, which is then forgotten; None where nothing was.

        Waits for the one that is being made.
        """
        with self._lock:
            job = self._jobs.pop(request, None)
            if job is None or not job.is_begun:
                return None
        job.done.wait()
        return job.kernel

    @property
    def is_busy(self) -> bool:
        """Whether there is work left."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def close(self) -> None:
        """Drop everything, and wait for the thread to end."""
        with self._lock:
            self._jobs.clear()
            self._stopped.set()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            began = time.thread_time()
            try:
                job.kernel = self._make(job.request)
            # A blueprint can be a user's code, so this is a boundary that takes any exception.
            except Exception as error:  # noqa: BLE001
                _logger.debug("'%s' is left to the boundary: %r", job.request.recipe.name, error)
            finally:
                job.done.set()
            self._rest(REST * (time.thread_time() - began))

    def _rest(self, seconds: float) -> None:
        """Wait, unless nobody needs kernels any more: a process ends only after its threads."""
        ends_s = time.monotonic() + seconds
        while main_thread().is_alive() and not self._stopped.is_set():
            left_s = ends_s - time.monotonic()
            if left_s <= 0:
                return
            self._stopped.wait(min(left_s, LOOK_S))

    def _next(self) -> _Job | None:
        """Return the first job that nobody has begun; without one the thread is over."""
        with self._lock:
            waiting = (job for job in self._jobs.values() if not job.is_begun)
            job = next(waiting, None) if main_thread().is_alive() else None
            if job is None:
                self._thread = None
            else:
                job.is_begun = True
            return job
