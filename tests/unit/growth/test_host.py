import pytest
import torch

from esper.blueprint import catalogue
from esper.contracts.stage import SeedStage
from esper.growth.attach import bank_of
from esper.growth.host import Host
from esper.growth.param_groups import kernel_groups
from esper.growth.steps import lr_factor
from tests.unit.growth.builders import (
    HOSTS,
    adam_host,
    batches,
    evaluate,
    grow,
    kernel_of,
    make_host,
    make_input,
    make_model,
    same,
    tensors,
    train,
)

_S = SeedStage


def step(host: Host, number: int = 1) -> None:
    """Take optimizer steps on the first batch."""
    (x, y), *_ = batches()
    for _ in range(number):
        host.optimizer.zero_grad()
        torch.nn.functional.cross_entropy(host.model(x), y).backward()
        host.optimizer.step()


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize("placement", ["series", "parallel"])
def test_germination_changes_no_logit_whatever_the_blueprint(name: str, placement: str) -> None:
    host, x = make_host(name, placement=placement), make_input(name)
    for slot, place in host.slots.items():
        for blueprint in place.spec.catalogue:
            for mode in (True, False):
                host.model.train(mode)
                expected = host.model(x)
                grow(host, slot, 0, blueprint)
                host.model.train(mode)
                assert torch.equal(host.model(x), expected), blueprint
                # With its alpha at 0 a kernel is not felt either once it blends.
                host.blend(slot, 0, 1.0, None, "")
                assert torch.equal(host.model(x), expected), blueprint
                if blueprint != "frozen_random":
                    host.steps.set_alpha(host.seed(slot, 0), 1.0)
                    assert torch.equal(host.model(x), expected), blueprint
                host.cull(slot, 0, 1, "")
                for stage in (_S.EMBARGOED, _S.RESETTING, _S.DORMANT):
                    host.advance(slot, 0, stage, None, "")


def test_all_blueprints_that_can_be_built_were_germinated_somewhere() -> None:
    offered = {
        blueprint
        for name in HOSTS
        for placement in ("series", "parallel")
        for place in make_host(name, placement=placement).slots.values()
        for blueprint in place.spec.catalogue
    }
    assert offered == set(catalogue.BUILT_IN)


@pytest.mark.parametrize("ramp", ["linear", "cosine", "sigmoid"])
def test_alpha_takes_a_step_of_its_ramp_at_each_optimizer_step(ramp: str) -> None:
    host = make_host("mlp", ramp=ramp)
    step(host, 4)
    host.end_epoch()
    grow(host, "block1")
    step(host, 4)
    host.end_epoch()
    seed, bank = host.seed("block1", 0), bank_of(host.slots["block1"].module)
    assert bank is not None
    assert (seed.alpha, bank.get_buffer("alpha_0").item()) == (0.0, 0.0)

    host.blend("block1", 0, 0.7, None, "")
    alphas = []
    for _ in range(6):
        step(host)
        alphas.append(seed.alpha)
        assert bank.get_buffer("alpha_0").item() == pytest.approx(seed.alpha)

    assert alphas == sorted(alphas)
    assert alphas[1] == pytest.approx(0.35)
    assert alphas[3:] == [0.7, 0.7, 0.7]
    for stage in (_S.SHADOWING, _S.PROBATIONARY):
        host.advance("block1", 0, stage, None, "")
    host.blend("block1", 0, 0.2, None, "")
    step(host, 2)
    assert seed.alpha == pytest.approx(0.45)
    step(host, 2)
    assert seed.alpha == 0.2


def test_a_kernel_learns_slowly_while_isolated_and_warms_up_for_half_an_epoch() -> None:
    host = make_host("mlp")
    step(host, 4)
    host.end_epoch()
    grow(host, "block1")
    rates = []

    def note() -> None:
        step(host)
        first, group = host.optimizer.param_groups
        rates.append(group["lr"] / first["lr"])

    for _ in range(3):
        note()
    host.blend("block1", 0, 1.0, None, "")
    host.optimizer.param_groups[0]["lr"] = 0.01
    for _ in range(5):
        note()
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.55, 1.0, 1.0, 1.0])
    for stage in (_S.SHADOWING, _S.PROBATIONARY, _S.FOSSILIZED):
        host.advance("block1", 0, stage, None, "")
        note()
    assert rates[-3:] == [1.0, 1.0, 1.0]


def test_no_warm_up_is_possible() -> None:
    host = make_host("mlp", warmup_epochs=0.0, lr_factor=0.5)
    grow(host, "block1")
    host.blend("block1", 0, 1.0, None, "")
    assert lr_factor(host.seed("block1", 0), host.options, 4) == 0.5


@pytest.mark.parametrize(("target", "factor"), [(1.0, 1.0), (0.5, 2.0), (0.25, 4.0)])
def test_a_kernel_with_a_share_of_alpha_learns_as_much_faster(target: float, factor: float) -> None:
    host = make_host("mlp", warmup_epochs=0.0)
    grow(host, "block1")
    assert lr_factor(host.seed("block1", 0), host.options, 4) == 0.1, "isolated, it has no alpha"
    host.blend("block1", 0, target, None, "")
    assert lr_factor(host.seed("block1", 0), host.options, 4) == factor


