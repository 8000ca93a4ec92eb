"""Tab completion of Hydra's overrides: asks Hydra's own engine, in the words the shell gave.

Bash splits words at `=`, so that `strategy=th` arrives as three; they are put together again.
Other shells hand over whole words, and only the one to complete is looked at.
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
