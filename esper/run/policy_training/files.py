"""Check the files that a training reads, before it writes any of its own."""

from pathlib import Path

from esper.contracts.errors import ConfigError
from esper.run.policy_training.config import PolicyTraining
from esper.store.sqlite import SQLite


def check_files(config: PolicyTraining) -> None:
    """Check that the store, the gain model and the network to start from can be read.

    Raises:
        ConfigError: naming the key and the file that cannot.
    """
    if isinstance(config.store, SQLite):
        path = Path(config.store.path).expanduser()
        if not path.is_file():
            raise ConfigError(
                f"store.path: there is no file {path}; esper train store=sqlite store.path={path} "
                "makes it"
            )
    if config.trains_net:
        from esper.run.policy_training.net import start_of  # torch

        start_of(config)
