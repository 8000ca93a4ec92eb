"""Where the configuration files lie, and how a file is written whole."""

import json
import os
from pathlib import Path
from typing import Any

COMMAND = "command.json"
"""What started a run or a sweep: in a run's `.hydra`, and in the folder of a sweep."""

CHECKPOINTS = "checkpoints"
"""The folder of a run's checkpoints, in its own."""


def conf_dir() -> Path:
    """Return the folder of `train.yaml`: inside an installed package, beside it in a checkout.

    Raises:
        FileNotFoundError: if neither holds it, so that the installation is broken.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise FileNotFoundError(2, "the configuration files are missing; install again", str(package))


def write_json(path: Path, value: Any) -> None:
    """Write all of a file or nothing of it.

    Raises:
        OSError: naming the file, if it cannot be written; what stood there before is kept.
    """
    part = path.with_suffix(".part")
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
