"""Keep the host as it is while kernels learn."""

from torch import Tensor, nn

from esper.growth.bank import KernelBank
from esper.probe.modules import modules_of


def hold_statistics(model: nn.Module) -> None:
    """Put the host's norms with running statistics in eval mode; those of kernels stay."""
    modules = modules_of(model)
    learning = {id(m) for bank in modules if isinstance(bank, KernelBank) for m in bank.modules()}
    for module in modules:
        has_statistics = isinstance(getattr(module, "running_mean", None), Tensor)
        if has_statistics and id(module) not in learning:
            module.eval()
