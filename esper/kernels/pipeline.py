"""The kernel pipeline of one run: kernels are asked for, and those that may be next are made ahead.

    blueprint -> build -> validate -> ready -> compile, where that is asked for

A kernel is a function of its request: whether it was made ahead, whether its verdict was known, and
what another process did, nobody can tell from it.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from threading import Lock

from esper.contracts.event import Recovery
from esper.contracts.stage import SeedStage
from esper.growth.host import Host
from esper.kernels.background import Background
from esper.kernels.build import BuildMode
from esper.kernels.cache import VerdictCache
from esper.kernels.compiler import Compiler
from esper.kernels.kernel import Kernel, KernelError
from esper.kernels.make import Maker, RefusedError
from esper.kernels.options import Kernels
from esper.kernels.private_rng import NoGeneratorError
from esper.kernels.request import Request, request_of


class KernelPipeline:
    """Gives kernels to seeds.

    work_ms: processor time that making kernels has taken so far, in whatever thread.
    """

    def __init__(self, options: Kernels, rng_seed: int) -> None:
        self.options, self.rng_seed = options, rng_seed
        self.cache = VerdictCache(options)
        self.work_ms = 0.0
        self._maker = Maker(options, self.cache)
        self._background = Background(self._make_ahead)
        self._compiler = Compiler(self.cache.incidents) if options.compile else None
        self._lock = Lock()

    def ahead(self, host: Host, *, may_grow: bool) -> None:
        """Go on to make, in the background, what dormant seeds would get if they germinated next.

        Args:
            host: the network, between two epochs.
            may_grow: whether anything can germinate at the next boundary.
        """
        if self.options.ahead:
            wanted = self._wanted(host) if may_grow else []
            self._background.want(wanted)
            if self._compiler is not None:
                self._compiler.ahead(wanted)

    def take(self, host: Host, slot: str, seed: int, blueprint: str) -> Kernel:
        """Return the kernel that a seed gets if it germinates now; waits for it if it must.

        Raises:
            KernelError: if the blueprint raises, or its kernel is not sane or costs too much.
        """
        began = time.perf_counter()
        # A blueprint can be a user's code, so this is a boundary that takes any exception.
        try:
            request = request_of(host, slot, seed, blueprint, self.rng_seed)
            kernel = self._background.take(request) or self._make_here(request)
        except RefusedError as error:
            raise KernelError(slot, seed, blueprint, str(error)) from error
        except Exception as error:
            problem = f"cannot be built: {type(error).__name__}: {error}"
            raise KernelError(slot, seed, blueprint, problem) from error
        wait_ms = (time.perf_counter() - began) * 1e3
        return replace(kernel, work=replace(kernel.work, wait_ms=wait_ms))

    def compiled(self, host: Host, slot: str, seed: int, kernel: Kernel) -> Kernel:
        """Return a kernel that was taken, made to run compiled where that is asked for.

        One that cannot be compiled runs eagerly; that is told.
        """
        if self._compiler is None:
            return kernel
        began = time.perf_counter()
        request = request_of(host, slot, seed, kernel.blueprint, self.rng_seed)
        activation = host.seed(slot, seed).activations + 1
        graphs = self._compiler.compile(kernel.module, request, activation).graphs
        compile_ms = (time.perf_counter() - began) * 1e3
        work = replace(kernel.work, compile_ms=compile_ms, wait_ms=kernel.work.wait_ms + compile_ms)
        return replace(kernel, graphs=graphs, work=work)

    def compile_living(self, hosts: Sequence[Host]) -> None:
        """Make kernels run compiled that came into a network some other way: by a checkpoint.

        Args:
            hosts: the network and its twins.
        """
        if self._compiler is not None:
            self._compiler.compile_living(hosts)

    @property
    def num_graphs(self) -> int:
        """How many graphs were compiled so far; beyond those of `Kernel.graphs` are recompiles."""
        return 0 if self._compiler is None else self._compiler.num_graphs

    @property
    def is_busy(self) -> bool:
        """Whether anything is being made in the background, or waits for it."""
        return self._background.is_busy

    def drain(self) -> list[Recovery]:
        """Return what failed since the last call, and what was done about it."""
        incidents = self.cache.incidents
        return [incidents.pop(0) for _ in range(len(incidents))]

    def close(self) -> None:
        """Let go of everything that is kept ready; no thread and no process is left."""
        self._background.close()
        if self._compiler is not None:
            self._compiler.close()

    def _wanted(self, host: Host) -> list[Request]:
        """Return what may be asked for next, slot by slot, as much as may be kept."""
        wanted: list[Request] = []
        room = self.options.ahead_mb * 2**20
        for seed in host.seeds():
            if seed.stage is not SeedStage.DORMANT:
                continue
            try:
                request = request_of(host, seed.slot, seed.index, seed.bound, self.rng_seed)
            # A user's blueprint that cannot say its cost: the boundary meets this error too.
            except Exception:  # noqa: BLE001
                continue
            if request.is_pure and request.num_bytes <= room:
                room -= request.num_bytes
                wanted.append(request)
        return wanted

    def _make_ahead(self, request: Request) -> Kernel:
        kernel = self._timed(request, BuildMode(privately=True, in_background=True))
        work = kernel.work
        ahead_ms = work.build_ms + (work.validate_ms or 0.0) + (work.load_ms or 0.0)
        return replace(kernel, work=replace(work, ahead_ms=ahead_ms))

    def _make_here(self, request: Request) -> Kernel:
        if request.is_pure:
            try:
                return self._timed(request, BuildMode(privately=True))
            except NoGeneratorError:
                pass  # it draws what only a global generator can give
        return self._timed(request, BuildMode(privately=False))

    def _timed(self, request: Request, where: BuildMode) -> Kernel:
        began = time.thread_time()
        try:
            return self._maker.make(request, where)
        finally:
            with self._lock:
                self.work_ms += (time.thread_time() - began) * 1e3


def build_kernel(host: Host, slot: str, seed: int, blueprint: str, rng_seed: int) -> Kernel:
    """Return the kernel that a seed would get if it germinated now; nothing limits or caches it.

    Raises:
        KernelError: if the blueprint raises or its kernel is not sane.
    """
    unlimited = Kernels(ahead=False, memory_entries=0, disk_mb=0, max_memory_mb=None)
    return KernelPipeline(unlimited, rng_seed).take(host, slot, seed, blueprint)
