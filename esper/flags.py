"""The words behind `esper train`, checked before Hydra sees them.

Hydra's parser answers a wrong flag with its page of usage, and takes options on one side of its
flags only; here a wrong flag is one line, and flags may stand anywhere.
"""

import io
from argparse import Namespace
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout

from hydra._internal.utils import get_args_parser

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
