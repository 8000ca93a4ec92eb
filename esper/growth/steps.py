"""What each optimizer step does to the kernels of a host: rates, gradients, alphas, coins."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.optim import Optimizer

from esper.contracts.stage import BLENDED, LIVE, ON_TRIAL
from esper.growth import attach, param_groups
from esper.growth.coin import Coin
from esper.growth.options import Growth
from esper.growth.slot import Seed, Slot

GRADIENT_STRIDE = 4
"""Least number of steps between measurements of a live kernel's gradient."""
NUM_GRADIENTS = 4
"""Measurements in a longer epoch: a few show a kernel's health, however many steps there are."""


class KernelSteps:
    """Prepares the kernels for each optimizer step, and moves them on after it.

    slots: those of the host, which may change.
    coin: draws which kernels on trial a training step leaves out.
    """

    def __init__(
        self, optimizer: Optimizer, slots: Mapping[str, Slot], options: Growth, coin: Coin
    ) -> None:
        self.optimizer, self.slots = optimizer, slots
        self.options, self.coin = options, coin
        self._blended: list[Seed] | None = None
        self._trained: list[tuple[Seed, dict[str, Any]]] | None = None
        self._groups: list[dict[str, Any]] = []

    def copy_for(self, optimizer: Optimizer, slots: Mapping[str, Slot]) -> "KernelSteps":
        """Return the steps of a copied host."""
        return KernelSteps(optimizer, slots, self.options, self.coin)

    def before(self, step: int, steps_per_epoch: int) -> None:
        """Set the kernels' learning rates, sample their gradients, drop those of muted ones.

        `step` counts from 0 in each epoch.
        """
        trained = self._with_groups()
        if not trained:
            return
        reference = param_groups.host_group(self.optimizer)["lr"]
        samples = is_sampled(step, steps_per_epoch)
        for seed, group in trained:
            group["lr"] = reference * lr_factor(seed, self.options, steps_per_epoch)
            if seed.stage not in BLENDED:
                self._count(seed)
            if self._is_left_out(seed):
                # A gradient of zeros would still change the moments.
                for parameter in group["params"]:
                    parameter.grad = None
            elif samples and seed.stage in LIVE:
                _sample_gradient(seed, group)

    def after(self) -> float:
        """Move every blending alpha one step along its ramp.

        Returns:
            Forward FLOPs a sample of the kernels that the step left out.
        """
        muted_flops = 0.0
        for seed in self.blended():
            activation = seed.activation
            activation.blended_steps += 1
            if activation.ramp is not None and not activation.ramp.is_done:
                activation.ramp.step += 1
                self.set_alpha(seed, activation.ramp.alpha)
            if self._is_left_out(seed):
                muted_flops += activation.flops
            else:
                self._count(seed)
        return muted_flops

    def toss(self, step: int) -> None:
        """Draw which kernels on trial the next training step, of number `step`, leaves out."""
        for seed in self.blended():
            tossed = attach.kernels_of(self.slots[seed.slot].module).tossed
            number, is_on_trial = seed.activations, seed.stage in ON_TRIAL
            if is_on_trial and self.coin.mutes(seed.slot, seed.index, number, step):
                tossed.add(str(seed.index))
            else:
                tossed.discard(str(seed.index))

    def set_alpha(self, seed: Seed, alpha: float) -> None:
        """Set a seed's blend factor in its record and in the slot."""
        seed.alpha = alpha
        attach.kernels_of(self.slots[seed.slot].module).set_alpha(seed.index, alpha)

    def blended(self) -> list[Seed]:
        """Return the seeds whose kernels are blended; stages change between steps only."""
        if self._blended is None:
            seeds = [seed for slot in self.slots.values() for seed in slot.seeds]
            self._blended = [seed for seed in seeds if seed.stage in BLENDED]
        return self._blended

    def stages_changed(self) -> None:
        """Look at the seeds' stages anew, after a change of them or of their records."""
        self._blended = self._trained = None

    def _count(self, seed: Seed) -> None:
        """Count a step that a kernel took part in, unless it rests after failures."""
        if seed.index not in attach.kernels_of(self.slots[seed.slot].module).faults.resting:
            seed.activation.steps += 1

    def _with_groups(self) -> list[tuple[Seed, dict[str, Any]]]:
        """Return the seeds whose kernels the optimizer trains, with their groups."""
        groups = self.optimizer.param_groups
        # Loading a state into the optimizer replaces all groups.
        if self._trained is None or self._groups is not groups:
            tagged = param_groups.kernel_groups(self.optimizer).items()
            self._trained = [(self.slots[slot].seeds[index], g) for (slot, index), g in tagged]
            self._groups = groups
        return self._trained

    def _is_left_out(self, seed: Seed) -> bool:
        if seed.stage not in ON_TRIAL:
            return False
        return str(seed.index) in attach.kernels_of(self.slots[seed.slot].module).tossed


def is_sampled(step: int, steps_per_epoch: int) -> bool:
    """Return whether a step of an epoch, counted from 0, measures the kernels' gradients."""
    return step % max(GRADIENT_STRIDE, steps_per_epoch // NUM_GRADIENTS) == 0


def lr_factor(seed: Seed, options: Growth, steps_per_epoch: int) -> float:
    """Return a kernel's learning rate relative to the host's.

    Once blended, it is divided by the alpha target, so that the output of a kernel with a share of
    alpha changes as fast as that of one with all of it.
    """
    isolated = options.isolation_lr_factor
    if seed.stage not in BLENDED:
        return isolated
    warmup = options.warmup_epochs * steps_per_epoch
    risen = min(1.0, seed.activation.blended_steps / warmup) if warmup > 0 else 1.0
    return isolated + (options.lr_factor / seed.activation.target - isolated) * risen


def _sample_gradient(seed: Seed, group: dict[str, Any]) -> None:
    """Add the norm of a kernel's gradient to its record."""
    # With alpha 0 a blended kernel has none, whatever its health.
    has_gradient = seed.stage not in BLENDED or seed.alpha > 0
    grads = [p.grad for p in group["params"] if p.grad is not None]
    if grads and has_gradient:
        # As `torch.nn.utils.get_total_norm`, without its sorting by device and dtype.
        norms = torch.stack(torch._foreach_norm(grads))
        seed.activation.gradient.add(float(torch.linalg.vector_norm(norms)))
