"""A user's own host: the `torch.nn.Module` that a user's function returns."""

import importlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from esper.contracts.checks import require_whole
from esper.contracts.data import DataSpec
from esper.contracts.errors import ConfigError
from esper.model.base import HostOptions

if TYPE_CHECKING:
    from torch import nn

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True)
class Custom(HostOptions):
    """For any data that the user's network takes.

    factory: `package.module:function` (or class), also from the working directory.  It is called
        with the `DataSpec` if it has a required argument or one named `spec`, else without one.
    width: what the factory gets as `width`; None for its own.
    """

    factory: str = ""
    width: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        module, _, attribute = self.factory.partition(":")
        names = [*module.split("."), *attribute.split(".")]
        if self.factory and not all(name.isidentifier() for name in names):
            raise ValueError(
                f"model.factory must be of the form package.module:function, got '{self.factory}'"
            )
        if self.width is not None:
            require_whole("model.width", self.width, 1)

    def build(self, spec: DataSpec) -> "nn.Module":
        """Return the user's network; adds the working directory to the import path.

        Raises:
            ConfigError: if the factory is missing, cannot be imported, needs more arguments, or
                does not return a module.
        """
        from torch import nn

        host = self._call(self._resolve(), spec)
        if not isinstance(host, nn.Module):
            raise self._refusal(f"returned {type(host).__name__}, not a torch.nn.Module")
        return host

    def wider(self) -> Self:
        """Return the options of a host of twice the width.

        Raises:
            ConfigError: if the factory takes no width, or has no usual one and none is given.
        """
        width = self.width
        if width is None:
            found = _parameters(self._resolve())
            width = next((p.default for p in found if p.name == "width"), None)
            if not isinstance(width, int) or isinstance(width, bool):
                raise self._refusal(
                    "cannot be widened: it needs an argument `width`, and a number as its default "
                    "or in model.width"
                )
        return replace(self, width=2 * width)

    def _refusal(self, reason: str) -> ConfigError:
        return ConfigError(f"model.factory '{self.factory}': {reason}")

    def _resolve(self) -> Callable[..., Any]:
        """Return the function or class that `factory` names."""
        if not self.factory:
            raise ConfigError("model=custom needs model.factory=package.module:function, got none")
        module_name, _, attribute = self.factory.partition(":")
        module = self._import(module_name)
        try:
            factory: Callable[..., Any] = attrgetter(attribute)(module)
        except AttributeError as error:
            raise self._refusal(f"'{module_name}' has no attribute '{attribute}'") from error
        if not callable(factory):
            raise self._refusal(f"is of type {type(factory).__name__}, not a function or class")
        return factory

    def _import(self, module_name: str) -> Any:
        here = str(Path.cwd())
        # `python -m` adds it, a console script does not.  It stays on the path, because the factory
        # may import more modules.
        if here not in sys.path:
            sys.path.insert(0, here)
        importlib.invalidate_caches()
        try:
            return importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            missing = error.name or module_name
            if f"{module_name}.".startswith(f"{missing}."):
                raise self._refusal(
                    f"no module named '{missing}' (looked in {here} too)"
                ) from error
            raise self._refusal(f"its module needs '{missing}', which is not installed") from error
        except (ImportError, SyntaxError) as error:
            reason = " ".join(str(error).split())
            raise self._refusal(f"its module cannot be imported ({reason})") from error

    def _call(self, factory: Callable[..., Any], spec: DataSpec) -> Any:
        """Call the factory, with `spec` if it takes one."""
        parameters = _parameters(factory)
        given = {} if self.width is None else {"width": self.width}
        if given and not any(p.name == "width" for p in parameters):
            raise self._refusal(f"takes no width, model.width is {self.width}")
        required = [
            p
            for p in parameters
            if p.default is p.empty and p.kind not in _VARIADIC and p.name not in given
        ]
        if len(required) > 1:
            names = ", ".join(parameter.name for parameter in required)
            raise self._refusal(f"must need one argument at most, the data's spec, needs {names}")
        for parameter in required or [p for p in parameters if p.name == "spec"]:
            if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
                return factory(spec, **given)
            return factory(**{parameter.name: spec}, **given)
        return factory(**given)


def _parameters(factory: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters of a function; none of one that is written in C without a signature."""
    try:
        return list(inspect.signature(factory).parameters.values())
    except ValueError:
        return []
