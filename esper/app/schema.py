"""Register the schemas of configurations with Hydra, and convert what it composes to them."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from esper.app.explain import explain, unknown_key
from esper.config import RunConfig
from esper.contracts.errors import ConfigError
from esper.options import OPTIONS
from esper.run.policy_training.config import PolicyTraining

Config = TypeVar("Config")


def conf_dir() -> Path:
    """Return the folder of `train.yaml`: inside an installed package, beside it in a checkout.

    Raises:
        FileNotFoundError: if the installation is broken and lacks that file.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise FileNotFoundError(2, "the configuration files are missing; install again", str(package))


def register() -> None:
    """Register the schemas of all options with Hydra; a second call changes nothing."""
    store = ConfigStore.instance()
    run = writable(OmegaConf.structured(RunConfig))
    policy = writable(OmegaConf.structured(PolicyTraining))
    policy["policy"] = policy["store"] = "???"
    for group, options in OPTIONS.items():
        run[group] = "???"  # the defaults list of `train.yaml` chooses
        for name, option in options.items():
            node = writable(OmegaConf.structured(option))
            store.store(group=group, name=f"{name}_schema", node=node)
    store.store(name="train_schema", node=run)
    store.store(name="train_policy_schema", node=policy)


def to_run_config(cfg: DictConfig) -> RunConfig:
    """Return a composed configuration as a checked `RunConfig`; raises as `to_config`."""
    return to_config(cfg, RunConfig)


def to_config(cfg: DictConfig, schema: type[Config]) -> Config:
    """Return a composed configuration as a checked object of the class `schema`.

    Raises:
        ConfigError: naming the key, its value and what is allowed.
    """
    try:
        _refuse_unknown_keys(cfg, schema, "")
        config = OmegaConf.to_object(cfg)
    except OmegaConfBaseException as error:
        raise ConfigError(explain(error)) from error
    except ValueError as error:
        raise ConfigError(str(error)) from error
    assert isinstance(config, schema)
    return config


def writable(node: DictConfig) -> DictConfig:
    """Make a node writable for overrides; OmegaConf makes that of a frozen dataclass read-only."""
    OmegaConf.set_readonly(node, False)
    for child in node.values():
        if isinstance(child, DictConfig):
            writable(child)
    return node


def _refuse_unknown_keys(cfg: DictConfig, schema: type[Any], prefix: str) -> None:
    """Raise `ConfigError` for a key added with `+` that the schema lacks."""
    known = [option.name for option in fields(schema)]
    for key, child in cfg.items_ex(resolve=False):
        if key not in known:
            raise ConfigError(unknown_key(f"{prefix}{key!s}", schema))
        kind = OmegaConf.get_type(child) if isinstance(child, DictConfig) else None
        if kind is not None and is_dataclass(kind):
            _refuse_unknown_keys(child, kind, f"{prefix}{key!s}.")
