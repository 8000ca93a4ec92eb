"""Where the configuration files lie."""

from pathlib import Path


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
