"""Check, order and complete the arguments of a command before Hydra parses them.

Hydra prints its usage for a wrong flag, and wants all options on one side of its flags.  Here a
wrong flag is one line, and the order is free.  No other module uses Hydra's internals.
"""

import io
import os
from argparse import Namespace
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.errors import HydraException
from hydra.plugins.completion_plugin import DefaultCompletionPlugin
from omegaconf.errors import OmegaConfBaseException

from esper.app.schema import conf_dir, register
from esper.contracts.errors import ConfigError
from esper.options import OPTIONS


def flags_first(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with Hydra's flags before the options.

    Raises:
        ConfigError: for an unknown flag, flags that exclude each other, or a group without a value.
    """
    usage = io.StringIO()
    try:
        with redirect_stderr(usage), redirect_stdout(io.StringIO()):
            parsed = get_args_parser().parse_intermixed_args(list(arguments))
    except SystemExit as stop:
        if not stop.code:
            return list(arguments)  # --help or the like: Hydra answers it
        raise ConfigError(usage.getvalue().strip().rpartition("error: ")[2]) from stop
    _check(parsed)
    flags = list(arguments)
    for override in parsed.overrides:
        flags.remove(override)
    return [*flags, *parsed.overrides]


def _check(parsed: Namespace) -> None:
    commands = [parsed.run, parsed.multirun, parsed.cfg, parsed.info, parsed.shell_completion]
    if sum(map(bool, commands)) > 1:
        raise ConfigError(
            "only one of --run, --multirun, --cfg, --info and --shell-completion can be given"
        )
    if parsed.resolve and not parsed.cfg:
        raise ConfigError("--resolve needs --cfg job, hydra or all")
    for override in parsed.overrides:
        group, _, option = override.partition("=")
        if group in OPTIONS and option in ("", "null"):
            raise ConfigError(f"{group} must be one of {', '.join(OPTIONS[group])}, got {option}")


def complete(incomplete: str, config_name: str = "train") -> list[str]:
    """Return the completions of the last word of the command line of a configuration."""
    in_bash = _bash_words()
    words = in_bash or [incomplete]
    key, equals, _ = words[-1].rpartition("=")
    shown = f"{key}=" if in_bash and equals else ""  # bash itself prepends this to the answer
    return [
        word.removeprefix(shown)
        for word in _query(words, config_name)
        if not word.endswith("_schema")
    ]


def _query(words: list[str], config_name: str) -> list[str]:
    """Return Hydra's completions; none if the other words are no valid configuration."""
    register()
    loader = ConfigLoaderImpl(config_search_path=create_config_search_path(str(conf_dir())))
    overrides = [word for word in words[:-1] if not word.startswith("-")]
    line = " ".join([*overrides, words[-1]])
    try:
        return list(DefaultCompletionPlugin(loader)._query(config_name=config_name, line=line))
    except (HydraException, OmegaConfBaseException):
        return []


def _bash_words() -> list[str]:
    """Return the words after the command, or none in another shell than bash.

    Bash splits `key=value` at the `=`; this function joins the parts again.
    """
    if os.environ.get("_ESPER_COMPLETE") != "complete_bash":
        return []
    last = int(os.environ.get("COMP_CWORD", "0"))
    words: list[str] = []
    for word in os.environ.get("COMP_WORDS", "").split("\n")[2 : last + 1]:
        if words and (word == "=" or words[-1].endswith("=")):
            words[-1] += word
        else:
            words.append(word)
    return words
