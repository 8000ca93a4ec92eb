"""Esper trains neural networks that grow while they train.

Each public name is imported when it is first used, so `import esper` does not load torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from esper.blueprint.catalogue import blueprint as register_blueprint
    from esper.contracts.errors import EsperError as EsperError
    from esper.contracts.metrics import TrainReport as TrainReport
    from esper.grower.grower import Grower as Grower
    from esper.growth.network_file import load as load
    from esper.growth.network_file import save as save
    from esper.logger.bus import EventBus as EventBus
    from esper.run.load import LoadedRun as LoadedRun
    from esper.run.load import load_run as load_run
    from esper.training.epoch import clip_each_group as clip_each_group

__version__ = "0.1.0"

_HOMES = {
    "EsperError": "esper.contracts.errors",
    "EventBus": "esper.logger.bus",
    "Grower": "esper.grower.grower",
    "LoadedRun": "esper.run.load",
    "TrainReport": "esper.contracts.metrics",
    "clip_each_group": "esper.training.epoch",
    "load": "esper.growth.network_file",
    "load_run": "esper.run.load",
    "register_blueprint": "esper.blueprint.catalogue",
    "save": "esper.growth.network_file",
}
"""The module that defines each public name."""

__all__ = [
    "EsperError",
    "EventBus",
    "Grower",
    "LoadedRun",
    "TrainReport",
    "__version__",
    "clip_each_group",
    "load",
    "load_run",
    "register_blueprint",
    "save",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'esper' has no attribute '{name}'")
    # `esper.blueprint` is a folder, so the decorator `blueprint` has another name here.
    original = "blueprint" if name == "register_blueprint" else name
    return getattr(import_module(_HOMES[name]), original)
