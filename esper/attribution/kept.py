"""Look again at kept kernels, 2, 5 and 10 epochs after the verdict.

    delayed gain = gain at the verdict * ratio
    ratio = ablation now / ablation at the last look before the verdict, clipped to [-1, 1]

Each ablation compares the averaged network, without live kernels, with and without the kernel.
A kept kernel is never muted in training, so the host comes to depend on it and its ablation grows
although the kernel helps no more than before: a ratio above 1 counts as 1.  A kernel that harms
counts at most as much against as it counted for.  A kernel that had no positive ablation at the
verdict has no ratio and is not looked at again.  A look that cannot be taken in time is taken as
soon as it can.
"""

from dataclasses import dataclass

from esper.attribution.compare import Comparison
from esper.attribution.modes import Modes
from esper.contracts.outcome import LONG_AFTER, GainPoint, kept_window
from esper.contracts.stage import SeedStage
from esper.growth.host import Host
from esper.growth.slot import Activation, Seed

AGES = (2, 5, LONG_AFTER)
"""Epochs after keeping from which a kernel is due to be looked at again."""


@dataclass(frozen=True, slots=True)
class LaterLook:
    """A measurement of a kept kernel.

    activation: number of the seed's activation, from 1.
    epochs_after_keeping: at least 2.
    """

    slot: str
    seed: int
    activation: int
    epochs_after_keeping: int
    point: GainPoint


def due(host: Host, epoch: int) -> list[Seed]:
    """Return the seeds whose kept kernels are to be looked at again at the end of `epoch`."""
    return [
        seed
        for seed in host.seeds()
        if seed.stage is SeedStage.FOSSILIZED
        and seed.activation.gain is not None
        and (seed.activation.ablation or 0.0) > 0
        and any(
            seed.activation.looked_after < age <= _kept_for(seed.activation, epoch) for age in AGES
        )
    ]


def _kept_for(life: Activation, epoch: int) -> int:
    assert life.kept_epoch is not None, "a fossilized seed was settled"
    return epoch - life.kept_epoch


def look_again(host: Host, modes: Modes, epoch: int) -> list[LaterLook]:
    """Look at kept kernels at the end of `epoch`, and note it in their records.

    A kernel without which the loss is not finite cannot be looked at.
    """
    looks = []
    for seed in due(host, epoch):
        life = seed.activation
        now = Comparison().add(modes.without_kept((seed.slot, seed.index)), modes.settled())
        if now is None:
            continue
        assert life.gain is not None, "due seeds have a gain and an ablation"
        assert life.ablation is not None
        ratio = min(1.0, max(-1.0, now / life.ablation))
        kept_for = life.looked_after = _kept_for(life, epoch)
        point = GainPoint(
            epochs_since=epoch - life.germinated_epoch,
            gain=life.gain * ratio,
            window=kept_window(kept_for),
        )
        looks.append(LaterLook(seed.slot, seed.index, seed.activations, kept_for, point))
    return looks
