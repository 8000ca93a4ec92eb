import pytest
import torch
from torch import nn

from esper.probe.modes import eval_mode, every_layer_called


def test_each_module_gets_its_own_mode_back_also_after_an_error() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1), nn.Dropout()).train()
    model[1].eval()
    seen: list[bool] = []

    def fail() -> None:
        with eval_mode(model):
            seen.extend(module.training for module in model.modules())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert seen == [False] * 4
    assert [module.training for module in model.modules()] == [True, True, False, True]


@pytest.mark.parametrize("enabled", [True, False])
def test_the_fused_path_is_shut_for_a_while(enabled: bool) -> None:
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(enabled)
    try:
        with every_layer_called():
            assert not torch.backends.mha.get_fastpath_enabled()
        assert torch.backends.mha.get_fastpath_enabled() is enabled
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
