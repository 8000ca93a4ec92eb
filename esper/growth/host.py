"""A model with slots, its optimizer, and the moves that change both.

A `Host` carries out the moves of the lifecycle table; `lifecycle` and the policy decide on them.
Hooks on the optimizer's steps ramp alphas and set the kernels' learning rates in any training loop.
"""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from esper.contracts.event import Gate, LifecycleMove
from esper.contracts.slot import SlotSpec, SlotState, next_binding
from esper.contracts.stage import BLENDED, LIVE, ON_TRIAL, SeedStage, check_move
from esper.growth import attach, param_groups
from esper.growth.average import WeightAverage
from esper.growth.coin import Coin
from esper.growth.inputs import RecentInputs
from esper.growth.op_log import ClosedSeed, HostOp
from esper.growth.options import Growth
from esper.growth.ramp import Ramp
from esper.growth.slot import Activation, Seed, Slot
from esper.kernels.kernel import Kernel, weight_seed
from esper.kernels.request import Request, kernel_request

_S = SeedStage
GRADIENT_STRIDE = 4
"""Number of steps between measurements of an isolated kernel's gradient."""
_SHOWN = 8
"""Most slots that the printed form of a host names."""


class Host:
    """A growing network: `model`, `optimizer` and `slots`, kept consistent with each other.

    average: the network's weights, averaged over the last steps.
    inputs: its last training inputs, kept while a kernel is blended and live.
    coin: draws which kernels on trial a training step leaves out.
    base_flops: forward FLOPs a sample of the bare model.
    muted_flops: forward FLOPs a sample of the kernels left out of this epoch's steps, summed over
        the steps.
    is_followed: whether a twin needs the network's learning rates.
    schedule_state: learning rates and the like at each step of this epoch, recorded for twins.
    last_schedule: those of the epoch before; twins train that epoch after the network did.
    given_schedule: in a twin, the network's `last_schedule`, set before each step.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        options: Growth,
        coin: Coin | None = None,
        average_epochs: float = 1.0,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.options = options
        self.coin = coin or Coin()
        self.average = WeightAverage(model, average_epochs)
        self.inputs = RecentInputs(model)
        self.slots: dict[str, Slot] = {}
        self.base_flops = 0.0
        self.muted_flops = 0.0
        self._blended: list[Seed] | None = None
        self.global_step = 0
        self.steps_in_epoch = 0
        self.steps_per_epoch = 1
        self.is_followed = False
        self.schedule_state: list[param_groups.ScheduleState] = []
        self.last_schedule: list[param_groups.ScheduleState] = []
        self.given_schedule: list[param_groups.ScheduleState] = []
        self.op_log: list[HostOp] = []
        self.closed: list[ClosedSeed] = []
        self._listen()

    def place(self, specs: Sequence[SlotSpec], num_seeds: int) -> None:
        """Make a slot with `num_seeds` dormant seeds for each spec; the model does not change."""
        for spec in specs:
            module = self.model.get_submodule(spec.name)
            self.slots[spec.name] = Slot.empty(spec, module, num_seeds)

    @property
    def flops(self) -> float:
        """Forward FLOPs a sample, kernels included."""
        kernels = (seed.current.flops for seed in self.seeds() if seed.current is not None)
        return self.base_flops + sum(kernels)

    def epoch_flops(self, num_samples: int) -> float:
        """Return the forward FLOPs of the epoch's training steps, without those of muted kernels.

        Call it before `end_epoch`.
        """
        muted = self.muted_flops / max(1, self.steps_in_epoch)
        return (self.flops - muted) * num_samples

    @property
    def settled_flops(self) -> float:
        """Forward FLOPs a sample of the network without its live kernels."""
        live = (seed.activation.flops for seed in self.seeds() if seed.stage in LIVE)
        return self.flops - sum(live)

    @property
    def num_parameters(self) -> int:
        """Parameters of the network, kernels included."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def extra_repr(self) -> str:
        """Return the slots and the numbers of live seeds and parameters, as text."""
        names = [*list(self.slots)[:_SHOWN], *(["..."] if len(self.slots) > _SHOWN else [])]
        live = sum(seed.stage in LIVE for seed in self.seeds())
        return f"slots {', '.join(names)}, live seeds {live}, parameters {self.num_parameters:,}"

    def __repr__(self) -> str:
        return f"Host({self.extra_repr()})"

    def seeds(self) -> Iterator[Seed]:
        """Return every seed, in the order of slots and indices."""
        return (seed for slot in self.slots.values() for seed in slot.seeds)

    def seed(self, slot: str, index: int) -> Seed:
        """Return one seed."""
        return self.slots[slot].seeds[index]

    def states(self, epoch: int) -> tuple[SlotState, ...]:
        """Return the state of every slot at the end of `epoch`."""
        flops = self.settled_flops
        return tuple(slot.state(epoch, flops) for slot in self.slots.values())

    def put_kernel(self, slot: str, index: int, kernel: nn.Module, blueprint: str) -> None:
        """Put an isolated kernel into a slot, on the device and dtype of its block's weights."""
        place = self.slots[slot]
        attach.put_kernel(place.module, place.spec.placement, index, kernel, self.like(slot))
        attach.describe_kernel(place.module, place.spec, index, blueprint)
        self.average.follow()

    def like(self, slot: str) -> Tensor | None:
        """Return a weight whose device and dtype the slot's kernels take."""
        return attach.weight_like(self.slots[slot].module, self.model)

    def request(self, slot: str, index: int, blueprint: str, rng_seed: int) -> Request:
        """Return the request for the kernel of a seed's next germination.

        Raises:
            KernelError: if the blueprint is unknown, does not fit the slot, or raises.
        """
        weights = weight_seed(rng_seed, slot, index, self.seed(slot, index).activations + 1)
        return kernel_request(self.slots[slot].spec, index, blueprint, weights, self.like(slot))

    def germinate(
        self, slot: str, index: int, kernel: Kernel, activation: Activation, reason: str = ""
    ) -> list[LifecycleMove]:
        """Put a kernel that passed its gate into a dormant seed and train it in isolation."""
        seed = self.seed(slot, index)
        check_move(slot, index, seed.stage, _S.GERMINATED)
        self.put_kernel(slot, index, kernel.module, kernel.blueprint)
        param_groups.add_group(self.optimizer, slot, index, kernel.module)
        seed.current, seed.bound, seed.alpha = activation, kernel.blueprint, 0.0
        seed.activations += 1
        seed.last_used_epoch = activation.germinated_epoch
        self._log("germinate", seed, kernel, activation, reason)
        return [
            self._enter(seed, _S.GERMINATED, None, reason),
            self._enter(seed, _S.TRAINING, kernel.gate, "the kernel is sane"),
        ]

    def blend(
        self, slot: str, index: int, target: float, gate: Gate | None, reason: str
    ) -> LifecycleMove:
        """Start the ramp of a seed's alpha towards `target`."""
        seed = self.seed(slot, index)
        move = self._enter(seed, _S.BLENDING, gate, reason)
        self._log("blend", seed, target, gate, reason)
        seed.activation.target = target
        steps = self.steps_per_epoch * self.options.blending_epochs
        seed.activation.ramp = Ramp(self.options.ramp, seed.alpha, target, steps)
        attach.kernels_of(self.slots[slot].module).isolated.discard(str(index))
        return move

    def advance(
        self, slot: str, index: int, stage: SeedStage, gate: Gate | None, reason: str
    ) -> LifecycleMove:
        """Move a seed to a stage that changes only the seed's record."""
        assert stage not in (_S.GERMINATED, _S.BLENDING, _S.CULLED), f"{stage} has its own method"
        seed = self.seed(slot, index)
        move = self._enter(seed, stage, gate, reason)
        self._log("advance", seed, stage, gate, reason)
        if stage is _S.FOSSILIZED:
            self._close(seed, fossilized=True, reason=reason)
        if stage is _S.DORMANT:
            bound = [other.bound for other in self.slots[slot].seeds]
            seed.bound = next_binding(self.slots[slot].spec.catalogue, bound, index)
        return move

    def cull(
        self, slot: str, index: int, epoch: int, reason: str, gate: Gate | None = None
    ) -> LifecycleMove:
        """Remove a live seed's kernel, its parameters and their optimizer state."""
        seed, place = self.seed(slot, index), self.slots[slot]
        move = self._enter(seed, _S.CULLED, gate, reason)
        self._log("cull", seed, epoch, reason, gate)
        self._close(seed, fossilized=False, reason=reason)
        attach.take_kernel(place.module, index)
        self.average.follow()
        param_groups.remove_group(self.optimizer, slot, index)
        seed.current, seed.alpha = None, 0.0
        seed.last_used_epoch = place.last_cull_epoch = epoch
        return move

    def leave_out(self, seed: Seed) -> None:
        """Remove a seed's kernel for good after training; this is no move of its lifecycle."""
        attach.take_kernel(self.slots[seed.slot].module, seed.index)
        param_groups.remove_group(self.optimizer, seed.slot, seed.index)
        seed.current, seed.alpha, seed.stage = None, 0.0, _S.DORMANT
        self.average.follow()
        self.stages_changed()

    def _enter(self, seed: Seed, stage: SeedStage, gate: Gate | None, reason: str) -> LifecycleMove:
        check_move(seed.slot, seed.index, seed.stage, stage)
        move = LifecycleMove(
            slot=seed.slot,
            seed=seed.index,
            blueprint=seed.bound,
            from_stage=seed.stage,
            to_stage=stage,
            gate=gate,
            reason=reason,
        )
        seed.stage, seed.epochs_in_stage = stage, 0
        self.stages_changed()
        return move

    def _log(self, method: str, seed: Seed, *arguments: Any) -> None:
        self.op_log.append(HostOp(method, seed.slot, seed.index, seed.activations, arguments))

    def _close(self, seed: Seed, *, fossilized: bool, reason: str) -> None:
        self.closed.append(
            ClosedSeed(seed.slot, seed.index, seed.activations, seed.activation, fossilized, reason)
        )

    def _listen(self) -> None:
        self.optimizer.register_step_pre_hook(self._before_step)
        self.optimizer.register_step_post_hook(self._after_step)

    def _before_step(self, *_: Any) -> None:
        """Set the kernels' learning rates, sample their gradients, drop those of muted ones."""
        self._follow_schedule()
        tagged = param_groups.kernel_groups(self.optimizer)
        if not tagged:
            return
        reference = param_groups.host_group(self.optimizer)["lr"]
        for (slot, index), group in tagged.items():
            seed = self.seed(slot, index)
            group["lr"] = reference * self.lr_factor(seed)
            if seed.stage in ON_TRIAL and self._is_tossed(seed):
                # A gradient of zeros would still change the moments.
                for parameter in group["params"]:
                    parameter.grad = None
            elif seed.stage in LIVE and self.steps_in_epoch % GRADIENT_STRIDE == 0:
                grads = [p.grad for p in group["params"] if p.grad is not None]
                if grads:
                    seed.activation.gradient.add(float(torch.nn.utils.get_total_norm(grads)))

    def _follow_schedule(self) -> None:
        """Record the learning rates for twins; a twin sets those recorded at the same step."""
        if self.given_schedule:
            step = min(self.steps_in_epoch, len(self.given_schedule) - 1)
            param_groups.set_schedule_state(self.optimizer, self.given_schedule[step])
        elif self.is_followed:
            self.schedule_state.append(param_groups.schedule_state(self.optimizer))

    def lr_factor(self, seed: Seed) -> float:
        """Return a kernel's learning rate relative to the host's."""
        isolated = self.options.isolation_lr_factor
        if seed.stage not in BLENDED:
            return isolated
        warmup = self.options.warmup_epochs * self.steps_per_epoch
        risen = min(1.0, seed.activation.blended_steps / warmup) if warmup > 0 else 1.0
        return isolated + (self.options.lr_factor - isolated) * risen

    def _after_step(self, *_: Any) -> None:
        """Count the step and move every blending alpha one step along its ramp."""
        self.global_step += 1
        self.steps_in_epoch += 1
        for seed in self._blended_seeds():
            activation = seed.activation
            activation.blended_steps += 1
            if activation.ramp is not None and not activation.ramp.is_done:
                activation.ramp.step += 1
                self.set_alpha(seed, activation.ramp.alpha)
            if seed.stage in ON_TRIAL and self._is_tossed(seed):
                self.muted_flops += activation.flops
        self.average.update(self.steps_per_epoch)
        self._toss()

    def begin_epoch(self) -> None:
        """Prepare the first step of an epoch, after a change of stages or of the seeds' records."""
        self._toss()
        self.inputs.record(wanted=any(seed.stage in LIVE for seed in self._blended_seeds()))

    def _toss(self) -> None:
        """Draw which kernels on trial the next training step leaves out."""
        for seed in self._blended_seeds():
            tossed = attach.kernels_of(self.slots[seed.slot].module).tossed
            step, number = self.global_step, seed.activations
            if seed.stage in ON_TRIAL and self.coin.mutes(seed.slot, seed.index, number, step):
                tossed.add(str(seed.index))
            else:
                tossed.discard(str(seed.index))

    def _is_tossed(self, seed: Seed) -> bool:
        return str(seed.index) in attach.kernels_of(self.slots[seed.slot].module).tossed

    def _blended_seeds(self) -> list[Seed]:
        """Return the seeds whose kernels are blended; stages change between steps only."""
        if self._blended is None:
            self._blended = [seed for seed in self.seeds() if seed.stage in BLENDED]
        return self._blended

    def stages_changed(self) -> None:
        """Look at the seeds' stages anew, after a change of them or of their records."""
        self._blended = None

    def set_alpha(self, seed: Seed, alpha: float) -> None:
        """Set a seed's blend factor in its record and in the slot."""
        seed.alpha = alpha
        attach.kernels_of(self.slots[seed.slot].module).set_alpha(seed.index, alpha)

    def end_epoch(self) -> None:
        """Close an epoch of training; its number of steps sets the length of later ramps."""
        self.steps_per_epoch = max(1, self.steps_in_epoch)
        self.steps_in_epoch, self.muted_flops = 0, 0.0
        self.average.follow()
        self.last_schedule, self.schedule_state = self.schedule_state, []

    def copy(self) -> "Host":
        """Return an independent copy of this host, with an empty log."""
        memo: dict[int, Any] = {}
        twin = Host.__new__(Host)
        twin.__dict__.update(self.__dict__)
        # Its hook would be copied with the model.
        recorded = self.inputs.state()
        was_recording = self.inputs.is_recording
        self.inputs.record(wanted=False)
        twin.model = copy.deepcopy(self.model, memo)
        twin.optimizer = param_groups.copy_of(self.optimizer, memo)
        twin.slots = copy.deepcopy(self.slots, memo)
        twin.op_log, twin.closed, twin.schedule_state, twin.is_followed = [], [], [], False
        self.inputs.record(wanted=was_recording)
        self.inputs.load(recorded)
        twin.inputs = RecentInputs(twin.model)
        twin.average = WeightAverage(twin.model, self.average.epochs)
        twin.average.load(dict(self.average.mean))
        twin.stages_changed()
        twin._listen()
        return twin
