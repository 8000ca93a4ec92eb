"""A model with slots, its optimizer, and the moves that change both.

A `Host` carries out the moves of the lifecycle table; `lifecycle` and the policy decide on them.
Hooks on the optimizer's steps ramp alphas and set the kernels' learning rates in any training loop.
"""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from esper.contracts.data_flow import DataFlow
from esper.contracts.event import Gate, LifecycleMove
from esper.contracts.slot import SlotSpec, SlotState, next_binding
from esper.contracts.stage import LIVE, SeedStage, check_move
from esper.growth import attach, param_groups
from esper.growth.average import WeightAverage
from esper.growth.coin import Coin
from esper.growth.inputs import RecentInputs
from esper.growth.op_log import ClosedSeed, HostOp
from esper.growth.options import Growth
from esper.growth.ramp import Ramp
from esper.growth.slot import Activation, Seed, Slot, in_words
from esper.growth.steps import KernelSteps
from esper.kernels.kernel import Kernel, weight_seed
from esper.kernels.request import Request, kernel_request
from esper.probe.tensors import weights_norm

_S = SeedStage


class Host:
    """A growing network: `model`, `optimizer` and `slots`, kept consistent with each other.

    steps: what each optimizer step does to the kernels.
    average: the network's weights, averaged over the last steps.
    inputs: its last training inputs, kept while a kernel is blended and live.
    base_flops: forward FLOPs a sample of the bare model.
    data_flow: between the slots of the bare model; None if nothing reads health.
    muted_flops: forward FLOPs a sample of the kernels left out of this epoch's steps, summed over
        the steps.
    looks_again: whether kept kernels are compared with the network at the end of the next epoch.
    begun_with: norm of the weights at the start of this epoch.
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
        self.average = WeightAverage(model, average_epochs)
        self.inputs = RecentInputs(model)
        self.slots: dict[str, Slot] = {}
        self.base_flops = self.muted_flops = 0.0
        self.data_flow: DataFlow | None = None
        self.steps = KernelSteps(optimizer, self.slots, options, coin or Coin())
        self.global_step = self.steps_in_epoch = 0
        self.steps_per_epoch = 1
        self.is_followed = self.looks_again = False
        self.schedule_state: list[param_groups.ScheduleState] = []
        self.last_schedule: list[param_groups.ScheduleState] = []
        self.given_schedule: list[param_groups.ScheduleState] = []
        self.op_log: list[HostOp] = []
        self.closed: list[ClosedSeed] = []
        self.begun_with = weights_norm(model)
        self._listen()

    def place(self, specs: Sequence[SlotSpec], num_seeds: int) -> None:
        """Make a slot with `num_seeds` dormant seeds for each spec; the model does not change."""
        for spec in specs:
            module = self.model.get_submodule(spec.name)
            self.slots[spec.name] = Slot.empty(spec, module, num_seeds)

    @property
    def flops(self) -> float:
        """Forward FLOPs a sample, kernels included."""
        return self.base_flops + sum(life.flops for _, life in self.kernels())

    def epoch_flops(self, num_samples: int) -> float:
        """Return the forward FLOPs of the epoch's training steps, without those of muted kernels.

        Call it before `end_epoch`.
        """
        return (self.flops - self.muted_flops / max(1, self.steps_in_epoch)) * num_samples

    @property
    def settled_flops(self) -> float:
        """Forward FLOPs a sample of the network without its live kernels."""
        return self.base_flops + sum(k.flops for stage, k in self.kernels() if stage not in LIVE)

    @property
    def num_parameters(self) -> int:
        """Parameters of the network, kernels included."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def num_trainable(self) -> int:
        """Trainable ones of these parameters."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)

    def extra_repr(self) -> str:
        """Return the slots, the kept kernels, and the numbers of live seeds and parameters."""
        return in_words(list(self.slots), list(self.seeds()), self.num_parameters)

    def __repr__(self) -> str:
        return f"Host({self.extra_repr()})"

    def seeds(self) -> Iterator[Seed]:
        """Return every seed, in the order of slots and indices."""
        return iter([seed for slot in self.slots.values() for seed in slot.seeds])

    def kernels(self) -> list[tuple[SeedStage, Activation]]:
        """Return the stage and the record of every kernel, in the order of slots and seeds."""
        return [(seed.stage, seed.current) for seed in self.seeds() if seed.current is not None]

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
        self.steps.stages_changed()

    def _enter(self, seed: Seed, stage: SeedStage, gate: Gate | None, reason: str) -> LifecycleMove:
        move = seed.enter(stage, gate, reason)
        self.steps.stages_changed()
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
        self._follow_schedule()
        self.steps.before(self.steps_in_epoch, self.steps_per_epoch)

    def _follow_schedule(self) -> None:
        """Record the learning rates for twins; a twin sets those recorded at the same step."""
        if self.given_schedule:
            step = min(self.steps_in_epoch, len(self.given_schedule) - 1)
            param_groups.set_schedule_state(self.optimizer, self.given_schedule[step])
        elif self.is_followed:
            self.schedule_state.append(param_groups.schedule_state(self.optimizer))

    def _after_step(self, *_: Any) -> None:
        self.average.update(self.steps_per_epoch)
        self.count_step()

    def count_step(self) -> None:
        """Note that the optimizer has taken a step: move alphas on, toss the next step's coins."""
        self.global_step += 1
        self.steps_in_epoch += 1
        self.muted_flops += self.steps.after()
        self.steps.toss(self.global_step)

    def begin_epoch(self) -> None:
        """Prepare the first step of an epoch, after a change of stages or of the seeds' records."""
        self.steps.toss(self.global_step)
        is_compared = any(seed.stage in LIVE for seed in self.steps.blended())
        self.inputs.record(wanted=is_compared or self.looks_again)
        self.begun_with = weights_norm(self.model)

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
        twin.op_log, twin.closed, twin.schedule_state = [], [], []
        twin.is_followed = twin.looks_again = False
        self.inputs.record(wanted=was_recording)
        self.inputs.load(recorded)
        twin.inputs = RecentInputs(twin.model)
        twin.average = WeightAverage(twin.model, self.average.epochs)
        twin.average.load(dict(self.average.mean), self.average.waiting)
        twin.steps = self.steps.copy_for(twin.optimizer, twin.slots)
        twin._listen()
        return twin
