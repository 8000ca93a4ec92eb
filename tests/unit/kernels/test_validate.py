"""The checks of a probe; their results are the same for every kernel of its kind."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from esper.contracts.event import Check
from esper.contracts.slot import Placement, SlotKind
from esper.kernels.request import Request
from esper.kernels.validate import ProbeResult, validate
from tests.unit.kernels.builders import (
    SITES,
    function,
    make_request,
    make_spec,
    recipe_of,
)


def judge(request: Request, *, in_background: bool = False) -> ProbeResult:
    return validate(request, in_background=in_background)


def checks(verdict: ProbeResult) -> dict[str, Check]:
    return {check.name: check for check in verdict.gate.checks}


def test_a_sane_kernel_passes_with_its_numbers() -> None:
    verdict = judge(make_request("mlp"))
    assert verdict.gate.passed
    by_name = checks(verdict)
    assert set(by_name) == {"shape", "input", "output", "gradient", "upstream"}
    # Its last layer is 0, and so are its output and the gradient of its input.
    assert by_name["output"].value == by_name["upstream"].value == 0.0
    assert by_name["gradient"].value is not None
    assert by_name["gradient"].value > 0


def test_a_kernel_that_does_not_learn_passes_without_a_gradient() -> None:
    verdict = judge(make_request("frozen_random"))
    assert verdict.gate.passed
    assert checks(verdict)["gradient"].value is None
    # Gradients reach the host through it.
    upstream = checks(verdict)["upstream"].value
    assert upstream is not None
    assert upstream > 0


@pytest.mark.parametrize(("name", "kind", "placement"), SITES)
def test_every_built_in_kernel_passes_wherever_it_fits(
    name: str, kind: SlotKind, placement: Placement
) -> None:
    assert judge(make_request(name, make_spec(kind, placement))).gate.passed


def test_a_verdict_does_not_depend_on_one_kernels_weights() -> None:
    one, other = (judge(make_request("mlp", weights=weights)) for weights in (1, 2))
    assert one.gate == other.gate


def test_a_verdict_is_the_same_with_private_and_with_global_generators() -> None:
    state = torch.get_rng_state()
    one, other = (judge(make_request("conv", FEATURES), in_background=b) for b in (True, False))
    assert one.gate == other.gate
    assert torch.equal(torch.get_rng_state(), state)


FEATURES = make_spec(SlotKind.FEATURE_MAP)


@pytest.mark.parametrize("setting", [torch.no_grad(), torch.inference_mode()])
def test_a_verdict_can_be_found_where_no_graph_is_recorded(setting: Any) -> None:
    with setting:
        assert judge(make_request("mlp")).gate.passed


def test_a_caller_that_trains_in_half_precision_changes_no_verdict() -> None:
    plain = judge(make_request("mlp"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert judge(make_request("mlp")).gate == plain.gate


Forward = Callable[[Tensor, Tensor, bool], Any]


@pytest.mark.parametrize(
    ("forward", "failed", "limit"),
    [
        (lambda x, w, _: (x * w)[:, :2], "shape", "(4, 4), got (4, 2)"),
        (lambda x, w, _: (x, w), "shape", "(4, 4), got tuple"),
        (lambda x, w, _: (x * w).sum(0, keepdim=True).expand(4, -1), "shape", "(3, 4), got (4, 4)"),
        (lambda x, w, t: (x * w)[:, : 4 if t else 2], "shape", "(3, 4), got (3, 2)"),
        (lambda x, w, _: x.mul_(2) * w, "input", "left as it was"),
        (lambda x, w, t: (x if t else x.mul_(2)) * w, "input", "left as it was"),
        (lambda x, w, _: x * w + math.nan, "output", "finite"),
        (lambda x, w, _: x * w + math.inf, "output", "finite"),
        (lambda x, w, t: x * w + (0 if t else math.nan), "output", "finite"),
        (lambda x, w, _: x * w.sqrt(), "gradient", "finite and > 0"),
        (lambda x, w, t: x * (w if t else w.sqrt()), "gradient", "finite and > 0"),
        (lambda x, w, _: x * 0 * w, "gradient", "finite and > 0"),
        (lambda x, w, _: (x - x).sqrt() + x.detach() * w, "upstream", "finite"),
        (lambda x, w, t: (0 if t else (x - x).sqrt()) + x.detach() * w, "upstream", "finite"),
    ],
)
def test_a_kernel_that_is_not_sane_says_what_is_wrong(
    forward: Forward, failed: str, limit: str
) -> None:
    verdict = judge(make_request(function(forward)))
    assert not verdict.gate.passed
    assert [(c.name, c.limit) for c in verdict.gate.checks if not c.passed] == [(failed, limit)]
    assert all(c.value is None or math.isfinite(c.value) for c in verdict.gate.checks)


def test_a_kernel_may_learn_nothing_from_an_evaluation() -> None:
    still = function(lambda x, w, training: x * w if training else x.detach() * 0)
    assert judge(make_request(still)).gate.passed


def test_what_a_blueprint_raises_comes_through() -> None:
    def forward(x: Tensor, w: Tensor, training: bool) -> Tensor:
        raise ZeroDivisionError("a user's mistake")

    with pytest.raises(ZeroDivisionError, match="a user's mistake"):
        judge(make_request(function(forward)))
    with pytest.raises(TypeError, match=r"build must give a torch.nn.Module, got int"):
        judge(make_request(recipe_of(lambda *_: 3)))


def test_a_kernel_is_validated_in_the_dtype_that_it_will_have() -> None:
    seen = []

    def forward(x: Tensor, w: Tensor, training: bool) -> Tensor:
        seen.append((x.dtype, w.dtype))
        return x * w

    request = make_request(function(forward), dtype=torch.float64)
    seen.clear()  # of measuring its cost
    assert judge(request).gate.passed
    assert set(seen) == {(torch.float64, torch.float64)}


def test_parameters_that_are_not_used_have_no_gradient_and_no_fault() -> None:
    class Spare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Any:
            return self.used(x)

    assert judge(make_request(recipe_of(lambda *_: Spare()))).gate.passed
