"""Every built-in blueprint keeps its contract in every kind of slot that it fits.

A unit is a row (first dimension) of a trainable weight: a neuron, a channel or a rank; each entry
of a one-dimensional parameter is a unit.  It is alive once one of its weights had a gradient other
than 0.
"""

import copy
import math
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from esper.blueprint import catalogue
from esper.blueprint.layers import CausalAttention, SqueezeExcite
from esper.blueprint.shapes import Shape
from esper.contracts.slot import Placement, SlotKind

SHAPES: dict[SlotKind, list[tuple[Shape, Shape]]] = {
    SlotKind.DENSE: [((12,), (12,)), ((1,), (1,)), ((64,), (12,)), ((3,), (20,))],
    SlotKind.FEATURE_MAP: [
        ((4, 8, 8), (4, 8, 8)),
        ((1, 2, 3), (1, 2, 3)),
        ((12, 1, 1), (12, 1, 1)),
        ((1, 8, 8), (4, 8, 8)),
        ((4, 8, 8), (8, 4, 4)),
        ((3, 9, 7), (5, 4, 7)),  # floor of half the height; the width stays
        ((40, 6, 6), (3, 4, 2)),  # no padding; every third place
    ],
    SlotKind.SEQUENCE: [
        ((6, 16), (6, 16)),
        ((2, 3), (2, 3)),
        ((1, 1), (1, 1)),
        ((6, 16), (6, 10)),
        ((5, 6), (5, 20)),
    ],
}


class Case(NamedTuple):
    """A kernel; the placement, which says where it may stand, is not known to what builds it."""

    name: str
    kind: SlotKind
    in_shape: Shape
    out_shape: Shape

    def build(self) -> nn.Module:
        torch.manual_seed(0)
        return catalogue.get(self.name).build(self.kind, self.in_shape, self.out_shape)

    def placements(self) -> list[Placement]:
        fits = catalogue.get(self.name).fits
        return [where for where in Placement if fits(self.kind, where, *self[2:])]

    def sample(self, batch: int = 4, rng_seed: int = 1) -> Tensor:
        generator = torch.Generator().manual_seed(rng_seed)
        return torch.randn((batch, *self.in_shape), generator=generator)


CASES = [
    case
    for name in catalogue.BUILT_IN
    for kind, pairs in SHAPES.items()
    for case in [Case(name, kind, *pair) for pair in pairs]
    if case.placements()
]
TRAINABLE = [case for case in CASES if case.name not in ("noop", "frozen_random")]

every_case = pytest.mark.parametrize("case", CASES, ids=str)
trainable_case = pytest.mark.parametrize("case", TRAINABLE, ids=str)


