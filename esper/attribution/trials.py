"""The trials of a run: growth events with seeds that have no verdict yet, and their twins."""

from collections.abc import Mapping
from typing import Any

from esper.attribution.compare import Comparison, Trial, look_at
from esper.attribution.modes import Modes
from esper.attribution.options import Attribution
from esper.attribution.outcome import outcome_of
from esper.attribution.twin import Train, follow, train_twin
from esper.contracts.event import SeedPerformance
from esper.contracts.metrics import EpochMetrics
from esper.contracts.outcome import Outcome
from esper.contracts.plan import Plan
from esper.contracts.stage import SeedStage
from esper.growth.apply import Applied, apply
from esper.growth.host import Host
from esper.growth.host_state import host_state, load_host_state, put_weights, weights_of
from esper.growth.param_groups import stale_entries
from esper.kernels.kernel import Kernel
from esper.probe.rng_state import RngState

BACKWARD = 2
"""Approximate cost of a backward pass, in forward passes."""
TWIN_EPOCHS = 2
"""Epochs whose mean is the gain over a twin."""


class Trials:
    """The open growth events of one host."""

    def __init__(self, host: Host, options: Attribution) -> None:
        self.host, self.options = host, options
        self.open: list[Trial] = []
        self.num_events = 0

    @property
    def twins(self) -> list[Host]:
        """The twins of the open growth events."""
        return [trial.twin for trial in self.open if trial.twin is not None]

    def apply(
        self,
        plan: Plan,
        kernels: Mapping[tuple[int, str], Kernel],
        metrics: EpochMetrics,
        reason: str = "",
    ) -> Applied:
        """Apply a plan; if it germinates seeds, open a trial for them.

        Raises what `growth.apply.apply` raises; the host then does not change.
        """
        host = self.host
        has_twin = plan.germinations and self.options.method == "twin"
        twin = host.copy() if has_twin else None
        ops_seen = len(host.op_log)
        applied = apply(host, plan, kernels, metrics, self.num_events, reason)
        if applied.built:
            keys = [(kernel.slot, kernel.seed) for kernel in applied.built]
            seeds = {key: host.seed(*key).activations for key in keys}
            trial = Trial(self.num_events, metrics.epoch, seeds, twin, Comparison(TWIN_EPOCHS))
            trial.ops_seen = ops_seen
            self.open.append(trial)
            self.num_events += 1
            host.is_followed = host.is_followed or twin is not None
        return applied

    def train_twins(self, train: Train | None, epoch_began: RngState) -> None:
        """Train every twin for the network's last epoch.

        Raises:
            ValueError: if there is a twin but no function to train it.
        """
        for twin in self.twins:
            if train is None:
                raise ValueError("attribution.method=twin needs step(..., train=...) at each epoch")
            train_twin(twin, self.host, train, epoch_began)

    def measure(self, modes: Modes, epoch: int, epochs: int) -> list[SeedPerformance]:
        """Take the looks that are due; return the measurements."""
        host, options = self.host, self.options
        looks = (look_at(trial, host, modes, options, epochs, epoch) for trial in self.open)
        return [measured for look in looks for measured in look]

    def flops(self, num_samples: int) -> float:
        """Return the FLOPs of training the twins for an epoch."""
        return sum((1 + BACKWARD) * twin.flops * num_samples for twin in self.twins)

    def settle(self, epoch: int) -> list[Outcome]:
        """Return the outcomes of seeds fossilized or culled since the last call.

        Closes events without open seeds, and notes when kernels were kept.
        """
        closed, self.host.closed = self.host.closed, []
        for each in closed:
            each.activation.kept_epoch = epoch if each.fossilized else None
        outcomes = [outcome_of(activation, self.host, epoch) for activation in closed]
        for trial in list(self.open):
            if not trial.open_seeds(self.host):
                self._sync(trial)
                self.open.remove(trial)
                self._adopt(trial)
        if closed:
            problems = stale_entries(self.host.optimizer, self.host.model)
            assert not problems, f"optimizer and model are inconsistent: {problems}"
        return outcomes

    def give_up(self) -> None:
        """Drop every open event and its twin after a rollback of the network."""
        self.open.clear()
        self.follow()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the host and of its open trials; tensors are not copied."""
        return {
            "host": host_state(self.host),
            "num_events": self.num_events,
            "open": [_trial_state(trial) for trial in self.open],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state into a fresh host, with its open events.

        Raises:
            CheckpointError: if it is the state of another host.
        """
        # Copies the host for twins before it has kernels, since each twin loads its own.
        twins = [None if saved["twin"] is None else self.host.copy() for saved in state["open"]]
        load_host_state(self.host, state["host"])
        self.num_events = state["num_events"]
        self.open = []
        for saved, twin in zip(state["open"], twins, strict=True):
            if twin is not None:
                load_host_state(twin, saved["twin"])
            trial = Trial(
                index=saved["index"],
                epoch=saved["epoch"],
                seeds={(slot, seed): activation for slot, seed, activation in saved["seeds"]},
                twin=twin,
                comparison=Comparison(**saved["comparison"]),
                ablations={
                    (slot, seed): Comparison(**each) for slot, seed, each in saved["ablations"]
                },
            )
            self.open.append(trial)

    def _adopt(self, trial: Trial) -> None:
        """Take over the weights of a closed event's twin with `growth.on_cull: twin`.

        The event must have kept no seed.  No other event may be open, because its twin would then
        be compared with a network that it was not copied from.
        """
        if trial.twin is None or self.open or self.host.options.on_cull != "twin":
            return
        seeds = [(self.host.seed(*key), activation) for key, activation in trial.seeds.items()]
        if not any(s.stage is SeedStage.FOSSILIZED and s.activations == n for s, n in seeds):
            put_weights(self.host, weights_of(trial.twin))
            average = trial.twin.average
            self.host.average.load(dict(average.mean), average.waiting)

    def follow(self) -> None:
        """Repeat this control step's operations on every twin; clear the log."""
        for trial in self.open:
            self._sync(trial)
            trial.ops_seen = 0
        self.host.op_log.clear()
        self.host.is_followed = bool(self.twins)

    def _sync(self, trial: Trial) -> None:
        follow(trial, self.host.op_log[trial.ops_seen :])
        trial.ops_seen = len(self.host.op_log)


def _trial_state(trial: Trial) -> dict[str, Any]:
    return {
        "index": trial.index,
        "epoch": trial.epoch,
        "seeds": [[*key, activation] for key, activation in trial.seeds.items()],
        "twin": None if trial.twin is None else host_state(trial.twin),
        "comparison": dict(vars(trial.comparison)),
        "ablations": [[*key, dict(vars(each))] for key, each in trial.ablations.items()],
    }
