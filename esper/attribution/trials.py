"""The trials of a run: growth events whose seeds have no verdict yet, and their twins."""

from collections.abc import Mapping
from typing import Any

from esper.attribution.compare import MEASURED, Comparison, Trial, measure
from esper.attribution.evaluation import Evaluate, Evaluation
from esper.attribution.outcome import outcome_of
from esper.attribution.twin import Train, adopt, follow, train_twin
from esper.contracts.event import SeedPerformance
from esper.contracts.metrics import EpochMetrics
from esper.contracts.outcome import Outcome
from esper.contracts.plan import Action, Plan
from esper.contracts.stage import SeedStage
from esper.growth.apply import Applied, apply
from esper.growth.host import Host
from esper.growth.host_state import host_state, load_host_state
from esper.growth.param_groups import stale_entries
from esper.kernels.kernel import Kernel
from esper.probe.rng_state import RngState

_RECORDS = ("differences", "references", "hits")
"""What a comparison records of each evaluation."""
BACKWARD = 2
"""The backward pass costs about twice the forward pass."""


class Trials:
    """The open growth events of one host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.open: list[Trial] = []
        self.num_events = 0

    def apply(
        self,
        plan: Plan,
        kernels: Mapping[tuple[int, str], Kernel],
        metrics: EpochMetrics,
        reason: str = "",
        *,
        with_twin: bool,
    ) -> Applied:
        """Apply a plan; if it germinates seeds, open a trial for them.

        Raises what `growth.apply.apply` raises; the host is then as it was.
        """
        host = self.host
        grows = any(change.action is Action.GERMINATE for change in plan.changes)
        twin = host.copy() if grows and with_twin else None
        ops_seen = len(host.op_log)
        applied = apply(host, plan, kernels, metrics, self.num_events, reason)
        if applied.germinated:
            seeds = {key: host.seed(*key).activations for key in applied.germinated}
            comparison = Comparison(host.options.window)
            trial = Trial(self.num_events, metrics.epoch, seeds, twin, comparison)
            trial.ops_seen = ops_seen
            self.open.append(trial)
            self.num_events += 1
            host.is_followed = host.is_followed or twin is not None
        return applied

    def train_twins(self, train: Train | None, epoch_began: RngState) -> int:
        """Let every twin train the epoch that the network has trained; return how many did.

        Without `train` the twins are dropped, and their events are measured by ablation.
        """
        if train is None:
            for trial in self.open:
                trial.twin = None
            return 0
        twins = [trial.twin for trial in self.open if trial.twin is not None]
        for twin in twins:
            train_twin(twin, self.host, train, epoch_began)
        return len(twins)

    def measure(self, evaluate: Evaluate, network: Evaluation) -> list[SeedPerformance]:
        """Credit every open seed; return the measurements of the blended ones."""
        measured: list[SeedPerformance] = []
        for trial in self.open:
            measured += measure(trial, self.host, evaluate, network)
        return measured

    def flops(self, num_samples: int, num_evaluated: int) -> float:
        """Return the FLOPs of this epoch's attribution: twins' training, and all evaluations."""
        twins = [trial.twin for trial in self.open if trial.twin is not None]
        trained = sum((1 + BACKWARD) * twin.flops * num_samples for twin in twins)
        muted = sum(seed.stage in MEASURED for seed in self.host.seeds())
        evaluated = muted * self.host.flops + sum(twin.flops for twin in twins)
        return trained + evaluated * num_evaluated

    def settle(self, epoch: int) -> list[Outcome]:
        """Return an outcome for every seed that was fossilized or culled since the last call.

        Events without open seeds are closed.  With `growth.on_cull: twin` the network takes over
        the weights of its twin if the event kept no seed and no other event is open: the twin of
        another event would be compared with a network that it was not copied from.
        """
        closed, self.host.closed = self.host.closed, []
        outcomes = [outcome_of(activation, self.host, epoch) for activation in closed]
        for trial in list(self.open):
            if not trial.open_seeds(self.host):
                self._sync(trial)
                self.open.remove(trial)
                self._adopt(trial)
        problems = stale_entries(self.host.optimizer, self.host.model)
        assert not problems, f"optimizer and model have come apart: {problems}"
        return outcomes

    def give_up(self) -> None:
        """Drop every open event and its twin, since the network was rolled back."""
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
        """Make a fresh host and its open events equal those whose state it is.

        Raises:
            CheckpointError: if it is the state of another host.
        """
        # Twins are copied from the host while it has no kernels: each loads its own.
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
                comparison=_comparison(saved["comparison"]),
                ablations={
                    (slot, seed): _comparison(each) for slot, seed, each in saved["ablations"]
                },
            )
            self.open.append(trial)

    def _adopt(self, trial: Trial) -> None:
        twin = trial.twin
        if twin is None or self.open or self._is_kept(trial):
            return
        if self.host.options.on_cull == "twin":
            adopt(self.host, twin)

    def _is_kept(self, trial: Trial) -> bool:
        """Return whether a seed of the event is fossilized."""
        seeds = [(self.host.seed(*key), activation) for key, activation in trial.seeds.items()]
        return any(s.stage is SeedStage.FOSSILIZED and s.activations == n for s, n in seeds)

    def follow(self) -> None:
        """Repeat the network's operations of this control step on every twin; clear the log."""
        for trial in self.open:
            self._sync(trial)
            trial.ops_seen = 0
        self.host.op_log.clear()
        self.host.is_followed = any(trial.twin is not None for trial in self.open)

    def _sync(self, trial: Trial) -> None:
        ops = self.host.op_log
        follow(trial, ops[trial.ops_seen :])
        trial.ops_seen = len(ops)


def _trial_state(trial: Trial) -> dict[str, Any]:
    return {
        "index": trial.index,
        "epoch": trial.epoch,
        "seeds": [[*key, activation] for key, activation in trial.seeds.items()],
        "twin": None if trial.twin is None else host_state(trial.twin),
        "comparison": _comparison_state(trial.comparison),
        "ablations": [[*key, _comparison_state(each)] for key, each in trial.ablations.items()],
    }


def _comparison_state(comparison: Comparison) -> dict[str, Any]:
    return {
        "window": comparison.window,
        **{name: list(getattr(comparison, name)) for name in _RECORDS},
    }


def _comparison(saved: dict[str, Any]) -> Comparison:
    comparison = Comparison(saved["window"])
    for name in _RECORDS:
        getattr(comparison, name).extend(saved[name])
    return comparison
