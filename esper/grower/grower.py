"""The control step: what happens between two epochs of training.

    evaluate -> attribute -> stages advance -> observation -> policy: decisions -> safety
    -> orchestrator: plan -> strategy: seeds and kernels -> safety -> apply
    -> (epochs later) outcome -> reward -> ledger and policy learn

A `Grower` works in any training loop.  All randomness comes from `rng_seed`.
"""

import time
import uuid
from random import Random
from typing import Any, Unpack

from torch import Tensor, nn
from torch.optim import Optimizer

from esper.attribution.evaluation import Evaluate, repeatable
from esper.attribution.first_order import Loss
from esper.attribution.modes import Modes
from esper.attribution.trials import Trials
from esper.attribution.twin import Train
from esper.contracts.checks import require_whole
from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.event import Event, EventBody, EventKind, KernelBuilt, LifecycleMove
from esper.contracts.metrics import EpochMetrics, TrainReport
from esper.contracts.observation import Observation
from esper.contracts.stage import SeedStage
from esper.contracts.step import StepReport
from esper.grower.adapt import Adapter
from esper.grower.candidates import Candidates
from esper.grower.costs import TRAINING, Costs
from esper.grower.options import GrowerArguments, GrowerOptions
from esper.grower.read_out import BestAverage
from esper.grower.review import Reviewer
from esper.grower.settle import Settler
from esper.growth.lifecycle import advance_epoch, cull_overdue, health
from esper.growth.prepare import prepare
from esper.logger.bus import EventBus
from esper.probe.rng_state import RngState
from esper.safety.recovery import KernelGuard
from esper.safety.rollback import Governor
from esper.signals.tracker import SignalTracker
from esper.strategy.selector import Selector

_STATEFUL = ("trials", "guard", "tracker", "policy", "settler", "selector", "costs", "best")
"""Parts of a grower with a state of their own, in the order of loading."""


