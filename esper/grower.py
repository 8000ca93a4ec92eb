"""The control step: what happens between two epochs of training.

    evaluate -> attribute -> seeds grow older -> signals -> decisions -> safety -> plan -> selection
    -> apply -> settle: outcome -> reward -> ledger and policy learn

A `Grower` works in any training loop: it needs a model, its optimizer, and once an epoch a function
that evaluates and one that trains.  All randomness comes from `rng_seed`.
"""

import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from esper.choices import Choices, prepare
from esper.choosing import choose, host_memory_mb
from esper.contracts.decision import Decision, DecisionKind, Refusal
from esper.contracts.errors import LifecycleError
from esper.contracts.event import (
    Event,
    EventKind,
    LifecycleMove,
)
from esper.contracts.metrics import EpochMetrics, TrainReport
from esper.contracts.observation import Observation
from esper.contracts.stage import SeedStage
from esper.growth.apply import KernelError, Setting
from esper.growth.chance import Chance
from esper.growth.evaluation import Evaluate, Evaluation, evaluate_model, repeatable
from esper.growth.first_order import Loss
from esper.growth.groups import stale_entries
from esper.growth.host import Moment
from esper.growth.lifecycle import PROBATION_LIMIT, grow_older, health, uproot
from esper.growth.outcome import kernel_memory_mb
from esper.growth.pending import Pending
from esper.growth.twin import Train
from esper.policy.safety import Usage
from esper.settlement import Settlement
from esper.signals.tracker import SignalTracker
from esper.strategy.entry import Measurement
from esper.strategy.selector import Selector
from esper.telemetry.bus import EventBus


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What a control step found and how long its parts took.

    moves: what became of seeds in this step, in order.
    flops: of the epoch: training of the network and its twins, and attribution.
    """

    metrics: EpochMetrics
    observation: Observation
    moves: tuple[LifecycleMove, ...]
    flops: float
    evaluation_ms: float
    attribution_ms: float


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
        options: fields of `Choices`, by name or as objects: `policy="heuristic"`,
            `strategy=Thompson(prior_alpha=2)`, `slots=("block1",)`, ...  Name the schedulers of the
            optimizer, `schedulers=[scheduler]`: many of torch's take no further groups by
            themselves (LambdaLR, SequentialLR, CyclicLR, CosineAnnealingWarmRestarts).

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
        **options: Any,
    ) -> None:
        if not isinstance(epochs, int) or epochs < 1:
            raise ValueError(f"epochs must be a whole number >= 1, got {epochs!r}")
        self.choices = choices = Choices.of(options)
        self.epochs, self.rng_seed = epochs, rng_seed
        self.bus = bus or EventBus()
        self.epoch = 0
        self.batch_size = len(example_input)
        self.host = prepare(model, optimizer, example_input, choices)
        self.pending = Pending(self.host)
        self.tracker = SignalTracker(choices.signals)
        self.policy = choices.policy.build(rng_seed)
        run_id = choices.run_id or uuid.uuid4().hex
        self.settlement = Settlement(choices.reward, self.policy, choices.store.open(), run_id)
        self.ledger = self.settlement.ledger
        rng = Random(f"strategy/{rng_seed}")
        self.selector = Selector(choices.strategy, choices.viability, self.ledger, rng)
        self.num_decisions = 0
        self._moves: list[LifecycleMove] = []
        self._epoch_began = Chance.now()

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
        flops = self._attribute(comparing, train, network, trained)
        attributed = time.perf_counter()
        moment = Moment(self.epoch, network.loss, network.accuracy)
        for seed_health in health(self.host):
            self._tell(EventKind.HEALTH, seed_health)
        rest = self.choices.viability.min_dormant_epochs
        self._tell_all(EventKind.LIFECYCLE, grow_older(self.host, moment, rest))
        self._settle()
        observation = self._observe(moment, trained)
        for decision in self._decide(observation):
            self._act(decision, observation, moment, loss, with_twin=train is not None)
        self._cull_overdue()
        self._settle()
        self.pending.follow()
        self._epoch_began = Chance.now()
        return StepReport(
            metrics=observation.metrics,
            observation=observation,
            moves=tuple(self._moves),
            flops=flops,
            evaluation_ms=(evaluated - began) * 1e3,
            attribution_ms=(attributed - evaluated) * 1e3,
        )

    def close(self) -> None:
        """Let go of the store."""
        self.settlement.store.close()

    def _attribute(
        self, evaluate: Evaluate, train: Train | None, network: Evaluation, trained: TrainReport
    ) -> float:
        """Train the twins and credit the seeds; return the epoch's FLOPs."""
        num_samples = trained.num_samples or self.host.steps_per_epoch * self.batch_size
        flops = 3 * self.host.flops * num_samples
        self.pending.train_twins(train, self._epoch_began)
        flops += self.pending.flops(num_samples, len(network.losses_N))
        for found in self.pending.measure(evaluate, network):
            self._tell(EventKind.PERFORMANCE, found)
            measurement = Measurement(
                accuracy_improvement=self.host.seed(found.slot, found.seed).alive.accuracy_gain,
                loss_reduction=found.gain,
                memory_mb=self._memory_mb(found.slot, found.seed),
            )
            self.ledger.note_measurement(found.slot, found.seed, measurement)
        return flops

    def _observe(self, moment: Moment, trained: TrainReport) -> Observation:
        metrics = EpochMetrics(
            epoch=self.epoch,
            global_step=self.host.global_step,
            val_loss=moment.val_loss,
            val_accuracy=moment.val_accuracy,
            train_loss=trained.loss,
            train_accuracy=trained.accuracy,
        )
        may_grow = self.epoch < self.choices.grow_until * self.epochs
        states = self.host.states(self.epoch)
        return self.tracker.update(metrics, states, self.epochs, may_grow)

    def _decide(self, observation: Observation) -> list[Decision]:
        """Return the decisions that safety lets pass; every one is told, and every refusal."""
        decisions = self.policy.decide(observation)
        self._tell_all(EventKind.DECISION, decisions)
        self.num_decisions += len(decisions)
        wanted = [d for d in decisions if d.kind is not DecisionKind.WAIT]
        usage = Usage(parameters=self.host.num_parameters, memory_mb=host_memory_mb(self.host))
        accepted, refused = self.choices.safety.review(wanted, observation, usage)
        self._tell_all(EventKind.SAFETY, refused)
        return accepted

    def _act(
        self,
        decision: Decision,
        observation: Observation,
        moment: Moment,
        loss: Loss | None,
        *,
        with_twin: bool,
    ) -> None:
        """Turn a decision into a plan, let the strategy choose its seeds, and apply it."""
        plan = self.choices.orchestrator.plan(decision, observation, self.ledger)
        self._tell(EventKind.PLAN, plan)
        wish, host = (plan, decision), self.host
        choice = choose(self.selector, host, wish, observation, self.rng_seed, loss)
        self._tell_all(EventKind.KERNEL, choice.refused)
        self._tell_all(EventKind.SELECTION, choice.selections)
        setting = Setting(
            rng_seed=self.rng_seed,
            event=self.pending.num_events,
            cooldown_epochs=self.choices.orchestrator.adaptation_cooldown_epochs,
            moment=moment,
            reason=decision.reason,
        )
        twin = with_twin and self.choices.growth.attribution == "twin"
        try:
            applied = self.pending.apply(choice.plan, setting, choice.ready, with_twin=twin)
        except (KernelError, LifecycleError) as error:
            refusal = Refusal(rule="applicable", reason=str(error), decision=decision)
            self._tell(EventKind.SAFETY, refusal)
            return
        self._tell_all(EventKind.KERNEL, applied.built)
        self._tell_all(EventKind.LIFECYCLE, applied.moves)
        for slot, seed in applied.germinated:
            self.ledger.note_activation(slot, seed, self.epoch)

    def _cull_overdue(self) -> None:
        """Cull what nobody judged in time, and at the end of the budget all that is open."""
        ends = self.epoch == self.epochs
        for seed in self.host.seeds():
            waited = seed.stage is SeedStage.PROBATIONARY and seed.epochs_in_stage
            if ends and seed.life is not None and seed.stage is not SeedStage.FOSSILIZED:
                reason = "the budget is over"
            elif waited >= PROBATION_LIMIT:
                reason = f"no verdict within {PROBATION_LIMIT} epochs of probation"
            else:
                continue
            self._tell_all(EventKind.LIFECYCLE, uproot(self.host, seed, self.epoch, reason))

    def _settle(self) -> None:
        """Judge every life that ended since the last call."""
        for outcome in self.pending.settle(self.epoch):
            for kind, body in self.settlement.settle(outcome, self.host.slots[outcome.slot].spec):
                self._tell(kind, body)
        problems = stale_entries(self.host.optimizer, self.host.model)
        assert not problems, f"optimizer and model have come apart: {problems}"

    def _memory_mb(self, slot: str, seed: int) -> float:
        life = self.host.seed(slot, seed).alive
        return kernel_memory_mb(life.parameters, life.trainable)

    def _tell(self, kind: EventKind, body: Any) -> None:
        if kind is EventKind.LIFECYCLE:
            self._moves.append(body)
        self.bus.publish(Event(kind=kind, epoch=self.epoch, body=body))

    def _tell_all(self, kind: EventKind, bodies: Iterable[Any]) -> None:
        for body in bodies:
            self._tell(kind, body)
