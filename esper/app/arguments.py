"""The words behind `esper train`, checked before Hydra sees them.

Hydra's parser answers a wrong flag with its page of usage, and takes options on one side of its
flags only; here a wrong flag is one line, and flags may stand anywhere.
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
    """Return the arguments with Hydra's flags first and options behind them.

    Raises:
        ConfigError: for an unknown flag, flags that exclude each other, or a group set to nothing.
    """
    parsed = _parse(arguments)
    if parsed is None:
        return list(arguments)
    _check_flags(parsed)
    _check_groups(parsed.overrides)
    flags = list(arguments)
    for override in parsed.overrides:
        flags.remove(override)
    return [*flags, *parsed.overrides]


def _parse(arguments: Sequence[str]) -> Namespace | None:
    """Return what Hydra's parser reads, None for a question that it answers itself."""
    said = io.StringIO()
    try:
        with redirect_stderr(said), redirect_stdout(io.StringIO()):
            return get_args_parser().parse_intermixed_args(list(arguments))
    except SystemExit as stop:
        if not stop.code:
            return None
        raise ConfigError(said.getvalue().strip().rpartition("error: ")[2]) from stop


def _check_flags(flags: Namespace) -> None:
    asked = [flags.run, flags.multirun, flags.cfg, flags.info, flags.shell_completion]
    if sum(map(bool, asked)) > 1:
        raise ConfigError(
            "only one of --run, --multirun, --cfg, --info and --shell-completion can be given"
        )
    if flags.resolve and not flags.cfg:
        raise ConfigError("--resolve needs --cfg job, hydra or all")


def _check_groups(overrides: Sequence[str]) -> None:
    for override in overrides:
        group, _, option = override.partition("=")
        if group in OPTIONS and option in ("", "null"):
            raise ConfigError(f"{group} must be one of {', '.join(OPTIONS[group])}, got {option}")


def complete(incomplete: str) -> list[str]:
    """Return what can stand for the unfinished last word of an `esper train` command line."""
    in_bash = _bash_words()
    words = in_bash or [incomplete]
    key, equals, _ = words[-1].rpartition("=")
    shown = f"{key}=" if in_bash and equals else ""  # bash puts its answer behind this
    return [word.removeprefix(shown) for word in _query(words) if not word.endswith("_schema")]


def _query(words: list[str]) -> list[str]:
    """Return Hydra's answers; none where the words before make no configuration."""
    register()
    loader = ConfigLoaderImpl(config_search_path=create_config_search_path(str(conf_dir())))
    line = " ".join(word for word in words[:-1] if not word.startswith("-"))
    try:
        plugin = DefaultCompletionPlugin(loader)
        return list(plugin._query(config_name="train", line=f"{line} {words[-1]}"))
    except (HydraException, OmegaConfBaseException):
        return []


def _bash_words() -> list[str]:
    """Return the words behind `esper train`, whole again; none when the shell is not bash."""
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
