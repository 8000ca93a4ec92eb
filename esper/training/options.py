"""Options of training: optimizer, learning rate and its schedule, clipping."""

from dataclasses import dataclass

OPTIMIZERS = ("adamw", "adam", "sgd")
SCHEDULES = ("wsd", "constant", "cosine")


@dataclass(frozen=True)
class Training:
    """How the host is trained; every arm of a comparison gets the same.

    lr: learning rate of the constant part.
    schedule: `wsd` is constant until `grow_until` of the budget, then falls linearly to 0;
        `cosine` falls from the start.
    grow_until: share of the budget in which seeds may germinate.
    clip_norm: largest gradient norm of each parameter group; 0 turns clipping off.
    steps_per_epoch: optimizer steps of an epoch; the whole data when not given.
    threads: CPU threads of torch; with several, a small network suffers from other processes.
    """

    optimizer: str = "adamw"
    lr: float = 0.01
    weight_decay: float = 0.01
    momentum: float = 0.9
    schedule: str = "wsd"
    grow_until: float = 0.6
    clip_norm: float = 1.0
    steps_per_epoch: int | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        rules = {
            "optimizer": (self.optimizer in OPTIMIZERS, f"be one of {', '.join(OPTIMIZERS)}"),
            "schedule": (self.schedule in SCHEDULES, f"be one of {', '.join(SCHEDULES)}"),
            "lr": (0 < self.lr < float("inf"), "be > 0 and finite"),
            "weight_decay": (0 <= self.weight_decay < float("inf"), "be >= 0 and finite"),
            "clip_norm": (0 <= self.clip_norm < float("inf"), "be >= 0 and finite"),
            "momentum": (0 <= self.momentum < 1, "be in [0, 1)"),
            "grow_until": (0 <= self.grow_until <= 1, "be in [0, 1]"),
            "threads": (self.threads >= 1, "be >= 1"),
            "steps_per_epoch": (
                self.steps_per_epoch is None or self.steps_per_epoch >= 1,
                "be >= 1 or null",
            ),
        }
        for key, (holds, rule) in rules.items():
            if not holds:
                raise ValueError(f"training.{key} must {rule}, got {getattr(self, key)!r}")
