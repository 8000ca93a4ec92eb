"""Blended kernels and the host around them learn together, also long after blending.

A predecessor froze its host: an input detached for isolation stayed detached, so every block
upstream of a kernel had a gradient of exactly 0.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from esper.config import RunConfig
from esper.contracts.event import Event, EventKind
from esper.contracts.stage import SeedStage
from esper.data.digits import Digits
from esper.grower.grower import Grower
from esper.logger.bus import EventBus
from esper.model.cnn import CNN
from esper.policy.schedule import Schedule
from esper.run.checkpoints import RunCheckpoints
from esper.run.growing import Growing
from esper.run.interrupt import Interrupt
from esper.run.loop import End, run_epochs
from esper.run.task import Task
from esper.run.usage import RunUsage
from esper.safety.options import Safety
from esper.training.options import Training

EPOCHS = 14
Weights = dict[str, Tensor]


@dataclass
class Watched:
    """A run of the real loop in this process, with its weights whenever a seed changed stage."""

    grower: Grower
    task: Task
    moments: list[tuple[SeedStage, str, int, Weights]] = field(default_factory=list)

    def weights(self) -> Weights:
        """Return a copy of every parameter as it stands."""
        named = self.grower.host.model.named_parameters()
        return {name: parameter.detach().clone() for name, parameter in named}

    def at(self, stage: SeedStage) -> tuple[str, int, Weights]:
        """Return slot, seed and weights at the first move to a stage."""
        return next((slot, seed, w) for to, slot, seed, w in self.moments if to is stage)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """Grow one seed, in the later of two blocks, so that there is something upstream of it."""
    config = RunConfig(
        epochs=EPOCHS,
        data=Digits(),
        model=CNN(slots=("block2",)),
        policy=Schedule(fractions=(0.1,), seeds_per_adaptation=1, price=0.0),
        safety=Safety(max_cost=9.0),
        training=Training(steps_per_epoch=20),
    )
    data, bus = config.data.load(), EventBus()
    run_dir = tmp_path_factory.mktemp("run")
    growing = Growing(config, data, run_dir, bus)
    task = Task(data, config.data.batch_size, config.training, EPOCHS, config.rng_seed)
    run = Watched(growing.grower, task)

    def note(event: Event) -> None:
        move = event.body
        run.moments.append((move.to_stage, move.slot, move.seed, run.weights()))

    bus.subscribe(note, [EventKind.LIFECYCLE])
    facts = {"config": {}, "versions": {}}
    checkpoints = RunCheckpoints(run_dir, growing, facts, RunUsage())
    assert run_epochs(task, growing, bus, checkpoints, Interrupt(), End(EPOCHS)) == "epochs"
    assert bus.failures == []
    return run


def kernel_of(slot: str) -> Callable[[str], bool]:
    """Return a function that says whether a parameter is of a kernel in `slot`."""
    return lambda name: name.startswith(f"{slot}.esper_kernels.")


def test_kernel_and_host_go_on_learning_after_blending(watched: Watched) -> None:
    slot, _, blended = watched.at(SeedStage.SHADOWING)
    _, _, kept = watched.at(SeedStage.FOSSILIZED)
    end = watched.weights()
    assert sum(map(kernel_of(slot), end)) > 0
    assert any(name.startswith("block1.") for name in end)
    for name, weight in end.items():
        assert not torch.equal(blended[name], kept[name]), f"{name} froze when it was blended"
        assert not torch.equal(kept[name], weight), f"{name} froze when it was kept"


def test_a_kernel_learns_alone_before_it_is_blended(watched: Watched) -> None:
    slot, _, born = watched.at(SeedStage.TRAINING)
    _, _, alone = watched.at(SeedStage.BLENDING)
    changed = [name for name in filter(kernel_of(slot), alone) if not _same(born, alone, name)]
    assert changed


def _same(before: Weights, after: Weights, name: str) -> bool:
    return torch.equal(before[name], after[name])


def test_gradients_reach_everything_upstream_of_a_kept_kernel(watched: Watched) -> None:
    model = watched.grower.host.model
    model.zero_grad()
    watched.task.loss(model).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"{name} has no gradient"
        assert parameter.grad.abs().sum() > 0, f"the gradient of {name} is 0"


def test_gradients_upstream_are_those_of_the_whole_network(watched: Watched) -> None:
    """A step along the gradient changes the loss by its length: no path around is left out."""
    model = copy.deepcopy(watched.grower.host.model).double().eval()
    data = watched.task.data.train
    x, y = data.x[:64].double(), data.y[:64]
    upstream = list(model.get_submodule("block1").parameters())
    grads = torch.autograd.grad(cross_entropy(model(x), y), upstream)
    length = torch.nn.utils.get_total_norm(grads).item()

    def loss_after(step: float) -> float:
        with torch.no_grad():
            for weight, grad in zip(upstream, grads, strict=True):
                weight.add_(grad, alpha=step / length)
            return cross_entropy(model(x), y).item()

    step = 1e-6
    above, below = loss_after(step), loss_after(-2 * step)
    assert (above - below) / (2 * step) == pytest.approx(length, rel=1e-3)


def test_every_weight_is_in_the_optimizer_once_and_has_its_moments(watched: Watched) -> None:
    host = watched.grower.host
    held = [p for group in host.optimizer.param_groups for p in group["params"]]
    assert len(held) == len(set(held))
    assert set(held) == set(host.model.parameters())
    for parameter in held:
        assert host.optimizer.state[parameter]["exp_avg"].abs().sum() > 0


def test_the_kept_kernel_has_a_say_in_what_the_network_says(watched: Watched) -> None:
    host = watched.grower.host
    slot, seed, _ = watched.at(SeedStage.FOSSILIZED)
    x = watched.task.data.test.x
    host.model.eval()
    with torch.no_grad():
        grown = host.model(x)
        host.steps.set_alpha(host.seed(slot, seed), 0.0)
        without = host.model(x)
        host.steps.set_alpha(host.seed(slot, seed), 1.0)
    assert not torch.allclose(grown, without, atol=0.1)