def test_the_gradient_of_a_live_kernel_is_sampled_at_every_fourth_step() -> None:
    host = make_host("mlp")
    grow(host, "block1")
    life, norms = host.seed("block1", 0).activation, []
    for _ in range(9):
        step(host)
        grads = [p.grad for p in kernel_of(host, "block1").parameters() if p.grad is not None]
        norms.append(float(torch.cat([g.flatten() for g in grads]).norm()))
    assert life.gradient.count == 3
    assert life.gradient.mean == pytest.approx((norms[0] + norms[4] + norms[8]) / 3)
    host.blend("block1", 0, 1.0, None, "")
    step(host, 4)
    assert life.gradient.count == 4
    for stage in (_S.SHADOWING, _S.PROBATIONARY):
        host.advance("block1", 0, stage, None, "")
        step(host, 4)
    assert life.gradient.count == 6
    host.advance("block1", 0, _S.FOSSILIZED, None, "")
    step(host, 8)
    assert life.gradient.count == 6


def test_long_epochs_have_no_more_samples_of_the_gradient() -> None:
    host = make_host("mlp")
    grow(host, "block1")
    host.steps_per_epoch = 40
    life, counts = host.seed("block1", 0).activation, []
    for _ in range(40):
        step(host)
        counts.append(life.gradient.count)
    # At steps 0, 10, 20 and 30.
    assert counts == [1] * 10 + [2] * 10 + [3] * 10 + [4] * 10


def test_groups_that_the_optimizer_loads_are_those_that_are_set() -> None:
    host = make_host("mlp")
    grow(host, "block1")
    step(host)
    host.optimizer.load_state_dict(host.optimizer.state_dict())
    own, kernels = host.optimizer.param_groups
    own["lr"] = 0.5
    step(host)
    assert kernels["lr"] == 0.5 * host.options.isolation_lr_factor


def test_an_epoch_ends_with_its_length_known() -> None:
    host = make_host("mlp")
    step(host, 3)
    host.end_epoch()
    assert (host.steps_per_epoch, host.steps_in_epoch, host.global_step) == (3, 0, 3)
    host.end_epoch()
    assert host.steps_per_epoch == 1


def test_parameters_and_flops_grow_and_shrink_with_kernels() -> None:
    host = make_host("mlp")
    parameters, flops = host.num_parameters, host.flops
    # 4 -> 5 -> 8 -> 6 -> 3, each with biases; 2 FLOPs a weight.
    assert parameters == 4 * 5 + 5 + 5 * 8 + 8 + 8 * 6 + 6 + 6 * 3 + 3
    assert flops == 2 * (4 * 5 + 5 * 8 + 8 * 6 + 6 * 3)
    grow(host, "block1", 1, "affine")
    assert host.num_parameters == parameters + 4 * 8 + 8
    assert host.flops == flops + 2 * 4 * 8
    host.cull("block1", 1, 1, "")
    assert (host.num_parameters, host.flops) == (parameters, flops)


def test_a_fossilized_kernel_stays_and_learns_on() -> None:
    host = make_host("mlp")
    step(host)
    grow(host, "block1")
    host.blend("block1", 0, 0.5, None, "")
    step(host)
    for stage in (_S.SHADOWING, _S.PROBATIONARY, _S.FOSSILIZED):
        host.advance("block1", 0, stage, None, "")
    weight = next(kernel_of(host, "block1").parameters())
    before = weight.detach().clone()
    step(host, 3)
    assert not torch.equal(weight, before)
    assert host.seed("block1", 0).alpha == 0.5
    assert [closed.fossilized for closed in host.closed] == [True]


def test_a_copy_stands_where_its_original_stands_and_goes_its_own_way() -> None:
    host = adam_host("mlp")
    train(host.model, host.optimizer)
    host.end_epoch()
    grow(host, "block1", 0)
    host.blend("block1", 0, 1.0, None, "")
    step(host, 2)

    twin = host.copy()

    assert same(twin.model.state_dict(), host.model.state_dict())
    assert twin.slots["block1"].module is twin.model[1]  # type: ignore[index]
    assert twin.seed("block1", 0).activation.ramp == host.seed("block1", 0).activation.ramp
    assert (twin.op_log, twin.closed) == ([], [])
    for each in (host, twin):
        train(each.model, each.optimizer, epoch=1)
    assert same(twin.model.state_dict(), host.model.state_dict())
    assert twin.seed("block1", 0).alpha == host.seed("block1", 0).alpha == 1.0
    assert (twin.global_step, host.global_step) == (10, 10)
    kept = tensors(host.model)
    twin.cull("block1", 0, 1, "")
    train(twin.model, twin.optimizer, epoch=2)
    assert same(tensors(host.model), kept)
    assert kernel_groups(host.optimizer).keys() == {("block1", 0)}


def test_a_culled_seed_tries_another_blueprint_next() -> None:
    host = make_host("mlp")
    catalogue_of_slot = host.slots["block1"].spec.catalogue
    assert [seed.bound for seed in host.seeds()] == list(catalogue_of_slot[:4])
    grow(host, "block1", 1, catalogue_of_slot[1])
    host.cull("block1", 1, 4, "")
    for stage in (_S.EMBARGOED, _S.RESETTING, _S.DORMANT):
        host.advance("block1", 1, stage, None, "")
    assert host.seed("block1", 1).bound == catalogue_of_slot[4]
    assert host.seed("block1", 1).last_used_epoch == 4
    assert host.slots["block1"].last_cull_epoch == 4


def test_evaluation_of_a_host_takes_no_step() -> None:
    host, bare = make_host("mlp"), make_model("mlp")
    evaluate(host.model)
    assert host.global_step == 0
    assert same(tensors(host.model), tensors(bare))
