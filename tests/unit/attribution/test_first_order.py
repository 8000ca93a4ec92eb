import pytest
import torch
from torch import Tensor, nn

from esper.attribution.first_order import Loss
from esper.attribution.first_order import first_order_scores as scores_by_key
from esper.growth.attach import bank_of
from esper.growth.host import Host
from esper.growth.prepare import HostSetup, prepare
from esper.kernels.kernel import Kernel, KernelError
from esper.kernels.options import RecoveryOptions
from esper.kernels.pipeline import build_kernel
from tests.unit.growth.builders import HOSTS, blended, make_host, make_input, same, tensors
from tests.unit.growth.faulty import offered, plant


def first_order_scores(
    host: Host, slot: str, kernels: dict[int, Kernel], loss: Loss
) -> dict[int, float]:
    """Return the scores of the kernels of one slot, by seed."""
    keyed = {(slot, seed): kernel for seed, kernel in kernels.items()}
    return {seed: score for (_, seed), score in scores_by_key(host, keyed, loss).items()}


def loss(model: nn.Module) -> Tensor:
    return model(make_input("mlp")).square().mean()


def test_a_score_is_the_l1_norm_of_the_kernels_gradient_at_alpha_one() -> None:
    host, x = make_host("mlp", placement="parallel"), make_input("mlp")
    kernel = build_kernel(host.request("block1", 2, "affine", 0))

    scores = first_order_scores(host, "block1", {2: kernel}, loss)

    # By hand: the gradient of the block's output, times what the kernel reads.
    with torch.no_grad():
        h = host.model[1](x)  # type: ignore[index]
    h.requires_grad_()
    (grad,) = torch.autograd.grad(host.model[2](h).square().mean(), [h])  # type: ignore[index]
    weight, bias = grad.T @ x, grad.sum(dim=0)
    assert scores == {2: pytest.approx(float(weight.abs().sum() + bias.abs().sum()), rel=1e-5)}


def test_kernels_are_scored_together_as_if_each_were_alone() -> None:
    host = make_host("mlp")
    built = {seed: build_kernel(host.request("block1", seed, "mlp", 0)) for seed in (0, 1, 3)}
    together = first_order_scores(host, "block1", built, loss)
    alone = {s: first_order_scores(host, "block1", {s: k}, loss)[s] for s, k in built.items()}
    assert together == alone
    assert len(set(alone.values())) == 3


def test_a_kernel_that_cannot_learn_scores_nothing() -> None:
    host = make_host("mlp")
    names = {0: "noop", 1: "frozen_random", 2: "mlp"}
    built = {
        seed: build_kernel(host.request("block1", seed, name, 0)) for seed, name in names.items()
    }
    scores = first_order_scores(host, "block1", built, loss)
    assert (scores[0], scores[1]) == (0.0, 0.0)
    assert scores[2] > 0
    assert first_order_scores(host, "block1", {0: built[0]}, loss) == {0: 0.0}


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize("training", [True, False])
def test_scoring_leaves_the_host_as_it_was(name: str, training: bool) -> None:
    host, x = make_host(name), make_input(name)
    slot = next(iter(host.slots))
    host.model.train()
    host.model(x).square().sum().backward()
    host.model.train(training)
    modes = [module.training for module in host.model.modules()]
    state, generator = tensors(host.model), torch.get_rng_state()
    grads = [p.grad.clone() for p in host.model.parameters() if p.grad is not None]
    groups = [dict(group) for group in host.optimizer.param_groups]
    host.average.update(4)
    averaged = {key: value.clone() for key, value in host.average.mean.items()}
    kernel = build_kernel(host.request(slot, 0, "mlp", 0))

    def noisy(model: nn.Module) -> Tensor:
        assert not model.training
        return (model(x) * torch.rand(())).square().mean()

    assert first_order_scores(host, slot, {0: kernel}, noisy)[0] > 0

    assert same(host.average.mean, averaged)
    assert modes == [module.training for module in host.model.modules()]
    assert all(torch.equal(host.model.state_dict()[k], v) for k, v in state.items())
    assert list(host.model.state_dict()) == list(state)
    found = [p.grad for p in host.model.parameters() if p.grad is not None]
    assert all(torch.equal(mine, old) for mine, old in zip(found, grads, strict=True))
    assert [dict(group) for group in host.optimizer.param_groups] == groups
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(p.grad is None for p in kernel.module.parameters())


