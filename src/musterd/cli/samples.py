"""The sample files: in a checkout those of ``examples/``, of which an installed package has a copy."""

from pathlib import Path

import musterd
from musterd.core.errors import StartError

_PACKAGE = Path(musterd.__file__).parent


def sample(name: str) -> Path:
    """A file or folder of the samples.

    :raises StartError: it is not installed.
    """
    for folder in (_PACKAGE / "examples", _PACKAGE.parents[1] / "examples"):
        if (folder / name).exists():
            return folder / name
    raise StartError(f"{name}: this sample is not installed with the package — install musterd again")
