"""The control step: what happens between two epochs of training.

    evaluate -> attribute -> stages advance -> observation -> policy: decisions -> safety
    -> orchestrator: plan -> strategy: seeds and kernels -> safety -> apply
    -> (epochs later) outcome -> reward -> ledger and policy learn

A `Grower` works in any training loop: it needs a model, its optimizer, and once an epoch a function
that evaluates and one that trains.  All randomness comes from `rng_seed`.
"""

import time
import uuid
from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import Any, Unpack

from torch import Tensor, nn
from torch.optim import Optimizer

from esper.attribution.evaluation import Evaluate, Evaluation, evaluate_model, repeatable
from esper.attribution.first_order import Loss
from esper.attribution.trials import Trials, load_trials_state, trials_state
from esper.attribution.twin import Train
from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.event import Event, EventBody, EventKind, KernelBuilt, LifecycleMove
from esper.contracts.metrics import EpochMetrics, TrainReport
from esper.contracts.observation import Observation
from esper.contracts.step import StepReport
from esper.grower.adapt import Adapter
from esper.grower.candidates import Candidates
from esper.grower.options import GrowerArguments, GrowerOptions
from esper.grower.review import Reviewer
from esper.grower.settle import Settler
from esper.growth.lifecycle import advance_epoch, cull_overdue, health
from esper.growth.param_groups import stale_entries
from esper.growth.prepare import prepare
from esper.kernels.pipeline import KernelPipeline
from esper.logger.bus import EventBus
from esper.probe.rng_state import RngState
from esper.safety.recovery import KernelGuard
from esper.safety.rollback import Governor
from esper.signals.tracker import SignalTracker
from esper.strategy.selector import Selector

TRAINING = 3
"""A training step costs about three forward passes: the backward pass costs two."""