def test_kernels_that_live_in_the_slot_stay_there() -> None:
    host = make_host("mlp")
    living = blended(host, "block1", 0, alpha=0.5)
    kernel = build_kernel(host.request("block1", 1, "mlp", 0))

    first_order_scores(host, "block1", {1: kernel}, loss)

    bank = bank_of(host.slots["block1"].module)
    assert bank is not None
    assert list(bank.kernels.values()) == [living]
    assert (bank.get_buffer("alpha_0").item(), bank.training, bank.isolated) == (0.5, True, set())


def test_a_loss_without_a_graph_or_of_several_numbers_is_refused() -> None:
    host = make_host("mlp")
    kernel = build_kernel(host.request("block1", 0, "mlp", 0))
    for wrong in (lambda m: loss(m).detach(), lambda m: m(make_input("mlp"))):
        with pytest.raises(ValueError, match="loss must return a scalar with a graph, got shape"):
            first_order_scores(host, "block1", {0: kernel}, wrong)
        assert bank_of(host.slots["block1"].module) is None


@pytest.mark.parametrize("where", ["forward", "backward", "gives"])
@pytest.mark.parametrize("looked_after", [True, False])
def test_a_kernel_that_fails_is_named_and_the_host_is_left_as_it_was(
    where: str, looked_after: bool
) -> None:
    host = make_host("mlp")
    blended(host, "block1", 3)
    bank = bank_of(host.slots["block1"].module)
    bank.faults.options = RecoveryOptions() if looked_after else None
    with offered("bad", "good") as troubles:
        kernels = {
            seed: build_kernel(host.request("block1", seed, name, 0))
            for seed, name in ((0, "good"), (1, "bad"))
        }
        how = (lambda y: y[:1]) if where == "gives" else RuntimeError("mistake")
        setattr(troubles["bad"], where, how)
        with pytest.raises(KernelError, match="blueprint 'bad' in slot 'block1' fails") as caught:
            first_order_scores(host, "block1", kernels, loss)
    assert caught.value.attempt.seed == 1
    assert list(bank.kernels) == ["3"]
    assert bank.faults.state()["faults"] == []


def test_a_loss_that_fails_without_any_kernel_is_raised_as_it_is() -> None:
    host = make_host("mlp")
    kernel = build_kernel(host.request("block1", 0, "mlp", 0))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        first_order_scores(host, "block1", {0: kernel}, lambda m: m(torch.zeros(2, 99)).mean())
    assert bank_of(host.slots["block1"].module) is None


def test_kernels_that_learn_in_isolation_are_not_asked() -> None:
    with offered("bad") as troubles:
        host = make_host("mlp")
        expected = first_order_scores(host, "block1", {0: build_mlp(host)}, loss)
        plant(host, "block1", 1, "bad", alpha=None)
        troubles["bad"].forward = ValueError("mistake")
        assert first_order_scores(host, "block1", {0: build_mlp(host)}, loss) == expected
        assert troubles["bad"].num_calls == 0
        bank = bank_of(host.slots["block1"].module)
        assert (bank.isolated, bank.muted) == ({"1"}, set())


def build_mlp(host: Host) -> Kernel:
    return build_kernel(host.request("block1", 0, "mlp", 0))


def test_kernels_of_several_slots_score_together_as_alone() -> None:
    blocks = [nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(3)]
    model, x = nn.Sequential(*blocks), torch.randn(8, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    host = prepare(model, optimizer, x, HostSetup(placement="parallel"))

    def loss(model: nn.Module) -> Tensor:
        return model(x).square().mean()

    kernels = {
        (slot, seed): build_kernel(host.request(slot, seed, blueprint, 0))
        for slot in host.slots
        for seed, blueprint in enumerate(("affine", "mlp"))
    }
    assert len(host.slots) > 1
    together = scores_by_key(host, kernels, loss)
    alone = {key: scores_by_key(host, {key: each}, loss)[key] for key, each in kernels.items()}
    assert together == pytest.approx(alone)
    assert all(score > 0 for score in together.values())
    assert all(bank_of(slot.module) is None for slot in host.slots.values())
