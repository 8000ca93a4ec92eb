"""Typed events of a run and most of their bodies; decisions and plans have files of their own."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from esper.contracts.ledger import SeedHistory
from esper.contracts.outcome import Outcome, Reward
from esper.contracts.stage import SeedStage


class EventKind(StrEnum):
    """Topics of the event bus and values of `kind` in events.jsonl."""

    DECISION = "decision"
    SAFETY = "safety"
    PLAN = "plan"
    SELECTION = "selection"
    LIFECYCLE = "lifecycle"
    KERNEL = "kernel"
    PERFORMANCE = "performance"
    HEALTH = "health"
    REWARD = "reward"
    LEDGER = "ledger"
    RECOVERY = "recovery"
    GOVERNOR = "governor"
    CHECKPOINT = "checkpoint"
    POLICY_UPDATE = "policy_update"
    RESIZE = "resize"
    MILESTONE = "milestone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One condition of a gate; `value` is None when it was not measured, and then it fails."""

    name: str
    passed: bool
    value: float | None
    limit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The conditions that a seed must meet to leave its stage."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """True when every check passed."""
        return all(check.passed for check in self.checks)

    def describe(self) -> str:
        """Return the measured value and the limit of each check, in words."""
        parts = []
        for check in self.checks:
            value = "not measured" if check.value is None else f"{check.value:.4g}"
            parts.append(f"{check.name} {value} ({check.limit})")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleMove:
    """Body of `lifecycle`: a seed moved from one stage to another."""

    event_kind: ClassVar[EventKind] = EventKind.LIFECYCLE

    slot: str
    seed: int
    blueprint: str
    from_stage: SeedStage
    to_stage: SeedStage
    gate: Gate | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelBuilt:
    """Body of `kernel`: a kernel was built for a seed, or refused because of `error`.

    build_ms, compile_ms: time to build and to compile; `compile_ms` is None if not compiled.
    validate_ms: time to build and run a probe; None if its result was cached.
    ahead_ms: time to build and validate in a background thread; None if not done there.
    wait_ms: how long training waited for the kernel.
    graphs: number of graphs compiled for it; None if kernels are not compiled.
    """

    event_kind: ClassVar[EventKind] = EventKind.KERNEL

    slot: str
    seed: int
    blueprint: str
    parameters: int
    flops: float
    build_ms: float
    validate_ms: float | None = None
    compile_ms: float | None = None
    ahead_ms: float | None = None
    wait_ms: float | None = None
    graphs: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedPerformance:
    """Body of `performance`: the measured contribution of a seed at one look.

    age: whole epochs of training since germination.
    composite: the ledger's score of the activation after this look, in [0, 1]; None when unknown.
    """

    event_kind: ClassVar[EventKind] = EventKind.PERFORMANCE

    slot: str
    seed: int
    blueprint: str
    alpha: float
    age: int
    ablation: float | None
    gain: float | None
    gain_error: float | None
    method: str
    composite: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedHealth:
    """Body of `health`: how a kernel did over an epoch; None when not measured.

    Of healthy kernels only some are told: see `esper.signals.filter`.

    gradient_norm: mean L2 norm of a live kernel's gradient over the sampled steps.
    finite: whether all sampled gradients were finite.
    error_rate: failures, those in evaluations included, a training step that the kernel took part
        in, in [0, 1]; of the last epoch with such a step, since a kernel that rests has none.
    latency_ms: median time of its last calls in the slot, in evaluations on a CPU.
    is_ready: whether its stage is over, or a look at it is due.
    is_problem: whether its errors make its slot a problem slot (`esper.signals.health_score`).
    why: `error`, `anomaly`, `ready` or `sample`: what it is told for.
    """

    event_kind: ClassVar[EventKind] = EventKind.HEALTH

    slot: str
    seed: int
    blueprint: str
    gradient_norm: float | None
    finite: bool
    error_rate: float | None = None
    latency_ms: float | None = None
    is_ready: bool = False
    is_problem: bool = False
    why: str = "sample"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Body of `reward`: a settled outcome and how good it was.

    epochs_after_keeping: None at the verdict; else this revises the judgement of a kept kernel,
        which was looked at again so many epochs after it was kept.
    """

    event_kind: ClassVar[EventKind] = EventKind.REWARD

    outcome: Outcome
    reward: Reward
    epochs_after_keeping: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerUpdate:
    """Body of `ledger`: the rewards of a blueprint in a slot after a trial was entered or revised.

    trials, mean_reward: number and mean of the rewards of this run, each in [-1, 1].
    standard_error: that of the mean; None for a single trial.
    reward: the latest of them, that of `seed`.
    history: of `seed`, whatever its blueprints were.
    """

    event_kind: ClassVar[EventKind] = EventKind.LEDGER

    slot: str
    seed: int
    blueprint: str
    trials: int
    mean_reward: float
    standard_error: float | None
    reward: float
    history: SeedHistory


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyUpdate:
    """Body of `policy_update`: numbers that a policy reports after it learned from an outcome."""

    event_kind: ClassVar[EventKind] = EventKind.POLICY_UPDATE

    policy: str
    values: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """Body of `recovery`: a failure, and how the run handled it.

    where: `kernel`, `cache`, `store`, `stream`, `checkpoint` or `training`.
    error: type of the error, such as `OutOfMemoryError`.
    strategy: `retry`, `fallback`, `circuit_breaker`, `degrade`, `escalate` or `quarantine`.
    recovered: whether the failure has no further effect there.
    slot, seed, blueprint: of the failed kernel; None if it was no kernel.
    count: failures handled in this way since the last report.
    """

    event_kind: ClassVar[EventKind] = EventKind.RECOVERY

    where: str
    error: str
    strategy: str
    recovered: bool
    message: str
    slot: str | None = None
    seed: int | None = None
    blueprint: str | None = None
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class GovernorAction:
    """Body of `governor`: an action of the governor.

    action: `suspect`, `rollback` or `end_growth`.
    val_loss: the loss that it checked; None when it was not finite.
    limit: the loss above which it acts; None while it is not armed.
    restored_epoch: the epoch whose weights were restored, None when none were.
    rollbacks: number of rollbacks so far.
    culled: number of live seeds that the rollback culled.
    """

    event_kind: ClassVar[EventKind] = EventKind.GOVERNOR

    action: str
    reason: str
    val_loss: float | None
    limit: float | None
    restored_epoch: int | None
    rollbacks: int
    culled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointNote:
    """Body of `checkpoint`: the run saved a checkpoint or resumed from one.

    action: `saved` or `resumed`.
    folder: its name under `checkpoints/`.
    save_ms: time to save it; None when the run resumed from it.
    """

    event_kind: ClassVar[EventKind] = EventKind.CHECKPOINT

    action: str
    folder: str
    save_ms: float | None


class EventBody(Protocol):
    """A frozen dataclass of the contracts that names its kind."""

    event_kind: ClassVar[EventKind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened in an epoch; `body` is an `EventBody`."""

    epoch: int
    body: Any

    @property
    def kind(self) -> EventKind:
        """The topic of the event: that of its body."""
        kind: EventKind = self.body.event_kind
        return kind