class Grower:
    """Grows a model in any training loop: call `step` after each epoch.

    Args:
        model: any module with a place for a slot; its slots are attached in place.
        optimizer: any torch optimizer that takes further parameter groups; the learning rate of
            kernels follows that of its first group.
        example_input: a batch that `model` accepts; only its shapes and size are used.
        epochs: the budget; seeds germinate in its first part and none is open at its end.
        rng_seed: seed of all randomness of growth.
        bus: receives every event.
        options: see `GrowerArguments`; by name or as objects: `policy="heuristic"`,
            `strategy=Thompson(prior_alpha=2)`, `slots=("block1",)`, ...  Name the schedulers of the
            optimizer, `schedulers=[scheduler]`: without that, many of torch's cannot handle the
            groups of kernels (LambdaLR, SequentialLR, CyclicLR, CosineAnnealingWarmRestarts).

    Raises:
        ConfigError: if an option is unknown or no slot can be placed.
        DataError: if the store cannot be read.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        example_input: Tensor,
        epochs: int,
        rng_seed: int = 0,
        bus: EventBus | None = None,
        **options: Unpack[GrowerArguments],
    ) -> None:
        if not isinstance(epochs, int) or epochs < 1:
            raise ValueError(f"epochs must be a whole number >= 1, got {epochs!r}")
        self.options = chosen = GrowerOptions.of(options)
        self.epochs, self.rng_seed = epochs, rng_seed
        self.bus = bus or EventBus()
        self.epoch = 0
        self.batch_size = len(example_input)
        self.host = prepare(model, optimizer, example_input, chosen.setup)
        self.trials = Trials(self.host)
        self.guard = KernelGuard(self.trials, chosen.recovery)
        self.bus.subscribe(self.guard.tally, [EventKind.RECOVERY])
        self.governor = Governor(self.trials, chosen.governor, chosen.chance_loss)
        self.tracker = SignalTracker(chosen.signals)
        self.policy = chosen.policy.build(rng_seed)
        run_id = chosen.run_id or uuid.uuid4().hex
        self.settler = Settler(chosen.reward, self.policy, chosen.store.open(), run_id)
        self.ledger = self.settler.ledger
        rng = Random(f"strategy/{rng_seed}")
        self.selector = Selector(chosen.strategy, chosen.viability, self.ledger, rng)
        self.reviewer = Reviewer(chosen.safety, self.host)
        pipeline = KernelPipeline(chosen.kernels, rng_seed)
        self.candidates = Candidates(self.host, self.selector, pipeline, self.reviewer)
        cooldown_epochs = chosen.orchestrator.adaptation_cooldown_epochs
        self.adapter = Adapter(self.trials, pipeline, cooldown_epochs)
        self.num_decisions = 0
        self._moves: list[LifecycleMove] = []
        self._epoch_began = RngState.now()
        self._prepare()

    def __repr__(self) -> str:
        return f"Grower(epoch {self.epoch}/{self.epochs}, {self.host.extra_repr()})"

    def step(
        self,
        evaluate: Evaluate,
        train: Train | None = None,
        *,
        trained: TrainReport | None = None,
        loss: Loss | None = None,
    ) -> StepReport:
        """Look at the epoch that has just been trained, and change the network where it pays.

        Args:
            evaluate: function of a model: its losses per sample on the decision-validation split,
                or those and its hits per sample.
            train: function of a model and an optimizer that trains the epoch just trained again;
                with it a seed is compared with a twin that never got it, else with itself muted.
                A twin follows the learning rates of the network by itself.  It sees the same
                batches where they are drawn from the epoch's number or, from the end of one step
                to the end of the epoch's training, from the global generators alone.
            trained: what training gave, as far as known.
            loss: function of a model: a scalar loss with a graph, on training samples; with it
                kernels are ranked at birth.

        Raises:
            ValueError: if the budget is over or `evaluate` gives no loss per sample.
        """
        if self.epoch >= self.epochs:
            raise ValueError(f"the budget of {self.epochs} epochs is over")
        trained = trained or TrainReport()
        comparing = repeatable(evaluate)
        began = time.perf_counter()
        network = evaluate_model(evaluate, self.host.model)
        evaluated = time.perf_counter()
        self.epoch += 1
        self._moves.clear()
        self.host.end_epoch()
        metrics = self._metrics(network, trained)
        flops = TRAINING * self.host.flops * self._num_samples(trained)
        self._emit_all(self.guard.review(self.epoch))
        inspection = self.governor.inspect(metrics, trained)
        self._emit_all(inspection.events)
        if not inspection.has_rolled_back:
            flops += self._attribute(comparing, train, network, trained)
        attributed = time.perf_counter()
        self.report_failures()
        if not inspection.has_rolled_back:
            self._advance(metrics)
        self._settle()
        observation = self._observe(metrics, is_suspect=inspection.is_suspect)
        if not inspection.has_rolled_back:
            with_twin = train is not None and self.options.growth.attribution == "twin"
            for decision in self._decide(observation):
                self._adapt(decision, observation, loss, with_twin=with_twin)
        self._emit_all(cull_overdue(self.host, self.epoch, is_last=self.epoch == self.epochs))
        self._settle()
        self.trials.follow()
        self.guard.prepare(self.epoch)
        if not inspection.is_suspect:
            self.governor.keep(self.epoch)
        self._prepare()
        self._epoch_began = RngState.now()
        return StepReport(
            metrics=metrics,
            observation=observation,
            moves=tuple(self._moves),
            has_rolled_back=inspection.has_rolled_back,
            flops=flops,
            evaluation_ms=(evaluated - began) * 1e3,
            attribution_ms=(attributed - evaluated) * 1e3,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, the model's weights and the optimizer's moments included.

        Nested plain values, and the run's own tensors.  Call it between steps.
        """
        return {
            "epoch": self.epoch,
            "num_decisions": self.num_decisions,
            "trials": trials_state(self.trials),
            "guard": self.guard.state_dict(),
            "governor": self.governor.state_dict(self.epoch),
            "tracker": self.tracker.state_dict(),
            "policy": self.policy.state_dict(),
            "settler": self.settler.state_dict(),
            "selector": self.selector.state_dict(),
            "epoch_began": self._epoch_began.state_dict(),
            "rng": RngState.now().state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Make a fresh grower of a fresh model stand where `state` says, global generators too.

        Raises:
            CheckpointError: if it is the state of another model or optimizer.
            ValueError: if this grower has taken a step already.
        """
        if self.epoch:
            raise ValueError(f"a state is loaded into a fresh grower, this one is at {self.epoch}")
        self.epoch, self.num_decisions = state["epoch"], state["num_decisions"]
        load_trials_state(self.trials, state["trials"])
        self.guard.load_state_dict(state["guard"])
        self.governor.load_state_dict(state["governor"], self.epoch)
        self.tracker.load_state_dict(state["tracker"])
        self.policy.load_state_dict(state["policy"])
        self.settler.load_state_dict(state["settler"])
        self.selector.load_state_dict(state["selector"])
        self._epoch_began = RngState.from_state(state["epoch_began"])
        RngState.from_state(state["rng"]).restore()
        self._prepare()

    def emit(self, body: EventBody) -> None:
        """Publish an event of the present epoch."""
        self.bus.publish(Event(epoch=self.epoch, body=body))
        if isinstance(body, LifecycleMove):
            self._moves.append(body)
        if isinstance(body, KernelBuilt) and body.error is not None:
            self._emit_all(self.guard.build_failed(body))

    def report_failures(self) -> None:
        """Emit the failures of kernels since the last call; call it after a test of the network."""
        self._emit_all(self.guard.notice(self.epoch))

    def close(self) -> None:
        """Close the store and drop prepared kernels."""
        self._emit_all(self.adapter.close())
        self._emit_all(self.settler.close())

    def _metrics(self, network: Evaluation, trained: TrainReport) -> EpochMetrics:
        return EpochMetrics(
            epoch=self.epoch,
            global_step=self.host.global_step,
            val_loss=network.loss,
            val_accuracy=network.accuracy,
            train_loss=trained.loss,
            train_accuracy=trained.accuracy,
        )

    def _attribute(
        self, evaluate: Evaluate, train: Train | None, network: Evaluation, trained: TrainReport
    ) -> float:
        """Train the twins and credit the seeds; return the FLOPs of both."""
        self.trials.train_twins(train, self._epoch_began)
        for performance in self.trials.measure(evaluate, network):
            self.emit(performance)
            seed = self.host.seed(performance.slot, performance.seed)
            self.settler.note(performance, seed.activation)
        return self.trials.flops(self._num_samples(trained), len(network.losses_N))

    def _num_samples(self, trained: TrainReport) -> int:
        return trained.num_samples or self.host.steps_per_epoch * self.batch_size

    def _advance(self, metrics: EpochMetrics) -> None:
        """Advance every seed by one epoch."""
        self._emit_all(health(self.host))
        self._emit_all(self.guard.cull(self.epoch))
        rest_epochs = self.options.viability.min_dormant_epochs
        self._emit_all(advance_epoch(self.host, metrics, rest_epochs))

    def _observe(self, metrics: EpochMetrics, *, is_suspect: bool) -> Observation:
        slots, may_grow = self.host.states(self.epoch), self._may_grow(self.epoch)
        observation = self.tracker.update(metrics, slots, self.epochs, may_grow)
        return replace(observation, is_suspect=is_suspect)

    def _may_grow(self, epoch: int) -> bool:
        """Return whether seeds may germinate at the end of an epoch."""
        return epoch < self.options.grow_until * self.epochs and not self.governor.has_ended_growth

    def _decide(self, observation: Observation) -> list[Decision]:
        """Return the decisions of the policy that safety accepts."""
        decisions = self.policy.decide(observation)
        self._emit_all(decisions)
        self.num_decisions += len(decisions)
        wanted = [self.guard.bar(d) for d in decisions if d.kind is not DecisionKind.WAIT]
        accepted, refused = self.reviewer.review(wanted, observation)
        self._emit_all(refused)
        return accepted

    def _adapt(
        self, decision: Decision, observation: Observation, loss: Loss | None, *, with_twin: bool
    ) -> None:
        """Turn a decision into a plan, let the strategy choose its seeds, and apply it."""
        plan = self.options.orchestrator.plan(decision, observation, self.ledger)
        self.emit(plan)
        chosen = self.candidates.choose(plan, decision, observation, loss)
        self._emit_all(chosen.events)
        refusal = chosen.refusal or self.reviewer.review_plan(
            chosen.plan, decision, observation, chosen.kernels
        )
        if refusal is not None:
            self.emit(refusal)
            return
        adapted = self.adapter.adapt(chosen, decision, observation.metrics, with_twin=with_twin)
        self._emit_all(adapted.events)
        if adapted.applied is not None:
            self.reviewer.note(chosen.plan, self.epoch)
            for slot, seed in adapted.applied.germinated:
                self.ledger.note_activation(slot, seed)

    def _settle(self) -> None:
        """Judge every seed that was fossilized or culled since the last call."""
        for outcome in self.trials.settle(self.epoch):
            self._emit_all(self.settler.settle(outcome, self.host.slots[outcome.slot].spec))
        problems = stale_entries(self.host.optimizer, self.host.model)
        assert not problems, f"optimizer and model have come apart: {problems}"

    def _prepare(self) -> None:
        """Prepare kernels for the end of the next epoch."""
        self._emit_all(self.adapter.prepare(may_grow=self._may_grow(self.epoch + 1)))

    def _emit_all(self, bodies: Iterable[EventBody]) -> None:
        for body in bodies:
            self.emit(body)
