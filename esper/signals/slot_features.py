"""Convert each slot of an observation to a row of numbers, for any number of slots."""

from esper.contracts.observation import Observation, SeedWindow
from esper.contracts.slot import SeedState, SlotState
from esper.contracts.stage import LIVE, STAGE_NUMBERS, SeedStage
from esper.signals.features import furthest_seed, is_available, number
from esper.signals.scale import Column, Scale, change, count, share

_COOLING = frozenset({SeedStage.CULLED, SeedStage.EMBARGOED, SeedStage.RESETTING})


class SlotFeature(Column):
    """The columns of a slot's row.

    *_SHARE: shares of the slot's seeds.  REST_EPOCHS: epochs until the slot may change again.
    EPOCHS_SINCE_CULL: unknown before the first cull.  SEED_STAGE and everything after it describe
    the slot's live seed furthest in its lifecycle and are unknown if none is live.  GAIN_TREND is
    its latest known gain minus the oldest known one of its window.
    """

    AVAILABLE = share()
    DORMANT_SHARE = share()
    LIVE_SHARE = share()
    FOSSILIZED_SHARE = share()
    COOLING_SHARE = share()
    REST_EPOCHS = count(30)
    EPOCHS_SINCE_CULL = count(100)
    ACTIVATIONS = count(30)
    SEED_STAGE = Scale(centre=3.0, spread=2.0)
    EPOCHS_IN_STAGE = count(30)
    ALPHA = share()
    IMPROVEMENT = change(0.1)
    ABLATION = change(0.2)
    GAIN = change(0.2)
    GAIN_ERROR = change(-0.1)
    GAIN_TREND = change(0.1)
    GRADIENT_NORM = count(100)


def slot_features(observation: Observation) -> list[list[float]]:
    """Return a raw row for each slot, columns as in `SlotFeature`; NaN is unknown."""
    windows = {(window.slot, window.seed): window for window in observation.seed_windows}
    return [_row(slot, observation.epoch, windows) for slot in observation.slots]


def _row(slot: SlotState, epoch: int, windows: dict[tuple[str, int], SeedWindow]) -> list[float]:
    stages = [seed.stage for seed in slot.seeds]
    seed = furthest_seed(slot.live)
    values = [
        is_available(slot, epoch),
        *(
            sum(stage in group for stage in stages) / max(1, len(stages))
            for group in ({SeedStage.DORMANT}, LIVE, {SeedStage.FOSSILIZED}, _COOLING)
        ),
        max(0, slot.rests_until - epoch),
        None if slot.last_cull_epoch is None else epoch - slot.last_cull_epoch,
        sum(each.activations for each in slot.seeds),
        *([None] * 9 if seed is None else _seed_values(seed, windows)),
    ]
    return [number(value) for value in values]


def _seed_values(seed: SeedState, windows: dict[tuple[str, int], SeedWindow]) -> list[float | None]:
    return [
        STAGE_NUMBERS[seed.stage],
        seed.epochs_in_stage,
        seed.alpha,
        seed.improvement,
        seed.ablation,
        seed.gain,
        seed.gain_error,
        _trend(windows.get((seed.slot, seed.seed))),
        seed.gradient_norm,
    ]


def _trend(window: SeedWindow | None) -> float | None:
    known = [gain for gain in window.gains if gain is not None] if window else []
    return known[-1] - known[0] if len(known) > 1 else None