class Grower:
    """Grows a model in any training loop: call `step` after each epoch.

    Args:
        model: any module with a place for a slot; its slots are attached in place.
        optimizer: any torch optimizer that takes further parameter groups; the learning rate of
            kernels follows that of its first group.
        example_input: a batch that `model` accepts; only its shapes and size are used.
        epochs: the budget.  Seeds germinate only while enough of it is left for a verdict and an
            epoch after it, so that budgets of up to 5 epochs do not grow.
        rng_seed: seed of all randomness of growth.
        bus: receives every event.
        options: see `GrowerArguments`; by name or as objects: `policy="heuristic"`,
            `strategy=Thompson(prior_alpha=2)`, `slots=("block1",)`, ...  Pass the optimizer's
            schedulers, `schedulers=[scheduler]`, because many of torch's cannot handle the groups
            of kernels (LambdaLR, SequentialLR, CyclicLR, CosineAnnealingWarmRestarts).

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
        require_whole("epochs", epochs, 1)
        self.options = chosen = GrowerOptions.of(options)
        self.epoch, self.epochs = 0, epochs
        self.bus = bus or EventBus()
        self.batch_size = len(example_input)
        self.host = prepare(model, optimizer, example_input, chosen.setup(rng_seed))
        self.trials = Trials(self.host, chosen.attribution)
        self.costs = Costs(self.host, chosen.attribution, chosen.safety.max_cost, epochs)
        self.best = BestAverage(self.host, chosen.run)
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
        self.reviewer = Reviewer(chosen.safety, self.host, self.costs)
        pipeline = chosen.pipeline(rng_seed)
        self.candidates = Candidates(self.host, self.selector, pipeline, self.reviewer)
        self.adapter = Adapter(
            self.trials, pipeline, chosen.orchestrator.adaptation_cooldown_epochs
        )
        self.num_decisions = 0
        self.is_over = False
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
        """Evaluate the epoch just trained, settle seeds, and change the network.

        Args:
            evaluate: returns a model's losses per sample on the decision-validation split, or
                losses and hits per sample.
            train: trains a model with an optimizer for one epoch; only `attribution.method=twin`
                needs it, for copies of the network without new seeds.  A copy gets the network's
                learning rates, and its batches if these depend only on the epoch's number or on
                the global random state.
            trained: the numbers of the training, as far as known.
            loss: returns a model's scalar loss on training samples, for a backward pass that ranks
                untrained kernels.

        Raises:
            ValueError: if the budget is over or `evaluate` returns no loss per sample.
        """
        if self.epoch >= self.epochs or self.is_over:
            raise ValueError(f"the budget of {self.epochs} epochs is over")
        trained = trained or TrainReport()
        modes = Modes(repeatable(evaluate), self.host)
        began = time.perf_counter()
        evaluation = modes.settled()
        evaluated = time.perf_counter()
        self.epoch += 1
        self._moves.clear()
        num_samples = trained.num_samples or self.host.steps_in_epoch * self.batch_size
        flops = TRAINING * self.host.epoch_flops(num_samples)
        self.host.end_epoch()
        metrics = EpochMetrics(
            epoch=self.epoch,
            global_step=self.host.global_step,
            val_loss=evaluation.loss,
            val_accuracy=evaluation.accuracy,
            train_loss=trained.loss,
            train_accuracy=trained.accuracy,
        )
        self.emit(*self.guard.review(self.epoch))
        inspection = self.governor.inspect(metrics, trained)
        self.emit(*inspection.events)
        if not inspection.has_rolled_back:
            with modes.settled_network():
                self.best.offer(evaluation.loss, self.epoch)
            flops += self._attribute(modes, train, num_samples)
        attributed = time.perf_counter()
        self.costs.add_epoch(flops, num_samples, len(evaluation.losses_N))
        self.report_failures()
        if not inspection.has_rolled_back:
            self._advance(metrics, modes)
        self._settle()
        observation = self.tracker.update(
            metrics,
            self.host.states(self.epoch),
            self.epochs,
            may_grow=self._may_grow(self.epoch),
            is_suspect=inspection.is_suspect,
            affordable_flops=self.costs.affordable_flops(self.epoch),
        )
        if not inspection.has_rolled_back:
            for decision in self._decide(observation):
                self._adapt(decision, observation, loss)
        self.emit(*cull_overdue(self.host, self.epoch, self.epochs))
        self._settle()
        self.trials.follow()
        self.guard.prepare(self.epoch)
        if not inspection.is_suspect:
            self.governor.keep(self.epoch)
        self._prepare()
        self.host.begin_epoch()
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

    def read_out(self) -> int | None:
        """Give the model the best averaged network, and end the growth; call it after training.

        Returns:
            The epoch of that network; None if the model keeps its last weights, with
            `run.read_out=last`.
        """
        self.is_over = True
        return self.best.apply()

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, weights and moments included; call it between steps."""
        return {
            "epoch": self.epoch,
            "num_decisions": self.num_decisions,
            "is_over": self.is_over,
            "governor": self.governor.state_dict(self.epoch),
            "epoch_began": self._epoch_began.state_dict(),
            "rng": RngState.now().state_dict(),
            **{part: getattr(self, part).state_dict() for part in _STATEFUL},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state, and the global random state, into a fresh grower of a fresh model.

        Raises:
            CheckpointError: if it is the state of another model or optimizer.
            ValueError: if this grower has taken a step already.
        """
        if self.epoch:
            raise ValueError(f"a state is loaded into a fresh grower, this one is at {self.epoch}")
        self.epoch, self.num_decisions = state["epoch"], state["num_decisions"]
        self.is_over = state["is_over"]
        for part in _STATEFUL:
            getattr(self, part).load_state_dict(state[part])
        self.governor.load_state_dict(state["governor"], self.epoch)
        self._epoch_began = RngState.from_state(state["epoch_began"])
        RngState.from_state(state["rng"]).restore()
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

    def _attribute(self, modes: Modes, train: Train | None, num_samples: int) -> float:
        """Train the twins and look at the seeds on trial; return the FLOPs."""
        self.trials.train_twins(train, self._epoch_began)
        if self._has_blending:
            # The gate of BLENDING needs it, which comes after the FLOPs are counted.
            modes.whole()
        for performance in self.trials.measure(modes, self.epoch, self.epochs):
            self.emit(performance)
            seed = self.host.seed(performance.slot, performance.seed)
            self.settler.record(performance, seed.activation)
        evaluation = modes.settled()
        # A run without growth evaluates its network once too.
        extra = modes.flops - self.host.settled_flops
        return self.trials.flops(num_samples) + extra * len(evaluation.losses_N)

    def _advance(self, metrics: EpochMetrics, modes: Modes) -> None:
        self.emit(*health(self.host))
        self.emit(*self.guard.cull(self.epoch))
        blended_loss = modes.whole().loss if self._has_blending else None
        rest_epochs = self.options.viability.min_dormant_epochs
        self.emit(*advance_epoch(self.host, metrics, rest_epochs, blended_loss))

    @property
    def _has_blending(self) -> bool:
        return any(seed.stage is SeedStage.BLENDING for seed in self.host.seeds())

    def _may_grow(self, epoch: int) -> bool:
        """Return whether a seed that germinates after an epoch can get a verdict before the end."""
        first_look = self.options.attribution.ages[0]
        is_in_time = 1 <= epoch <= self.epochs - first_look - 1
        return is_in_time and not self.governor.has_ended_growth

    def _decide(self, observation: Observation) -> list[Decision]:
        """Return the decisions of the policy that safety accepts."""
        decisions = self.policy.decide(observation)
        self.emit(*decisions)
        self.num_decisions += len(decisions)
        requests = [self.guard.bar(d) for d in decisions if d.kind is not DecisionKind.WAIT]
        accepted, refused = self.reviewer.review(requests, observation)
        self.emit(*refused)
        return accepted

    def _adapt(self, decision: Decision, observation: Observation, loss: Loss | None) -> None:
        """Turn a decision into a plan, let the strategy choose its seeds, and apply it."""
        plan = self.options.orchestrator.plan(decision, observation, self.ledger)
        self.emit(plan)
        chosen = self.candidates.choose(plan, decision, observation, loss)
        self.emit(*chosen.events)
        refusal = chosen.refusal or self.reviewer.review_plan(
            chosen.plan, decision, observation, chosen.kernels
        )
        if refusal is not None:
            self.emit(refusal)
            return
        adapted = self.adapter.adapt(chosen, decision, observation.metrics)
        self.emit(*adapted.events)
        if adapted.applied is not None:
            self.reviewer.count(chosen.plan, self.epoch)
            for built in adapted.applied.built:
                self.ledger.note_activation(built.slot, built.seed)

    def _settle(self) -> None:
        """Reward every seed that was fossilized or culled since the last call."""
        for outcome in self.trials.settle(self.epoch):
            self.emit(*self.settler.settle(outcome, self.host.slots[outcome.slot].spec))

    def _prepare(self) -> None:
        """Prepare kernels for the end of the next epoch."""
        self.emit(*self.adapter.prepare(may_grow=self._may_grow(self.epoch + 1)))
