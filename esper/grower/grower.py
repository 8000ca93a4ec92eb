"""The control step: what happens between two epochs of training.

evaluate -> attribute -> stages advance -> observation -> policy: decisions -> safety
-> orchestrator: plan -> strategy: seeds and kernels -> safety -> apply
-> (epochs later) outcome -> reward -> ledger and policy learn
"""

import time
from dataclasses import replace
from typing import Any, Unpack

from torch import Tensor, nn
from torch.optim import Optimizer

from esper.attribution.evaluation import Evaluate, repeatable
from esper.attribution.first_order import Loss
from esper.attribution.health import Probe
from esper.attribution.modes import Modes
from esper.attribution.trials import Trials
from esper.attribution.twin import Train
from esper.contracts.budget import epochs_at
from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.event import Event, EventBody, EventKind, KernelBuilt, LifecycleMove
from esper.contracts.metrics import EpochMetrics, TrainReport
from esper.contracts.observation import Observation
from esper.contracts.step import StepReport
from esper.grower import checks
from esper.grower.adapt import Adapted, Adapter
from esper.grower.binding import bind_rested
from esper.grower.candidates import Candidates
from esper.grower.costs import Costs
from esper.grower.later import plan_later_looks, take_later_looks
from esper.grower.options import GrowerArguments, GrowerOptions
from esper.grower.read_out import BestAverage
from esper.grower.review import Reviewer, culls_instead
from esper.grower.state import load_state, state_of
from esper.growth.lifecycle import advance_epoch, cull_overdue
from esper.growth.prepare import prepare
from esper.logger.bus import EventBus
from esper.probe.rng_state import RngState
from esper.safety.recovery import KernelGuard
from esper.safety.rollback import Governor


