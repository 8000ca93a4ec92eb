"""Keep the best averaged network of a run, and give it to the model at the end.

Later overfitting then costs nothing.  Seeds that were on trial at that time are not part of it.
"""

import math
from collections.abc import Mapping
from typing import Any

from esper.attribution.modes import Modes
from esper.contracts.stage import LIVE
from esper.growth import attach
from esper.growth.host import Host
from esper.growth.options import ReadOut
from esper.probe.tensors import Tensors, copied, put_tensors, tensors_of


class BestAverage:
    """The averaged weights with the lowest validation loss so far.

    loss, epoch: of that network; infinite and 0 before the first.
    is_applied: whether the run is over, and the model is what was read out.
    """

    def __init__(self, host: Host, options: ReadOut) -> None:
        self.host, self.options = host, options
        self.loss, self.epoch, self.is_applied = math.inf, 0, False
        self._tensors: Tensors = {}

    def offer(self, modes: Modes, epoch: int) -> None:
        """Keep the settled network of an epoch if it is the best so far."""
        if self.wants(loss := modes.settled().loss):
            with modes.settled_network():
                self.keep(loss, epoch)

    def wants(self, loss: float) -> bool:
        """Return whether a validation loss is the lowest so far, if the run ends with the best."""
        # An equal loss is newer, and a network that cannot improve has trained for longer.
        return self.options.read_out == "best_average" and loss <= self.loss

    def keep(self, loss: float, epoch: int) -> None:
        """Keep the network, without its live kernels.

        The model must hold its averaged weights, and the batch statistics of `loss`.
        """
        self.loss, self.epoch = loss, epoch
        live = [seed for seed in self.host.seeds() if seed.stage in LIVE]
        self._tensors = copied(
            {
                name: tensor
                for name, tensor in tensors_of(self.host.model).items()
                if not any(attach.is_of_seed(name, seed.slot, seed.index) for seed in live)
            }
        )

    def apply(self) -> int | None:
        """Give the model the best averaged network; return its epoch.

        Kernels kept later, and live ones, leave the network.  Changes nothing and returns None
        with `run.read_out=last`, or before the first epoch.
        """
        self.is_applied = True
        if not self._tensors:
            return None
        for seed in self.host.seeds():
            here = (attach.is_of_seed(name, seed.slot, seed.index) for name in self._tensors)
            if seed.current is not None and not any(here):
                self.host.leave_out(seed)
        put_tensors(self.host.model, self._tensors)
        self.host.average.reset()
        return self.epoch

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes; the tensors are not copied."""
        return {
            "loss": self.loss,
            "epoch": self.epoch,
            "is_applied": self.is_applied,
            "tensors": dict(self._tensors),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned."""
        self.loss, self.epoch = state["loss"], state["epoch"]
        self.is_applied = state["is_applied"]
        self._tensors = dict(state["tensors"])
