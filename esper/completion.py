"""Tab completion of Hydra's overrides: asks Hydra's own engine, in the words the shell gave.

Bash splits words at `=`, so `strategy=th` arrives as three words; they are put together again.
"""

import os

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.errors import HydraException
from hydra.plugins.completion_plugin import DefaultCompletionPlugin
from omegaconf.errors import OmegaConfBaseException

from esper.config import register
from esper.paths import conf_dir


def complete(incomplete: str) -> list[str]:
    """Return what can stand for the last, unfinished word of an `esper train` command line."""
    prefix, word = _bash_word(incomplete)
    found = _query(prefix + word)
    return [entry.removeprefix(prefix) for entry in found if not entry.endswith("_schema")]


def _query(line: str) -> list[str]:
    """Return Hydra's answers, none for a word that it cannot read."""
    register()
    loader = ConfigLoaderImpl(config_search_path=create_config_search_path(str(conf_dir())))
    plugin = DefaultCompletionPlugin(loader)
    try:
        return list(plugin._query(config_name="train", line=line))
    except (HydraException, OmegaConfBaseException):
        return []


def _bash_word(incomplete: str) -> tuple[str, str]:
    """Return what stands before the word that bash completes, and that word."""
    if os.environ.get("_ESPER_COMPLETE") != "complete_bash":
        return "", incomplete
    last = int(os.environ.get("COMP_CWORD", "0"))
    words = os.environ.get("COMP_WORDS", "").split("\n")[: last + 1]
    if len(words) >= 2 and words[-1] == "=":
        return f"{words[-2]}=", ""
    if len(words) >= 3 and words[-2] == "=":
        return f"{words[-3]}=", words[-1]
    return "", incomplete
