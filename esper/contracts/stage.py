"""The stages of a seed and the one table of moves between them."""

from enum import StrEnum

from esper.contracts.errors import LifecycleError


class SeedStage(StrEnum):
    """The stage of a seed, in the order of the lifecycle."""

    DORMANT = "DORMANT"
    GERMINATED = "GERMINATED"
    TRAINING = "TRAINING"
    BLENDING = "BLENDING"
    SHADOWING = "SHADOWING"
    PROBATIONARY = "PROBATIONARY"
    FOSSILIZED = "FOSSILIZED"
    CULLED = "CULLED"
    EMBARGOED = "EMBARGOED"
    RESETTING = "RESETTING"


_S = SeedStage

STAGE_NUMBERS = {stage: number for number, stage in enumerate(SeedStage)}
"""The number of each stage, from 0 for DORMANT, in the order of the lifecycle."""

ALLOWED_MOVES: dict[SeedStage, frozenset[SeedStage]] = {
    _S.DORMANT: frozenset({_S.GERMINATED}),
    _S.GERMINATED: frozenset({_S.TRAINING, _S.CULLED}),
    _S.TRAINING: frozenset({_S.BLENDING, _S.CULLED}),
    _S.BLENDING: frozenset({_S.SHADOWING, _S.CULLED}),
    _S.SHADOWING: frozenset({_S.PROBATIONARY, _S.BLENDING, _S.CULLED}),
    _S.PROBATIONARY: frozenset({_S.FOSSILIZED, _S.BLENDING, _S.CULLED}),
    _S.FOSSILIZED: frozenset(),
    _S.CULLED: frozenset({_S.EMBARGOED}),
    _S.EMBARGOED: frozenset({_S.RESETTING}),
    _S.RESETTING: frozenset({_S.DORMANT}),
}

LIVE = frozenset({_S.GERMINATED, _S.TRAINING, _S.BLENDING, _S.SHADOWING, _S.PROBATIONARY})
"""Stages in which a seed holds a kernel that is neither fossilized nor culled yet."""

BLENDED = frozenset({_S.BLENDING, _S.SHADOWING, _S.PROBATIONARY, _S.FOSSILIZED})
"""Stages in which a seed's kernel adds to the output of its slot."""

ON_TRIAL = frozenset({_S.SHADOWING, _S.PROBATIONARY})
"""Stages in which a blended kernel is on trial: muted at random, and measured."""

MARKS = {_S.GERMINATED: "+", _S.BLENDING: ">", _S.FOSSILIZED: "*", _S.CULLED: "x"}
"""Signs of the moves that users see, by the stage that a seed enters."""

RETARGETABLE = ON_TRIAL
"""Stages from which a seed can go back to BLENDING for a new alpha target."""


def check_move(slot: str, seed: int, stage: SeedStage, target: SeedStage) -> None:
    """Raise LifecycleError, which lists the allowed moves, unless `stage -> target` is one."""
    if target not in ALLOWED_MOVES[stage]:
        allowed = ", ".join(s for s in SeedStage if s in ALLOWED_MOVES[stage]) or "none"
        raise LifecycleError(
            f"slot '{slot}' seed {seed}: cannot move {stage} -> {target} (allowed: {allowed})"
        )
