"""Compile the kernels of a run, each by itself, and know which copies run the same graphs."""

from collections.abc import Iterable, Sequence

from torch import nn

from esper.contracts.event import Recovery
from esper.growth.attach import bank_of
from esper.growth.host import Host
from esper.kernels.compiled import Compiled, compiled_of, install
from esper.kernels.errors import first_line
from esper.kernels.request import Request, is_built_in, request_of
from esper.kernels.warm import warm_up
from esper.kernels.warming import Warming, asked

Place = tuple[str, int, int, str]
"""Slot, seed, activation and blueprint: names a kernel and its copies in twins."""


class Compiler:
    """What is compiled in a run, and the process that goes ahead of it."""

    def __init__(self, incidents: list[Recovery]) -> None:
        self._incidents = incidents
        self._compiled: dict[Place, Compiled] = {}
        self._past_graphs = 0
        self._warming = Warming()

    @property
    def num_graphs(self) -> int:
        """How many graphs were compiled so far."""
        return self._past_graphs + sum(each.graphs for each in self._compiled.values())

    def ahead(self, requests: Iterable[Request]) -> None:
        """Let another process compile kernels of the kinds that are asked for, once each."""
        self._warming.start([asked(each) for each in requests if is_built_in(each.recipe)])

    def compile(self, module: nn.Module, request: Request, activation: int) -> Compiled:
        """Make a kernel run compiled, or eagerly where it cannot be: that is told.

        A copy of a kernel that was compiled before runs the same graphs.
        """
        place = (request.slot, request.seed, activation, request.recipe.name)
        known = self._compiled.get(place)
        compiled = known or Compiled(lambda error: self._tell(request, error))
        install(module, compiled)
        if known is None:
            self._compiled[place] = compiled
            self._warming.wait_for(asked(request))
            # What a compiler raises is anybody's guess: a boundary that takes any exception.
            try:
                warm_up(module, request)
            except Exception as error:  # noqa: BLE001
                compiled.give_up(error)
        return compiled

    def compile_living(self, hosts: Sequence[Host]) -> None:
        """Compile kernels that came into a network some other way; forget those that have gone."""
        living: set[Place] = set()
        for host in hosts:
            for seed in host.seeds():
                bank = bank_of(host.slots[seed.slot].module)
                if bank is None or seed.current is None:
                    continue
                blueprint = seed.current.blueprint
                living.add((seed.slot, seed.index, seed.activations, blueprint))
                module = bank.kernels[str(seed.index)]
                if compiled_of(module) is None:
                    request = request_of(host, seed.slot, seed.index, blueprint, 0)
                    self.compile(module, request, seed.activations)
        for place in self._compiled.keys() - living:
            self._past_graphs += self._compiled.pop(place).graphs

    def close(self) -> None:
        """End the process."""
        self._warming.close()

    def _tell(self, request: Request, error: Exception) -> None:
        self._incidents.append(
            Recovery(
                where="kernel",
                error=type(error).__name__,
                strategy="fallback",
                recovered=True,
                message=f"it cannot be compiled and runs eagerly: {first_line(error)}",
                slot=request.slot,
                seed=request.seed,
                blueprint=request.recipe.name,
            )
        )
