"""Find out, before an epoch is trained, what each of its steps does to the kernels.

Rates, alphas and coins depend on the steps' numbers only.  So the host's own `KernelSteps` takes
the steps of an epoch without any training, and what it does is written down.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from esper.contracts.stage import BLENDED, LIVE
from esper.growth.attach import kernels_of
from esper.growth.host import Host
from esper.growth.param_groups import host_group, kernel_groups
from esper.growth.slot import Seed
from esper.growth.steps import is_sampled
from esper.run.episodes.batched.kernels import Gates
from esper.run.episodes.batched.stack import EpochRates, by_rate
from esper.run.episodes.task import STEPS_PER_EPOCH
from esper.training.epoch import Epoch


@dataclass(frozen=True, slots=True)
class KernelStep:
    """What a training step does with a kernel.

    alpha: blend factor; None while the kernel is isolated.
    is_muted: whether the step leaves the kernel out.
    is_sampled: whether the norm of the kernel's gradient is recorded.
    """

    rate: float
    alpha: float | None
    is_muted: bool
    is_sampled: bool


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The steps of an epoch: the host's learning rates, and those of each seed's kernel."""

    rates: list[float]
    kernels: list[tuple[Seed, list[KernelStep]]]


def rehearse(host: Host, epoch: Epoch, num_steps: int) -> Rehearsal:
    """Take the steps of an epoch on a host's records, without training; return what they do."""
    rates = [epoch.learning_rate(step) for step in range(num_steps)]
    group = host_group(host.optimizer)
    found = [(host.seed(*key), own) for key, own in kernel_groups(host.optimizer).items()]
    kernels: list[tuple[Seed, list[KernelStep]]] = [(seed, []) for seed, _ in found]
    for step, rate in enumerate(rates):
        group["lr"] = rate
        tosses = [_is_muted(host, seed) for seed, _ in found]
        host.steps.before(step, host.steps_per_epoch)
        for (seed, own), (_, steps), is_muted in zip(found, kernels, tosses, strict=True):
            samples = is_sampled(step, host.steps_per_epoch) and seed.stage in LIVE
            has_gradient = not is_muted and (seed.stage not in BLENDED or seed.alpha > 0)
            steps.append(
                KernelStep(
                    rate=own["lr"],
                    alpha=seed.alpha if seed.stage in BLENDED else None,
                    is_muted=is_muted,
                    is_sampled=samples and has_gradient,
                )
            )
        host.count_step()
    return Rehearsal(rates, kernels)


def _is_muted(host: Host, seed: Seed) -> bool:
    return str(seed.index) in kernels_of(host.slots[seed.slot].module).tossed


def rates_of(rehearsals: Sequence[Rehearsal], kernels: Sequence[list[KernelStep]]) -> EpochRates:
    """Return the rates and gates of an epoch, from rehearsals of all rows and all kernels."""
    steps = range(STEPS_PER_EPOCH)
    return EpochRates(
        hosts=[by_rate((row, each.rates[s]) for row, each in enumerate(rehearsals)) for s in steps],
        kernels=[
            by_rate((k, each[s].rate) for k, each in enumerate(kernels) if not each[s].is_muted)
            for s in steps
        ],
        gates=[_gates([each[s] for each in kernels]) for s in steps],
    )


def _gates(steps: Sequence[KernelStep]) -> Gates:
    """Return how kernels take part in a training step; isolated ones learn as if alpha were 1."""
    alphas = [(each.alpha, each.is_muted) for each in steps]
    out = [0.0 if alpha is None or is_muted else alpha for alpha, is_muted in alphas]
    back = [1.0 if alpha is None else now for (alpha, _), now in zip(alphas, out, strict=True)]
    through = [float(alpha is not None) for alpha, _ in alphas]
    return Gates(*torch.tensor([out, back, through])[:, :, None, None])


def note_gradients(kernels: Sequence[tuple[Seed, list[KernelStep]]], norms: Tensor) -> None:
    """Add the norms of the gradients that the steps measure to the seeds' records."""
    for step, values in enumerate(norms.tolist()):
        for (seed, steps), norm in zip(kernels, values, strict=True):
            if steps[step].is_sampled:
                seed.activation.gradient.add(norm)
