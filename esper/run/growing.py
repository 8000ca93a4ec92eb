"""The grower of a run, whose place that of a wider host takes once the host has used its size."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from esper.config import RunConfig
from esper.contracts.decision import Adaptation, Decision, DecisionKind, Refusal
from esper.contracts.size import Resized
from esper.contracts.stage import LIVE
from esper.contracts.step import StepReport
from esper.data.base import DataSet
from esper.grower.grower import Grower
from esper.grower.resize import go_back, has_trials, widen
from esper.grower.review import host_memory_mb
from esper.growth.host import Host
from esper.growth.options import AUTO
from esper.growth.widen import check_widens
from esper.logger.bus import EventBus
from esper.policy.rules.widening import Widening
from esper.probe.rng_state import RngState, restored
from esper.run.model import example_input, first_model, grower_options, host_of, wider_model
from esper.run.shared_ledger import run_store
from esper.training.optimizer import build_optimizer


class Growing:
    """Makes the grower of a run at each width of the host, and goes from one to the next.

    grower: the present one.
    doublings, best_doublings: of the host's width so far, and of that of the best network.
    asked: doublings for which the policy asked.
    params_initial: parameters of the host at the start.
    """

    def __init__(
        self,
        config: RunConfig,
        data: DataSet,
        run_dir: Path,
        bus: EventBus,
        launcher: str | None = None,
    ) -> None:
        self.config, self.data, self.run_dir, self.bus = config, data, run_dir, bus
        self.launcher, self.doublings, self.best_doublings, self.asked = launcher, 0, 0, 0
        self.widening = Widening() if config.growth.widen == AUTO else None
        self._pending: Decision | None = None
        self._goes_back = False
        self.grower = self._grower(0)
        self.params_initial = self.grower.host.num_parameters
        if self.widening is not None:
            with restored(RngState.now()):
                self._check_widens()

    def after(self, step: StepReport) -> None:
        """Change the size of the host after a step if it is time, once no trial is open."""
        grower = self.grower
        if grower.best.epoch == grower.epoch:
            self.best_doublings = self.doublings
        if self._pending is None:
            self._pending = self._wanted(step)
        if self._pending is None:
            return
        grower.observer.is_closed = True
        if not has_trials(grower.host):
            self._resize(self._pending)
            self._pending, self._goes_back = None, False

    def read_out(self) -> int | None:
        """Give the model the network to keep, of whatever width; see `Grower.read_out`."""
        if self.best_doublings != self.doublings and self.grower.best.epoch:
            self._go_back()
        for seed in self.grower.host.seeds():
            if seed.stage in LIVE:
                self.grower.host.leave_out(seed)
        return self.grower.read_out()

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes beside the grower."""
        return {
            "doublings": self.doublings,
            "best_doublings": self.best_doublings,
            "asked": self.asked,
            "params_initial": self.params_initial,
            "widening": None if self.widening is None else self.widening.state_dict(),
            "pending": None if self._pending is None else _plain(self._pending),
            "goes_back": self._goes_back,
        }

    def load_state_dict(self, state: Mapping[str, Any], grower: dict[str, Any]) -> None:
        """Load what `state_dict` returned, and the state of the grower."""
        self.doublings, self.best_doublings = state["doublings"], state["best_doublings"]
        self.params_initial, self._goes_back = state["params_initial"], state["goes_back"]
        self.asked = state["asked"]
        if state["widening"] is not None:
            self.widening = Widening.load(state["widening"])
        pending = state["pending"]
        self._pending = None if pending is None else _decision(pending)
        if self.doublings:
            self.grower.close()
            self.grower = self._grower(self.doublings)
        self.grower.load_state_dict(grower)
        self.grower.observer.is_closed = pending is not None

    def _wanted(self, step: StepReport) -> Decision | None:
        """Return the decision to change the size, by the rule or by the policy."""
        rule, grower, loss = self.widening, self.grower, step.metrics.val_loss
        if rule is not None and math.isfinite(loss):
            rule.add(grower.costs.spent.flops, loss)
            if rule.has_failed(grower.best.epoch):
                self._goes_back = True
                return _wider(f"twice the FLOPs later epoch {grower.best.epoch} is still the best")
            if (reason := rule.reason(math.log(self.data.spec.num_classes))) is not None:
                return _wider(reason)
        self.asked += step.widens is not None
        return step.widens

    def _resize(self, decision: Decision) -> None:
        before = self.grower.host
        parameters, flops = before.num_parameters, before.flops
        self.grower.observer.is_closed = False
        if self._goes_back:
            self._go_back()
            if self.widening is not None:
                self.widening.end()
        elif not self._widen(decision):
            return
        elif self.widening is not None:
            self.widening.begin(self.grower.costs.spent.flops, self.grower.epoch)
        self.grower.emit(
            Resized(
                width=2**self.doublings,
                parameters_before=parameters,
                parameters_after=self.grower.host.num_parameters,
                flops_before=flops,
                flops_after=self.grower.host.flops,
                reason=decision.reason,
            )
        )

    def _widen(self, decision: Decision) -> bool:
        """Go on with a host of twice the width; return whether safety allows it."""
        old, doublings = self.grower, self.doublings + 1
        old.emit(decision)
        with restored(RngState.now()):
            fresh, noise = (self._host(doublings, draw) for draw in ("fresh", "noise"))
            refusal = self._refusal(fresh, decision)
            if refusal is not None:
                old.emit(refusal)
                if self.widening is not None:
                    self.widening.end()
                return False
            old.close()
            new = self._grower(doublings)
        widen(old, new, fresh, noise, self.config.growth.shrink)
        self.grower, self.doublings = new, doublings
        return True

    def _go_back(self) -> None:
        """Go on with the best network, of a smaller width."""
        old = self.grower
        old.close()
        with restored(RngState.now()):
            new = self._grower(self.best_doublings)
        go_back(old, new)
        self.grower, self.doublings = new, self.best_doublings

    def _refusal(self, wide: Host, decision: Decision) -> Refusal | None:
        """Return the refusal of a host that is larger than safety allows."""
        safety = self.config.safety
        limits = {
            "parameter_budget": (wide.num_parameters, safety.parameter_budget),
            "memory_budget": (host_memory_mb(wide), safety.memory_budget_mb),
        }
        for rule, (needs, most) in limits.items():
            if most is not None and needs > most:
                reason = f"a host of twice the width needs {needs:,.6g} of {most:,.6g}"
                return Refusal(rule=rule, reason=reason, decision=decision)
        return None

    def _grower(self, doublings: int) -> Grower:
        config, data = self.config, self.data
        if doublings:
            model = wider_model(config, data, doublings, "grower")
        else:
            model = first_model(config, data, self.run_dir)
        store = run_store(config.store, self.run_dir, self.launcher)
        grower = Grower(
            model,
            build_optimizer(model, config.training),
            example_input=example_input(data),
            epochs=config.epochs,
            rng_seed=config.rng_seed,
            bus=self.bus,
            chance_loss=math.log(data.spec.num_classes),
            run_id=str(self.run_dir.resolve()),
            **{**grower_options(config), "store": store},
        )
        grower.can_widen, grower.observer.doublings = True, self.asked
        return grower

    def _host(self, doublings: int, draw: str) -> Host:
        return host_of(wider_model(self.config, self.data, doublings, draw), self.config, self.data)

    def _check_widens(self) -> None:
        """Raise `ConfigError` if the host cannot be widened as `growth.birth` says."""
        fresh, noise = (wider_model(self.config, self.data, 1, draw) for draw in ("fresh", "noise"))
        shrink, example = self.config.growth.shrink, example_input(self.data)
        check_widens(self.grower.host.model, fresh, noise, example, shrink)


def _plain(decision: Decision) -> dict[str, Any]:
    words = {"kind": decision.kind.value, "adaptation": Adaptation.WIDEN.value}
    return asdict(decision) | words


def _decision(plain: Mapping[str, Any]) -> Decision:
    kind, adaptation = DecisionKind(plain["kind"]), Adaptation(plain["adaptation"])
    return Decision(**{**plain, "kind": kind, "adaptation": adaptation})


def _wider(reason: str) -> Decision:
    return Decision(kind=DecisionKind.ADAPT, adaptation=Adaptation.WIDEN, reason=reason)