def shaken(kernel: nn.Module) -> nn.Module:
    """Set every weight to a random value other than 0."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in kernel.parameters():
            parameter.normal_(std=0.5)
    return kernel


def test_every_built_in_blueprint_is_tried_at_every_site_it_claims() -> None:
    tried = {(case.name, case.kind, where) for case in CASES for where in case.placements()}
    claimed = {
        (name, *site) for name, known in catalogue.BUILT_IN.items() for site in known.fits_in
    }
    assert tried == claimed


@every_case
def test_the_output_has_the_shape_of_the_block(case: Case) -> None:
    assert case.build()(case.sample()).shape == (4, *case.out_shape)


@every_case
def test_only_frozen_random_is_heard_at_birth(case: Case) -> None:
    out = case.build()(100 * case.sample())
    heard = bool((out != 0).any())
    assert heard == (case.name == "frozen_random")


@every_case
def test_the_measured_parameters_are_those_of_the_kernel(case: Case) -> None:
    counted = sum(parameter.numel() for parameter in case.build().parameters())
    cost = catalogue.get(case.name).cost(case.kind, case.in_shape, case.out_shape)
    assert cost.parameters == counted
    assert cost.trainable == (0 if case.name == "frozen_random" else counted)


@every_case
def test_the_measured_flops_are_what_torch_counts_for_one_sample(case: Case) -> None:
    kernel = case.build()
    with FlopCounterMode(display=False) as counter:
        kernel(case.sample(batch=1))
    cost = catalogue.get(case.name).cost(case.kind, case.in_shape, case.out_shape)
    assert cost.flops == counter.get_total_flops()


@trainable_case
def test_gradients_are_finite_and_reach_weights_and_input(case: Case) -> None:
    kernel = shaken(case.build())
    x = case.sample().requires_grad_()
    kernel(x).square().sum().backward()
    gradients = [x.grad, *(parameter.grad for parameter in kernel.parameters())]
    assert all(g is not None and torch.isfinite(g).all() and (g != 0).any() for g in gradients)


@trainable_case
def test_nearly_all_units_come_alive_within_ten_steps(case: Case) -> None:
    kernel = case.build()
    optimizer = torch.optim.AdamW(kernel.parameters(), lr=3e-3, weight_decay=0.0)
    target = torch.randn((32, *case.out_shape), generator=torch.Generator().manual_seed(2))
    activation = [
        torch.zeros(parameter.shape[0], dtype=torch.bool) for parameter in kernel.parameters()
    ]
    for step in range(10):
        optimizer.zero_grad()
        (kernel(case.sample(batch=32, rng_seed=step)) - target).square().mean().backward()
        for seen, parameter in zip(activation, kernel.parameters(), strict=True):
            assert parameter.grad is not None
            seen.logical_or_(parameter.grad.reshape(len(seen), -1).ne(0).any(dim=1))
        optimizer.step()
    units = torch.cat(activation)
    assert units.float().mean().item() >= 0.95


@trainable_case
def test_ten_steps_lower_the_loss_of_a_learnable_target(case: Case) -> None:
    kernel = case.build()
    x = case.sample(batch=16)
    target = shaken(case.build())(x).detach()
    optimizer = torch.optim.AdamW(kernel.parameters(), lr=1e-2, weight_decay=0.0)
    losses = []
    for _ in range(11):
        optimizer.zero_grad()
        loss = (kernel(x) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@every_case
def test_training_and_evaluation_mode_agree(case: Case) -> None:
    kernel = shaken(case.build())
    assert torch.equal(kernel.train()(case.sample()), kernel.eval()(case.sample()))


@every_case
def test_a_sample_does_not_see_the_rest_of_its_batch(case: Case) -> None:
    kernel = shaken(case.build())
    x = case.sample()
    torch.testing.assert_close(kernel(x)[:1], kernel(x[:1]), rtol=1e-4, atol=1e-5)


@every_case
def test_there_is_no_state_beside_parameters(case: Case) -> None:
    assert not list(case.build().buffers())


@every_case
def test_a_copy_is_equal_and_independent(case: Case) -> None:
    kernel = shaken(case.build())
    before = kernel(case.sample())
    twin = copy.deepcopy(kernel)
    with torch.no_grad():
        for parameter in kernel.parameters():
            parameter.zero_()
    assert torch.equal(twin(case.sample()), before)


@every_case
def test_weights_come_from_the_global_generator_alone(case: Case) -> None:
    first, second = case.build(), case.build()
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.kind is SlotKind.SEQUENCE], ids=str
)
def test_no_kernel_of_a_sequence_leaks_the_future(case: Case) -> None:
    kernel = shaken(case.build())
    x = case.sample()
    for position in range(1, case.in_shape[0]):
        changed = x.clone()
        changed[:, position:] += 5.0
        assert torch.equal(kernel(changed)[:, :position], kernel(x)[:, :position])


def test_attention_does_look_back() -> None:
    case = Case("attention", SlotKind.SEQUENCE, (6, 16), (6, 16))
    kernel = shaken(case.build())
    x = case.sample()
    changed = x.clone()
    changed[:, 0] += torch.arange(16.0)
    assert not torch.allclose(kernel(changed)[:, 5], kernel(x)[:, 5])


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.kind is SlotKind.SEQUENCE], ids=str
)
def test_a_kernel_of_a_sequence_takes_other_lengths(case: Case) -> None:
    x = torch.randn(2, 9, case.in_shape[1])
    assert case.build()(x).shape == (2, 9, case.out_shape[1])


def test_every_kernel_of_a_feature_map_follows_other_image_sizes() -> None:
    x = torch.randn(2, 4, 11, 16)
    sizes = {
        case.build()(x).shape
        for case in CASES
        if (case.in_shape, case.out_shape) == ((4, 8, 8), (8, 4, 4))
    }
    assert sizes == {(2, 8, 6, 8)}


def test_noop_has_no_parameters_and_frozen_random_none_that_train() -> None:
    for case in CASES:
        if case.name == "noop":
            assert not list(case.build().parameters())
        if case.name == "frozen_random":
            frozen = [not parameter.requires_grad for parameter in case.build().parameters()]
            assert len(frozen) == 4
            assert all(frozen)


def test_attention_is_what_torchs_own_gives_for_the_same_weights() -> None:
    torch.manual_seed(0)
    kernel = shaken(CausalAttention(num_in=8, num_out=3, num_heads=2))
    assert isinstance(kernel, CausalAttention)
    x = torch.randn(2, 5, 8)
    parts = [
        part.unflatten(-1, (2, 4)).transpose(1, 2)
        for part in kernel.mix(kernel.norm(x)).chunk(3, -1)
    ]
    mixed = nn.functional.scaled_dot_product_attention(parts[0], parts[1], parts[2], is_causal=True)
    torch.testing.assert_close(kernel(x), kernel.project(mixed.transpose(1, 2).flatten(2)))


def test_a_gain_of_squeeze_excite_can_be_checked_by_hand() -> None:
    kernel = SqueezeExcite(num_channels=1, num_hidden=1)
    with torch.no_grad():
        for parameter in kernel.parameters():
            parameter.fill_(1.0)
    x = torch.tensor([[[[0.0, 2.0]]]])  # mean 1, squeezed to 2, SiLU 2 / (1 + e^-2) = 1.761594
    expected = 2.0 * math.tanh(1.761594 + 1.0)
    assert kernel(x)[0, 0, 0].tolist() == [0.0, pytest.approx(expected, rel=1e-5)]


def test_attention_learns_to_look_at_the_first_token() -> None:
    torch.manual_seed(0)
    kernel = catalogue.get("attention").build(SlotKind.SEQUENCE, (4, 8), (4, 8))
    optimizer = torch.optim.AdamW(kernel.parameters(), lr=1e-2)
    x = torch.randn(64, 4, 8)
    target = nn.functional.layer_norm(x[:, :1], (8,)).expand_as(x)
    for _ in range(300):
        optimizer.zero_grad()
        loss = (kernel(x + torch.eye(4, 8) * 3) - target).square().mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.3  # 1.0 for silence
