"""Builders with defaults, and a simulated run that ages seeds by the rules of the lifecycle."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from esper.attribution.options import Attribution
from esper.contracts.decision import Decision, DecisionKind, Refusal
from esper.contracts.metrics import EpochMetrics
from esper.contracts.observation import Observation
from esper.contracts.outcome import Outcome, Reward
from esper.contracts.slot import (
    Look,
    Placement,
    SeedState,
    SlotKind,
    SlotSpec,
    SlotState,
    next_binding,
)
from esper.contracts.stage import LIVE, SeedStage
from esper.safety.options import Safety
from esper.safety.review import review
from esper.signals.options import Signals
from esper.signals.tracker import SignalTracker

CATALOGUE = ("affine", "mlp", "lora", "gated_mlp", "norm")
ATTRIBUTION = Attribution()


def make_look(
    age: int = 6,
    *,
    is_last: bool = False,
    bar: float = 0.02,
    least: float = 0.0,
    shown: float = 1.0,
    last_bar: float = 0.017,
    is_unpaid: bool = False,
) -> Look:
    """Return a look at epoch 10."""
    return Look(
        epoch=10,
        age=age,
        is_last=is_last,
        bar=bar,
        last_bar=last_bar,
        least=least,
        shown=shown,
        is_unpaid=is_unpaid,
    )


def make_seed(stage: SeedStage = SeedStage.DORMANT, **changes: Any) -> SeedState:
    """Return seed 0 of slot 'block'; a live one has germinated and is measured as useful.

    One in PROBATIONARY is looked at in this epoch.
    """
    state = SeedState(slot="block", seed=0, stage=stage, bound="affine")
    if stage in LIVE:
        state = replace(
            state,
            epochs_in_stage=1,
            epochs_since_germination=6,
            activations=1,
            last_used_epoch=1,
            alpha=1.0,
            gain=0.03,
            gain_error=0.01,
            ablation=0.02,
            improvement=0.01,
            improvement_error=0.01,
            look=make_look() if stage is SeedStage.PROBATIONARY else None,
        )
    return replace(state, **changes)


def make_slot(
    name: str = "block", seeds: tuple[SeedState, ...] | None = None, **changes: Any
) -> SlotState:
    """Return a slot, with two dormant seeds unless some are given; they are numbered in order."""
    spec = SlotSpec(
        name=name,
        kind=SlotKind.DENSE,
        placement=Placement.PARALLEL,
        in_shape=(8,),
        out_shape=(8,),
        catalogue=CATALOGUE,
    )
    if seeds is None:
        seeds = (make_seed(), make_seed(bound="mlp"))
    numbered = tuple(replace(seed, slot=name, seed=index) for index, seed in enumerate(seeds))
    return SlotState(spec=spec, seeds=numbered, **changes)


def make_observation(
    epoch: int = 10, slots: tuple[SlotState, ...] | None = None, **changes: Any
) -> Observation:
    """Return an observation of a run that improves quickly and may grow."""
    losses = tuple(2.0 * 0.7**past for past in range(max(0, epoch - 10), epoch))
    observation = Observation(
        metrics=EpochMetrics(epoch=epoch, global_step=epoch * 10, val_loss=0.5, val_accuracy=0.8),
        epochs=40,
        may_grow=True,
        plateau_epochs=0,
        loss_delta=-0.1,
        accuracy_delta=0.02,
        best_val_accuracy=0.8,
        best_val_loss=0.5,
        train_losses=losses,
        val_losses=losses,
        val_accuracies=(0.8,) * len(losses),
        slots=(make_slot(),) if slots is None else slots,
    )
    return replace(observation, **changes)


def make_outcome(
    blueprint: str = "affine", *, fossilized: bool = False, epoch: int = 10, **changes: Any
) -> Outcome:
    """Return a settled activation of seed 0 of slot 'block'."""
    outcome = Outcome(
        slot="block",
        seed=0,
        slot_kind="dense",
        placement="parallel",
        blueprint=blueprint,
        activation=1,
        germinated_epoch=1,
        settled_epoch=epoch,
        fossilized=fossilized,
        gain=0.03 if fossilized else -0.01,
        gain_error=0.01,
        ablation=0.02,
    )
    return replace(outcome, **changes)


def _always_useful(blueprint: str) -> float | None:
    return 0.03


def _learning_curve(epoch: int) -> float:
    return float(0.9 - 0.8 * 0.8**epoch)


@dataclass
class World:
    """A simulated run: gains by blueprint, accuracies by epoch, all other values by fixed rules."""

    policy: Any
    epochs: int = 40
    num_slots: int = 3
    gain: Callable[[str], float | None] = _always_useful
    accuracy: Callable[[int], float] = _learning_curve
    safety: Safety = field(default_factory=Safety)
    epoch: int = 0
    decisions: list[tuple[int, Decision]] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)

    def __post_init__(self) -> None:
        seeds = tuple(make_seed(bound=name) for name in CATALOGUE[:4])
        self.slots = [make_slot(f"block{index}", seeds) for index in range(self.num_slots)]
        self.tracker = SignalTracker(Signals())

    def run(self, epochs: int | None = None) -> "World":
        """Run some epochs, by default all that are left."""
        for _ in range(self.epochs - self.epoch if epochs is None else epochs):
            self.step()
        return self

    def step(self) -> None:
        """Age every seed by an epoch, then review and apply the policy's decisions."""
        self.epoch += 1
        for index, slot in enumerate(self.slots):
            self.slots[index] = replace(
                slot, seeds=tuple(self._older(seed, slot) for seed in slot.seeds)
            )
        accuracy = self.accuracy(self.epoch)
        metrics = EpochMetrics(
            epoch=self.epoch,
            global_step=self.epoch * 10,
            val_loss=1 - accuracy,
            val_accuracy=accuracy,
            train_loss=1 - accuracy,
        )
        may_grow = self.epoch <= self.epochs - ATTRIBUTION.ages[0] - 1
        seen = self.tracker.update(metrics, tuple(self.slots), self.epochs, may_grow=may_grow)
        decisions = self.policy.decide(seen)
        self.decisions += [(self.epoch, decision) for decision in decisions]
        accepted, refused = review(decisions, seen, self.safety)
        self.refusals += refused
        for decision in accepted:
            self._carry_out(decision)

    def of_kind(self, kind: DecisionKind) -> list[tuple[int, Decision]]:
        """Return the decisions of a kind with their epochs."""
        return [(epoch, each) for epoch, each in self.decisions if each.kind is kind]

    def _older(self, seed: SeedState, slot: SlotState) -> SeedState:
        in_stage, since = seed.epochs_in_stage + 1, seed.epochs_since_germination
        age = None if since is None else since + 1
        older = replace(seed, epochs_in_stage=in_stage, epochs_since_germination=age, look=None)
        lengths = {
            SeedStage.TRAINING: (1, SeedStage.BLENDING),
            SeedStage.BLENDING: (1, SeedStage.SHADOWING),
            SeedStage.SHADOWING: (2, SeedStage.PROBATIONARY),
            SeedStage.EMBARGOED: (5, SeedStage.DORMANT),
        }
        length, after = lengths.get(seed.stage, (1000, seed.stage))
        if in_stage >= length:
            if after is SeedStage.DORMANT:
                names = [each.bound for each in slot.seeds]
                older = replace(older, bound=next_binding(CATALOGUE, names, seed.seed))
            older = replace(older, stage=after, epochs_in_stage=0)
        look = None if age is None else ATTRIBUTION.due(age, self.epoch, self.epochs)
        if look is None or older.stage is not SeedStage.PROBATIONARY:
            return older
        bar = max(look.bar, ATTRIBUTION.standard_errors * 0.01)
        gain = self.gain(seed.bound)
        return replace(older, look=replace(look, bar=bar), gain=gain, gain_error=0.01)

    def _carry_out(self, decision: Decision) -> None:
        if decision.kind is DecisionKind.WAIT:
            return
        index = next(i for i, s in enumerate(self.slots) if s.spec.name == decision.slot)
        slot = self.slots[index]
        if decision.kind is DecisionKind.ADAPT:
            able = [
                seed.seed
                for seed in slot.seeds
                if seed.stage is SeedStage.DORMANT and seed.bound not in decision.barred
            ]
            for chosen in able[: decision.num_seeds or 1]:
                slot = self._germinated(slot, chosen)
        else:
            assert decision.seed is not None
            slot = self._settled(slot, slot.seeds[decision.seed], decision.kind)
        self.slots[index] = slot

    def _germinated(self, slot: SlotState, index: int) -> SlotState:
        seed = slot.seeds[index]
        live = replace(
            seed,
            stage=SeedStage.TRAINING,
            epochs_in_stage=0,
            epochs_since_germination=0,
            activations=seed.activations + 1,
            last_used_epoch=self.epoch,
            gain=None,
            gain_error=None,
            ablation=None,
            look=None,
        )
        return replace(self._with(slot, live), rests_until=self.epoch + 5)

    def _settled(self, slot: SlotState, seed: SeedState, kind: DecisionKind) -> SlotState:
        kept = kind is DecisionKind.FOSSILIZE
        stage = SeedStage.FOSSILIZED if kept else SeedStage.EMBARGOED
        outcome = make_outcome(
            seed.bound, fossilized=kept, epoch=self.epoch, slot=slot.spec.name, gain=seed.gain
        )
        self.policy.learn(outcome, Reward(total=0.1 if kept else -0.1))
        done = replace(
            seed, stage=stage, epochs_in_stage=0, epochs_since_germination=None, look=None
        )
        if kept:
            return self._with(slot, done)
        done = replace(done, last_used_epoch=self.epoch)
        return replace(
            self._with(slot, done), last_cull_epoch=self.epoch, rests_until=self.epoch + 5
        )

    def _with(self, slot: SlotState, seed: SeedState) -> SlotState:
        return replace(
            slot, seeds=tuple(seed if each.seed == seed.seed else each for each in slot.seeds)
        )
