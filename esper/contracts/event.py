"""Typed events: what a run tells about itself.  A body is a contract of its own or one of these."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One condition of a gate; `value` is None when it was not measured, and then it fails."""

    name: str
    passed: bool
    value: float | None
    limit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What a stage asks before a seed leaves it."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """True when every check passed."""
        return all(check.passed for check in self.checks)

    def describe(self) -> str:
        """Return every check as `name value (limit)`, in one line."""
        parts = []
        for check in self.checks:
            value = "not measured" if check.value is None else f"{check.value:.4g}"
            parts.append(f"{check.name} {value} ({check.limit})")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleMove:
    """Body of `lifecycle`: a seed moved from one stage to another."""

    slot: str
    seed: int
    blueprint: str
    from_stage: SeedStage
    to_stage: SeedStage
    gate: Gate | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelBuilt:
    """Body of `kernel`: a blueprint was built for a seed; `error` says why it was refused.

    build_ms, compile_ms: time that building and compiling took; None where it was not compiled.
    validate_ms: time that it took to validate its kind; None where that was done before.
    ahead_ms: how much of all that was done in the background; None where nothing was.
    wait_ms: how long the run stood still for it.
    graphs: how many graphs were compiled for it; None where kernels are not compiled.
    """

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
    """Body of `performance`: what a blended seed brought at one evaluation."""

    slot: str
    seed: int
    blueprint: str
    alpha: float
    ablation: float | None
    gain: float | None
    gain_error: float | None
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedHealth:
    """Body of `health`: the gradient of a kernel over an epoch; None when not measured."""

    slot: str
    seed: int
    blueprint: str
    gradient_norm: float | None
    finite: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Body of `reward`: a settled outcome and how good it was."""

    outcome: Outcome
    reward: Reward


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerUpdate:
    """Body of `ledger`: an arm's record after an outcome was entered."""

    slot: str
    seed: int
    blueprint: str
    trials: int
    mean_reward: float
    reward: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyUpdate:
    """Body of `policy_update`: what a policy learned from an outcome."""

    policy: str
    values: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """Body of `recovery`: something failed, and what was done about it.

    where: `kernel`, `store`, `stream`, `checkpoint` or `training`.
    error: type of the error, `OutOfMemoryError`.
    strategy: `retry`, `fallback`, `circuit_breaker`, `degrade`, `escalate` or `quarantine`.
    recovered: whether the run goes on as if nothing had failed there.
    slot, seed, blueprint: of the kernel that failed, None where none did.
    count: failures that were met in this way since they were last told of.
    """

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
    """Body of `governor`: it suspects the network, has rolled it back, or has ended growth.

    action: `suspect`, `rollback` or `end_growth`.
    val_loss: what it looked at; None when it was not finite.
    limit: the loss above which it acts; None while it is not armed.
    restored_epoch: the epoch whose weights the network has again, None when none were restored.
    rollbacks: how many there were so far.
    culled: the live seeds that went with a rollback.
    """

    action: str
    reason: str
    val_loss: float | None
    limit: float | None
    restored_epoch: int | None
    rollbacks: int
    culled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointNote:
    """Body of `checkpoint`: one was saved, or a run went on from one.

    action: `saved` or `resumed`.
    folder: its name under `checkpoints/`.
    save_ms: time that saving it took; None when it was resumed from.
    """

    action: str
    folder: str
    save_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened; `body` is a frozen dataclass of the contracts."""

    kind: EventKind
    epoch: int
    body: Any


class Sink(Protocol):
    """Somewhere that a run tells of itself."""

    def start(self, run: dict[str, Any]) -> None:
        """Take the run's facts (config, folder, names) before the first epoch."""

    def event(self, event: Event) -> None:
        """Take one event."""

    def epoch(self, line: dict[str, Any]) -> None:
        """Take one epoch's line of `metrics.jsonl`."""

    def close(self, summary: dict[str, Any] | None) -> None:
        """Take the summary (None when the run failed) and let go of everything."""
