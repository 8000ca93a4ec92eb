import copy
import pickle
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from esper.contracts.stage import SeedStage
from esper.growth.inputs import NUM_INPUTS, BatchSize, RecentInputs
from esper.probe.modes import eval_mode
from tests.unit.growth.builders import make_host, shadowed


class Flexible(nn.Module):
    """Takes anything and returns its batch norm's output."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(1)

    def forward(self, x: Tensor, *rest: Any, **named: Any) -> Tensor:
        del rest, named
        out: Tensor = self.norm(x)
        return out


def column(value: float) -> Tensor:
    return torch.tensor([[value], [-value]])


def test_the_last_calls_of_training_are_kept_oldest_first() -> None:
    model = Flexible()
    inputs = RecentInputs(model)
    model(column(0.0))
    inputs.record(wanted=True)
    for number in range(1, NUM_INPUTS + 3):
        model(column(float(number)))
    with eval_mode(model):
        model(column(99.0))
    kept = [args[0][0].item() for args, _ in inputs.calls]
    assert kept == [3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]
    assert inputs.norms == [model.norm]
    assert inputs.num_samples == 8 * 2


def test_a_stop_forgets_the_calls_and_a_second_start_does_not() -> None:
    model = Flexible()
    inputs = RecentInputs(model)
    for _ in range(2):
        inputs.record(wanted=True)
        model(column(1.0))
    assert len(inputs.calls) == 2
    inputs.record(wanted=False)
    assert (inputs.is_recording, len(inputs.calls), inputs.norms) == (False, 0, [])
    model(column(1.0))
    assert len(inputs.calls) == 0


def test_inputs_are_copies_and_keep_their_types() -> None:
    model = Flexible()
    inputs = RecentInputs(model)
    inputs.record(wanted=True)
    x, mask = column(1.0), torch.ones(2)
    model(x, (mask, [mask]), 3, flags={"mask": mask}, name="left")
    x.zero_()
    mask.zero_()
    ((args, kwargs),) = inputs.calls
    kept, (first, (second,)), number = args
    assert kept.tolist() == [[1.0], [-1.0]]
    assert [first.tolist(), second.tolist(), number] == [[1.0, 1.0], [1.0, 1.0], 3]
    assert [type(args[1]), type(args[1][1])] == [tuple, list]
    assert kwargs["flags"]["mask"].tolist() == [1.0, 1.0]
    assert kwargs["name"] == "left"


def test_a_named_tuple_is_given_again_as_one() -> None:
    class Pair(NamedTuple):
        left: Tensor
        right: Tensor

    model = Flexible()
    inputs = RecentInputs(model)
    inputs.record(wanted=True)
    model(column(1.0), Pair(column(2.0), column(3.0)))
    ((args, _),) = inputs.calls
    assert args[1].right.tolist() == [[3.0], [-3.0]]


def test_inputs_of_a_graph_are_kept_without_it() -> None:
    model = Flexible()
    inputs = RecentInputs(model)
    inputs.record(wanted=True)
    model(column(1.0).requires_grad_() * 2)
    ((args, _),) = inputs.calls
    assert not args[0].requires_grad


@pytest.mark.parametrize(
    "norm",
    [
        nn.BatchNorm1d(1, track_running_stats=False),
        nn.LayerNorm(1),
        nn.InstanceNorm1d(1, track_running_stats=True),
    ],
    ids=["without statistics", "layer norm", "instance norm"],
)
def test_a_network_without_batch_statistics_records_nothing(norm: nn.Module) -> None:
    model = nn.Sequential(nn.Linear(1, 1), norm)
    inputs = RecentInputs(model)
    assert not inputs.is_needed
    inputs.record(wanted=True)
    assert not inputs.is_recording


def test_a_norm_that_a_user_froze_computes_no_statistics() -> None:
    model = nn.Sequential(nn.BatchNorm1d(1), nn.BatchNorm1d(1))
    model[0].eval()
    inputs = RecentInputs(model)
    assert inputs.is_needed
    inputs.record(wanted=True)
    model(column(1.0))
    assert inputs.norms == [model[1]]


def test_calls_are_saved_and_loaded() -> None:
    model, fresh = Flexible(), Flexible()
    one, other = RecentInputs(model), RecentInputs(fresh)
    one.record(wanted=True)
    model(column(1.0), None)
    model(column(2.0), mask=column(3.0))
    other.record(wanted=True)
    other.load(one.state())
    assert [args[0][0].item() for args, _ in other.calls] == [1.0, 2.0]
    assert other.calls[1][1]["mask"].tolist() == [[3.0], [-3.0]]
    assert other.norms == [fresh.norm]


def test_a_host_keeps_inputs_only_while_a_kernel_is_blended_and_live() -> None:
    host = make_host("batch_norm")
    host.begin_epoch()
    assert not host.inputs.is_recording
    slot = next(iter(host.slots))
    shadowed(host, slot)
    host.begin_epoch()
    assert host.inputs.is_recording
    host.advance(slot, 0, SeedStage.PROBATIONARY, None, "")
    host.advance(slot, 0, SeedStage.FOSSILIZED, None, "")
    host.begin_epoch()
    assert not host.inputs.is_recording


def test_the_batch_size_is_that_of_the_calls_between_two_steps() -> None:
    model = nn.Sequential(nn.Linear(3, 3))
    optimizer = SGD(model.parameters(), lr=0.1)
    size = BatchSize(model, optimizer, 4)
    copies = (copy.deepcopy(model), pickle.loads(pickle.dumps(model)))
    model.eval()(torch.zeros(9, 3))
    for each in copies:
        each.train()(torch.zeros(8, 3))
    assert (size.value, size.is_in_eval_mode) == (4, True)
    # A trial call is no training, nor is a call without gradients.
    model.train()(torch.zeros(50, 3))
    with torch.no_grad():
        model(torch.zeros(60, 3))
    optimizer.step()
    assert (size.value, size.is_in_eval_mode) == (50, False)
    # Accumulated gradients: two calls for a step.
    model(torch.zeros(7, 3))
    model(torch.zeros(2, 3))
    optimizer.step()
    model(torch.zeros(70, 3))
    optimizer.step()
    assert size.value == 9
    assert not model._forward_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
