"""Growth inside a compiled model: traced but not lowered, so that no compiler is needed."""

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from tests.unit.growth.builders import awaken, grow, kernel_of, make_host, make_input


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_a_change_of_alpha_never_recompiles() -> None:
    host, x = make_host("sequential", ["0", "1"]), make_input("sequential")
    counter = CompileCounter()
    compiled = torch.compile(host.model, backend=counter)

    def learn(steps: int) -> int:
        for _ in range(steps):
            host.optimizer.zero_grad()
            compiled(x).square().mean().backward()
            host.optimizer.step()
        assert torch.equal(compiled(x), host.model(x))
        return counter.frame_count

    dormant = learn(2)
    grow(host, "0")
    awaken(kernel_of(host, "0"))
    learn(2)
    host.steps_per_epoch = 6
    host.blend("0", 0, 1.0, None, "")
    alphas, blending = [], learn(1)
    for _ in range(6):
        alphas.append(host.seed("0", 0).alpha)
        assert learn(1) == blending
    assert alphas == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1.0])
    host.cull("0", 0, 1, "")
    learn(1)
    assert dormant == 1