class Grower:
    """Grows a model in any training loop: call `step` after each epoch.

    Args:
        model: any module with a place for a slot; its slots are attached in place.
        optimizer: any that takes further parameter groups; kernels' rates follow its first group's.
        example_input: a batch that `model` accepts; only its shapes and size are used.
        epochs: the budget, or `auto` for none.  Seeds germinate while enough of it is left for a
            verdict and an epoch after it; budgets of up to 5 epochs do not grow.
        rng_seed, bus: seed of all randomness of growth, and the receiver of every event.
        options: see `GrowerArguments`; by name or as objects: `policy="heuristic"`,
            `strategy=Thompson(prior_alpha=2)`, `slots=("block1",)`, ...  Pass the optimizer's
            schedulers, `schedulers=[scheduler]`: many of torch's cannot handle kernels' groups.

    `statistics`: batch statistics of the last evaluation; `make_*` may be replaced; `can_widen`:
    whether another grower takes its place where a step `widens`.

    Raises:
        ConfigError, ValueError: if an argument cannot be used, or no slot can be placed.
        DataError: if the store cannot be read.
    """

    make_host, make_governor, make_best = staticmethod(prepare), Governor, BestAverage

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        example_input: Tensor,
        epochs: int | str,
        rng_seed: int = 0,
        bus: EventBus | None = None,
        **options: Unpack[GrowerArguments],
    ) -> None:
        checks.check_arguments(epochs=epochs, rng_seed=rng_seed, bus=bus)
        self.options = chosen = GrowerOptions.of(options)
        chosen.attribution.check_epochs(epochs_at(epochs, 0))
        self.epoch, self.bus, self.num_decisions = 0, bus or EventBus(), 0
        self.policy = chosen.policy.build(rng_seed)
        setup = chosen.setup(rng_seed, self.policy)
        self.host = self.make_host(model, optimizer, example_input, setup)
        self.trials = Trials(self.host, chosen.attribution)
        self.costs = Costs(self.host, chosen.attribution, chosen.safety, epochs, len(example_input))
        self.best = self.make_best(self.host, chosen.run)
        self.guard = KernelGuard(self.trials, chosen.recovery)
        self.bus.subscribe(self.guard.tally, [EventKind.RECOVERY])
        self.governor = self.make_governor(self.trials, chosen.governor, chosen.chance_loss)
        self.settler = chosen.settler(self.policy, example_input)
        self.ledger = self.settler.ledger
        self.selector = chosen.selector(self.ledger, rng_seed)
        self.reviewer = Reviewer(chosen.safety, self.trials, self.costs)
        pipeline = chosen.pipeline(rng_seed)
        self.observer = chosen.observer(self.settler, self.governor, self.costs, pipeline)
        self.candidates = Candidates(
            self.host, self.selector, pipeline, self.reviewer, self.options.gain_model
        )
        self.adapter = Adapter(self.trials, pipeline, chosen.cooldown_epochs)
        self.statistics, self.can_widen = dict[str, Tensor | None](), False
        self._moves: list[LifecycleMove] = []
        self._epoch_began = RngState.now()
        self._prepare()

    @property
    def epochs(self) -> int:
        """The budget; without one, the epochs with which the run reckons."""
        return self.costs.epochs

    def __repr__(self) -> str:
        return f"Grower(epoch {self.epoch}/{self.epochs}, {self.host.extra_repr()})"

    def step(
        self,
        evaluate: Evaluate,
        train: Train | None = None,
        *,
        trained: TrainReport | None = None,
        loss: Loss | None = None,
        probe: Probe | None = None,
    ) -> StepReport:
        """Evaluate the epoch just trained, settle seeds, and change the network.

        Args:
            evaluate: returns a model's losses, or losses and hits, per decision-validation sample.
            train: trains a model with an optimizer for one epoch; only `attribution.method=twin`
                needs it.  Twins get the network's learning rates, and its batches if these depend
                only on the epoch's number or on the global random state.
            trained: the numbers of the training, as far as known.
            loss: returns a model's scalar loss on training samples; its gradient ranks kernels.
            probe: returns a model's losses per sample on some 96 training samples, with a graph;
                policies and strategies that read the health of slots need it.

        Raises:
            ValueError: if the budget is over, another optimizer trained the model, `evaluate`
                returns no loss per sample, or the policy needs a `probe`.
            ConfigError: if the optimizer has a scheduler that was made after the grower.
        """
        given = checks.StepInputs(evaluate, train, trained or TrainReport(), loss, probe)
        checks.check_step(self.host.optimizer, self.options.schedulers, given)
        return self.act(self.observe(given), loss)

    def observe(self, given: checks.StepInputs, modes: Modes | None = None) -> StepReport:
        """Take the first half of a step, up to what the policy sees; `act` must follow.

        `modes` evaluates a network that is trained elsewhere; None if the model was trained.
        """
        self.observer.check(given.probe)
        checks.check_open(self.epoch, self.epochs, is_read_out=self.best.is_applied)
        if modes is None:
            checks.check_trained(self.host, self.costs.batch_size)
            modes = Modes(repeatable(given.evaluate), self.host)
        began = time.perf_counter()
        evaluation = modes.settled()
        checks.check_finite(evaluation.losses_N, self.epoch)
        self.statistics, evaluated = modes.statistics, time.perf_counter()
        self.epoch += 1
        self._moves.clear()
        flops = self.costs.begin_epoch(given.trained.num_samples)
        self.host.end_epoch()
        scores = evaluation.loss, evaluation.accuracy
        metrics = given.trained.metrics(self.epoch, self.host.global_step, *scores, flops or 1.0)
        self.emit(*self.guard.review(self.epoch))
        inspection = self.governor.inspect(metrics, given.trained)
        self.emit(*inspection.events)
        if not inspection.has_rolled_back:
            flops += self._attribute(modes, given.train)
        attributed = time.perf_counter()
        self.costs.add(flops, len(evaluation.losses_N))
        self.costs.mark_last_looks(self.epoch)
        self.report_failures()
        if not inspection.has_rolled_back:
            self._advance(metrics, modes.blended_loss())
        self._settle()
        observation = self.observer.observe(
            metrics, given.loss, given.probe, is_suspect=inspection.is_suspect
        )
        return StepReport(
            metrics=metrics,
            observation=observation,
            moves=tuple(self._moves),
            has_rolled_back=inspection.has_rolled_back,
            flops=flops,
            evaluation_ms=(evaluated - began) * 1e3,
            attribution_ms=(attributed - evaluated) * 1e3 + self.observer.ranking_ms,
            probe_ms=self.observer.probe_ms,
        )

    def act(self, seen: StepReport, loss: Loss | None = None) -> StepReport:
        """Let the policy decide, and carry out what safety accepts; return the whole report."""
        decisions = [] if seen.has_rolled_back else self.policy.decide(seen.observation)
        self.num_decisions += len(decisions)
        decisions, widens, events = checks.split(decisions, can_widen=self.can_widen)
        self.emit(*decisions, *events)
        requests = [self.guard.bar(d) for d in decisions if d.kind is not DecisionKind.WAIT]
        accepted, events = self.reviewer.sift(requests, seen.observation)
        self.emit(*events)
        ranking_ms = sum(self._adapt(each, seen.observation, loss) for each in accepted)
        self.emit(*cull_overdue(self.host, self.epoch, self.epochs))
        self._settle()
        self.trials.follow()
        self.guard.prepare(self.epoch)
        if not seen.observation.is_suspect:
            self.governor.keep(self.epoch)
        self._prepare()
        self.host.begin_epoch()
        self._epoch_began = RngState.now()
        ms, moves = seen.attribution_ms + ranking_ms, tuple(self._moves)
        return replace(seen, moves=moves, attribution_ms=ms, widens=widens)

    def read_out(self) -> int | None:
        """Give the model the best averaged network, and end the growth; return its epoch.

        Returns None, and changes no weight, with `run.read_out=last`.
        """
        return self.best.apply()

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, weights and moments included; call it between steps."""
        return state_of(self, self._epoch_began)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state, and the global random state, into a fresh grower of a fresh model.

        Raises:
            CheckpointError: if it is the state of another model or optimizer.
            ValueError: if this grower has taken a step already.
        """
        self._epoch_began = load_state(self, state)
        self._prepare()

    def emit(self, *bodies: EventBody) -> None:
        """Publish events of the present epoch, in order."""
        for body in bodies:
            self.bus.publish(Event(epoch=self.epoch, body=body))
            if isinstance(body, LifecycleMove):
                self._moves.append(body)
            if isinstance(body, KernelBuilt) and body.error is not None:
                self.emit(*self.guard.build_failed(body))

    def report_failures(self) -> None:
        """Emit the kernels' failures since the last call; call it after each evaluation."""
        self.emit(*self.guard.notice(self.epoch))

    def close(self) -> None:
        """Close the store and drop prepared kernels."""
        self.emit(*self.adapter.close())
        self.emit(*self.settler.close())

    def _attribute(self, modes: Modes, train: Train | None) -> float:
        """Offer the network for the read-out, look at the seeds on trial; return the FLOPs."""
        self.best.offer(modes, self.epoch)
        self.trials.train_twins(train, self._epoch_began)
        for performance in self.trials.measure(modes, self.epoch, self.epochs):
            seed = self.host.seed(performance.slot, performance.seed)
            self.emit(self.settler.record(performance, seed.activation))
        self.emit(*take_later_looks(self.settler, modes, self.epoch))
        modes.blended_loss()  # evaluated here, because it is part of the attribution
        return self.trials.flops(self.costs.spent.num_samples) + modes.extra_flops

    def _advance(self, metrics: EpochMetrics, blended_loss: float | None) -> None:
        self.emit(*self.guard.watch.look(self.epoch))
        self.emit(*self.guard.cull(self.epoch))
        rest_epochs = self.options.viability.min_dormant_epochs
        moves = advance_epoch(self.host, metrics, rest_epochs, blended_loss)
        self.emit(*bind_rested(moves, self.host, self.selector))

    def _adapt(self, decision: Decision, observation: Observation, loss: Loss | None) -> float:
        """Plan a decision, choose its seeds and apply it; return the time of the ranking, in ms."""
        now = self.observer.now(observation)
        plan = self.options.orchestrator.plan(decision, now, self.ledger)
        chosen = self.candidates.choose(plan, decision, now, loss)
        self.emit(chosen.plan, *chosen.events)
        refusal = chosen.refusal or self.reviewer.review_plan(
            chosen.plan, decision, now, chosen.kernels
        )
        adapted = Adapted((), None) if refusal is None else Adapted((refusal,), None)
        if refusal is None and chosen.plan.changes:
            adapted = self.adapter.adapt(chosen, decision, now.metrics)
        self.emit(*adapted.events)
        if adapted.applied is not None:
            self.reviewer.count(chosen.plan, self.epoch)
            self.candidates.note(chosen, adapted.applied, self.epoch, self.policy)
            return chosen.ranking_ms
        culls = culls_instead(decision)
        self.emit(*culls)
        return chosen.ranking_ms + sum(self._adapt(cull, now, loss) for cull in culls)

    def _settle(self) -> None:
        """Reward every seed that was fossilized or culled since the last call."""
        for outcome in map(self.options.priced, self.trials.settle(self.epoch)):
            self.emit(*self.settler.settle(outcome, self.host.slots[outcome.slot].spec))

    def _prepare(self) -> None:
        """Prepare kernels and later looks for the end of the next epoch."""
        plan_later_looks(self.costs, self.epoch)
        self.emit(*self.adapter.prepare(may_grow=self.observer.may_grow(self.epoch + 1)))
