from esper.grower.review import kernel_cost, kernel_costs
from esper.growth.slot import Activation
from esper.kernels.pipeline import build_kernel
from tests.unit.growth.builders import grow, make_host


def activation(parameters: int, trainable: int, flops: int = 0) -> Activation:
    """Return the record of a kernel of a size."""
    return Activation(
        event=0,
        germinated_epoch=0,
        aged_from=0,
        blueprint="mlp",
        parameters=parameters,
        trainable=trainable,
        flops=flops,
        latency_ms=None,
        start_accuracy=None,
        start_loss=1.0,
        target=1.0,
    )


def test_a_trained_weight_is_held_four_times_and_a_frozen_one_once() -> None:
    cost = kernel_cost(activation(2**18, trainable=0))
    assert (cost.parameters, cost.memory_mb) == (2**18, 1.0)
    assert kernel_cost(activation(2**18, trainable=2**18)).memory_mb == 4.0
    assert kernel_cost(activation(2**18, trainable=2**17)).memory_mb == 2.5
    assert kernel_cost(activation(1, 1, flops=7)).flops == 7


def test_kernels_that_live_and_kernels_that_are_ready_are_weighed_as_they_are() -> None:
    host = make_host("sequential", ["1"])
    bare = host.num_parameters
    assert kernel_costs(host, "1", {}) == {}
    grow(host, "1", 0, "mlp")
    added = host.num_parameters - bare
    frozen = build_kernel(host.request("1", 1, "frozen_random", 0))
    ready = {(1, "frozen_random"): frozen}
    costs = kernel_costs(host, "1", ready)
    assert costs == {
        (0, "mlp"): kernel_cost(activation(added, added, host.seed("1", 0).activation.flops)),
        (1, "frozen_random"): kernel_cost(
            activation(frozen.parameters, trainable=0, flops=frozen.flops)
        ),
    }
    assert costs[0, "mlp"].flops == costs[1, "frozen_random"].flops > 0
    grow(host, "1", 1, "frozen_random")
    assert host.num_parameters == bare + sum(cost.parameters for cost in costs.values())


def test_what_is_no_longer_open_is_not_weighed() -> None:
    host = make_host("sequential", ["1"])
    grow(host, "1", 0, "mlp")
    host.cull("1", 0, epoch=1, reason="a test wants it")
    assert kernel_costs(host, "1", {}) == {}
