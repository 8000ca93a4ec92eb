"""A twin equals, bit for bit, the run without the event."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Adam

from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.stage import SeedStage
from tests.unit.attribution.runs import FIRST, SECOND, Run, assert_identical, hosts_part, plan, run
from tests.unit.growth.builders import (
    germination,
    make_host,
    make_model,
    same,
)

_S = SeedStage


def test_twin_and_network_are_identical_until_the_seed_blends() -> None:
    growing = run({2: [FIRST]}).go(2)
    (twin,) = growing.twins
    assert same(hosts_part(twin), hosts_part(growing.host))
    growing.go(1)
    assert same(hosts_part(twin), hosts_part(growing.host))
    assert not any("esper" in key for key in twin.model.state_dict())
    assert growing.host.seed("0", 0).stage is _S.BLENDING
    growing.go(1)
    assert not same(hosts_part(twin), hosts_part(growing.host))


def test_the_twin_of_an_event_is_the_run_that_never_grew() -> None:
    growing, bare = run({2: [FIRST]}).go(2), run({}).go(2)
    (twin,) = growing.twins
    for _ in range(5):
        growing.go(1)
        bare.go(1)
        assert_identical(twin, bare.host)


def test_a_twin_follows_every_other_event() -> None:
    others = {
        3: [SECOND],
        4: [germination("1", 2, "affine", alpha_target=0.4)],
        6: [plan("1", Action.CULL, 2)],
        7: [plan("1", Action.RETARGET, 0, alpha_target=0.6)],
        9: [germination("0", 1, "lora")],
    }
    growing = run({**others, 2: [FIRST]}).go(2)
    only_others = run(others).go(2)
    (twin, *_) = growing.twins
    for _ in range(8):
        growing.go(1)
        only_others.go(1)
        assert_identical(twin, only_others.host)
        own, followed = growing.host.seed("1", 0), twin.seed("1", 0)
        assert (own.stage, own.alpha) == (followed.stage, followed.alpha)
        assert twin.seed("0", 0).stage is _S.DORMANT
    assert growing.host.seed("1", 0).activations == 1
    assert twin.seed("1", 2).stage is growing.host.seed("1", 2).stage


def test_twins_of_several_events_each_miss_their_own() -> None:
    both = run({2: [FIRST], 3: [SECOND]}).go(2)
    without_first, without_second = run({3: [SECOND]}).go(2), run({2: [FIRST]}).go(2)
    for _ in range(4):
        for each in (both, without_first, without_second):
            each.go(1)
        first, second = both.twins
        assert_identical(first, without_first.host)
        assert_identical(second, without_second.host)


def test_a_twin_follows_a_seed_of_another_event_to_its_end() -> None:
    ends = {9: [plan("1", Action.FOSSILIZE, 0)], 10: [], 2: [SECOND]}
    late = germination("0", 0, "mlp")
    growing, other = run({**ends, 5: [late]}).go(5), run(ends).go(5)
    (_, twin) = growing.twins
    for _ in range(5):
        growing.go(1)
        other.go(1)
        assert_identical(twin, other.host)
    assert twin.seed("1", 0).stage is _S.FOSSILIZED
    assert [outcome.fossilized for outcome in growing.outcomes] == [True]
    assert len(growing.twins) == 1


def test_a_replacement_is_followed_but_for_what_comes_in_its_place() -> None:
    swap = Plan(
        slot="0",
        kind="replace",
        changes=(
            SeedChange(action=Action.CULL, seed=0, rests=False),
            SeedChange(action=Action.GERMINATE, seed=0, blueprint="affine"),
        ),
        reasoning="a test wants it",
    )
    growing, culled = run({2: [FIRST], 5: [swap]}), run({2: [FIRST], 5: [plan("0", Action.CULL)]})
    growing.go(5)
    culled.go(5)
    (twin,) = growing.twins
    for _ in range(3):
        growing.go(1)
        culled.go(1)
        assert same(hosts_part(twin), hosts_part(culled.host))
        assert not any("esper" in key for key in twin.model.state_dict())


def test_a_kernel_that_does_nothing_gains_exactly_nothing() -> None:
    growing = run({2: [germination("0", 0, "noop")]}).go(8)
    life = growing.host.seed("0", 0).activation
    assert growing.host.seed("0", 0).stage is _S.PROBATIONARY
    assert growing.host.seed("0", 0).alpha == 1.0
    assert (life.gain, life.gain_error, life.ablation, life.accuracy_gain) == (0.0, 0.0, 0.0, 0.0)
    assert [(point.epochs_since, point.gain) for point in life.gains] == [(4, 0.0), (6, 0.0)]
    (twin,) = growing.twins
    assert same(hosts_part(twin), hosts_part(growing.host))


@pytest.mark.parametrize("last", [3, 5, 8])
def test_a_cull_can_go_on_from_the_twin_as_if_the_seed_had_never_been(last: int) -> None:
    growing = run({2: [FIRST], last: [plan("0", Action.CULL)]}, on_cull="twin")
    bare = run({})
    growing.go(last)
    bare.go(last)
    assert_identical(growing.host, bare.host)
    assert growing.twins == []
    growing.go(3)
    bare.go(3)
    assert_identical(growing.host, bare.host)
    (outcome,) = growing.outcomes
    assert not outcome.fossilized


def test_a_cull_goes_on_from_the_network_unless_asked() -> None:
    growing, bare = run({2: [FIRST], 6: [plan("0", Action.CULL)]}).go(7), run({}).go(7)
    assert not same(hosts_part(growing.host), hosts_part(bare.host))


def test_nobody_goes_on_from_the_twin_of_a_seed_that_stays() -> None:
    stays = {2: [FIRST], 8: [plan("0", Action.FOSSILIZE)]}
    kept, plain = run(stays, on_cull="twin").go(10), run(stays).go(10)
    assert_identical(kept.host, plain.host)


def test_with_another_event_open_the_network_goes_on_itself() -> None:
    events = {2: [FIRST], 3: [SECOND], 6: [plan("0", Action.CULL)]}
    growing, plain = run(events, on_cull="twin").go(7), run(events).go(7)
    assert_identical(growing.host, plain.host)


def test_adoption_takes_kernels_of_other_events_and_what_no_state_dict_holds() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = make_model("sequential")
            self.register_buffer("seen", torch.zeros(()), persistent=False)
            self.register_buffer("mean", torch.zeros(3))

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.body(x)
            if self.training:
                self.seen += out.detach().sum()
                self.mean.mul_(0.9).add_(out.detach().mean(dim=0))
            return out

    def made(plans: dict[int, list[Plan]], **growth: Any) -> Run:
        x = torch.ones(2, 4)
        host = make_host(Counting(), ["body.0", "body.1"], example=x, optimizer=Adam, **growth)
        return Run(host, plans)

    keep = {2: [germination("body.1", 0, "affine")], 8: [plan("body.1", Action.FOSSILIZE)]}
    gone = {9: [germination("body.0", 0, "mlp")], 14: [plan("body.0", Action.CULL)]}
    growing, other = made({**keep, **gone}, on_cull="twin").go(15), made(keep).go(15)
    assert_identical(growing.host, other.host)
    assert torch.equal(growing.model.seen, other.model.seen)  # type: ignore[arg-type]
