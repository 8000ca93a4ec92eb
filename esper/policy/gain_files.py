"""Read gain models: the one shipped with Esper, and those of other files."""

from functools import cache
from importlib.resources import as_file, files
from pathlib import Path

from esper.contracts.errors import ConfigError
from esper.learning.gain_model import GainModel
from esper.signals.gain_features import FEATURES


@cache
def shipped_gain_model() -> GainModel:
    """Return the model shipped with Esper."""
    with as_file(files("esper.policy").joinpath("trained")) as folder:
        return read_gain_model(folder / "planner")


def read_gain_model(path: Path) -> GainModel:
    """Return the model in the files of a path, which is without their endings.

    Raises:
        ConfigError: if it cannot be used; it names `policy.path`.
    """
    where = f"policy.path: the gain model {path}"
    hint = "train one: esper train-policy policy=planner"
    try:
        model = GainModel.load(path)
    except FileNotFoundError as error:
        raise ConfigError(f"{where}.json or {path.name}.safetensors is missing ({hint})") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{where} cannot be read: {error} ({hint})") from error
    if unknown := sorted({*model.names} - {*FEATURES}):
        raise ConfigError(f"{where} reads features that are not measured: {unknown[0]} ({hint})")
    return model
