"""The control step: what happens between two epochs of training.

    evaluate -> attribute -> seeds grow older -> signals -> decisions -> safety -> plan -> selection
    -> apply -> settle: outcome -> reward -> ledger and policy learn

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
from esper.attribution.trials import Trials, load_pending_state, pending_state
from esper.attribution.twin import Train
from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.event import Event, EventKind, LifecycleMove
from esper.contracts.metrics import EpochMetrics, TrainReport
from esper.contracts.observation import Observation
from esper.contracts.step import StepReport
from esper.grower.adapt import Adapter, Occasion
from esper.grower.options import GrowerArguments, GrowerOptions
from esper.grower.settle import Settler
from esper.growth.host import Moment
from esper.growth.lifecycle import advance_epoch, cull_overdue, health
from esper.growth.param_groups import stale_entries
from esper.growth.prepare import prepare
from esper.logger.bus import EventBus
from esper.probe.rng_state import RngState
from esper.safety.recovery import Recovering
from esper.safety.rollback import Governor
from esper.signals.tracker import SignalTracker
from esper.strategy.selector import Selector


class Grower:
    """Grows a model inside anybody's training loop: call `step` after each epoch.

    Args:
        model: any module with a place for a slot; its slots are attached in place.
        optimizer: any torch optimizer that takes further parameter groups; the learning rate of
            kernels follows that of its first group.
        example_input: a batch that `model` accepts; only its shapes and size are used.
        epochs: the budget; seeds germinate in its first part and none is open at its end.
        rng_seed: seed of all randomness of growth.
        bus: receives an event for everything that happens.
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
        self.choices = choices = GrowerOptions.of(options)
        self.epochs, self.rng_seed = epochs, rng_seed
        self.bus = bus or EventBus()
        self.epoch = 0
        self.batch_size = len(example_input)
        self.host = prepare(model, optimizer, example_input, choices.setup)
        self.pending = Trials(self.host)
        self.recovering = Recovering(self.pending, choices.recovery)
        self.bus.subscribe(self.recovering.tally, [EventKind.RECOVERY])
        self.governing = Governor(self.pending, choices.governor, choices.chance_loss)
        self.tracker = SignalTracker(choices.signals)
        self.policy = choices.policy.build(rng_seed)
        run_id = choices.run_id or uuid.uuid4().hex
        self.settlement = Settler(choices.reward, self.policy, choices.store.open(), run_id)
        self.ledger = self.settlement.ledger
        rng = Random(f"strategy/{rng_seed}")
        self.selector = Selector(choices.strategy, choices.viability, self.ledger, rng)
        self.actor = Adapter(choices, self.pending, self.selector, rng_seed, self._tell)
        self.num_decisions = 0
        self._moves: list[LifecycleMove] = []
        self._epoch_began = RngState.now()
        self.actor.prepare(may_grow=self._may_grow(self.epoch + 1))

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
        moment = Moment(self.epoch, network.loss, network.accuracy)
        flops = 3 * self.host.flops * self._num_samples(trained)
        self._tell_all(EventKind.RECOVERY, self.recovering.review(self.epoch))
        for kind, body in self.governing.look(moment, trained):
            self._tell(kind, body)
        is_sound = not self.governing.has_rolled_back
        if is_sound:
            flops += self._attribute(comparing, train, network, trained)
        attributed = time.perf_counter()
        self.notice()
        if is_sound:
            self._grow_older(moment)
        self._settle()
        observation = self._observe(moment, trained)
        if is_sound:
            occasion = Occasion(observation, moment, loss, with_twin=train is not None)
            for decision in self._decide(observation):
                self.actor.act(decision, occasion)
        overdue = cull_overdue(self.host, self.epoch, is_last=self.epoch == self.epochs)
        self._tell_all(EventKind.LIFECYCLE, overdue)
        self._settle()
        self.pending.follow()
        self.recovering.prepare(self.epoch)
        self.governing.keep(self.epoch)
        self.actor.prepare(may_grow=self._may_grow(self.epoch + 1))
        self._epoch_began = RngState.now()
        return StepReport(
            metrics=observation.metrics,
            observation=observation,
            moves=tuple(self._moves),
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
            "pending": pending_state(self.pending),
            "recovering": self.recovering.state_dict(),
            "governing": self.governing.state_dict(self.epoch),
            "tracker": self.tracker.state_dict(),
            "policy": self.policy.state_dict(),
            "settlement": self.settlement.state_dict(),
            "selector": self.selector.state_dict(),
            "epoch_began": self._epoch_began.state_dict(),
            "chance": RngState.now().state_dict(),
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
        load_pending_state(self.pending, state["pending"])
        self.recovering.load_state_dict(state["recovering"])
        self.governing.load_state_dict(state["governing"], self.epoch)
        self.tracker.load_state_dict(state["tracker"])
        self.policy.load_state_dict(state["policy"])
        self.settlement.load_state_dict(state["settlement"])
        self.selector.load_state_dict(state["selector"])
        self._epoch_began = RngState.from_state(state["epoch_began"])
        RngState.from_state(state["chance"]).restore()
        self.actor.prepare(may_grow=self._may_grow(self.epoch + 1))

    def notice(self) -> None:
        """Tell of kernels that failed since this was last done, as in a test of the network."""
        self._tell_all(EventKind.RECOVERY, self.recovering.notice(self.epoch))

    def close(self) -> None:
        """Let go of the store and of the kernels that were prepared."""
        self.actor.close()
        self._tell_all(EventKind.RECOVERY, self.settlement.close())

    def _attribute(
        self, evaluate: Evaluate, train: Train | None, network: Evaluation, trained: TrainReport
    ) -> float:
        """Train the twins and credit the seeds; return the FLOPs of both."""
        self.pending.train_twins(train, self._epoch_began)
        for found in self.pending.measure(evaluate, network):
            self._tell(EventKind.PERFORMANCE, found)
            self.settlement.note(found, self.host.seed(found.slot, found.seed).activation)
        return self.pending.flops(self._num_samples(trained), len(network.losses_N))

    def _num_samples(self, trained: TrainReport) -> int:
        return trained.num_samples or self.host.steps_per_epoch * self.batch_size

    def _grow_older(self, moment: Moment) -> None:
        self._tell_all(EventKind.HEALTH, health(self.host))
        self._tell_all(EventKind.LIFECYCLE, self.recovering.cull(self.epoch))
        rest = self.choices.viability.min_dormant_epochs
        self._tell_all(EventKind.LIFECYCLE, advance_epoch(self.host, moment, rest))

    def _observe(self, moment: Moment, trained: TrainReport) -> Observation:
        metrics = EpochMetrics(
            epoch=self.epoch,
            global_step=self.host.global_step,
            val_loss=moment.val_loss,
            val_accuracy=moment.val_accuracy,
            train_loss=trained.loss,
            train_accuracy=trained.accuracy,
        )
        states = self.host.states(self.epoch)
        seen = self.tracker.update(metrics, states, self.epochs, self._may_grow(self.epoch))
        return replace(seen, is_suspect=self.governing.is_suspect)

    def _may_grow(self, epoch: int) -> bool:
        """Return whether seeds may germinate at the end of an epoch."""
        return epoch < self.choices.grow_until * self.epochs and not self.governing.has_ended_growth

    def _decide(self, observation: Observation) -> list[Decision]:
        """Return the decisions that safety lets pass; every one is told, and every refusal."""
        decisions = self.policy.decide(observation)
        self._tell_all(EventKind.DECISION, decisions)
        self.num_decisions += len(decisions)
        wanted = [self.recovering.bar(d) for d in decisions if d.kind is not DecisionKind.WAIT]
        accepted, refused = self.actor.reviewer.review(wanted, observation)
        self._tell_all(EventKind.SAFETY, refused)
        return accepted

    def _settle(self) -> None:
        """Judge every life that ended since the last call."""
        for outcome in self.pending.settle(self.epoch):
            for kind, body in self.settlement.settle(outcome, self.host.slots[outcome.slot].spec):
                self._tell(kind, body)
        problems = stale_entries(self.host.optimizer, self.host.model)
        assert not problems, f"optimizer and model have come apart: {problems}"

    def _tell(self, kind: EventKind, body: Any) -> None:
        if kind is EventKind.LIFECYCLE:
            self._moves.append(body)
        self.bus.publish(Event(kind=kind, epoch=self.epoch, body=body))
        if kind is EventKind.KERNEL and body.error is not None:
            self._tell_all(EventKind.RECOVERY, self.recovering.build_failed(body))

    def _tell_all(self, kind: EventKind, bodies: Iterable[Any]) -> None:
        for body in bodies:
            self._tell(kind, body)
