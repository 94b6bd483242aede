"""The file ``.env`` of the working directory, which the command line reads into the environment."""

import os
from pathlib import Path

from musterd.core.errors import StartError

FILE = ".env"
_loaded: set[str] = set()


def load_env_file() -> None:
    """Set the variables of the file that are not set already. ``PYTHON_DOTENV_DISABLED=1`` turns this off.

    :raises StartError: the file cannot be read.
    """
    from dotenv import load_dotenv

    before = set(os.environ)
    try:
        load_dotenv(Path(FILE), encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise StartError(f"{FILE}: cannot be read ({reason}) — correct or remove the file") from error
    _loaded.update(set(os.environ) - before)


def own_variable(name: str) -> str | None:
    """The value of an environment variable that is set; None if it is empty or comes from the file.

    Commands find their server with it: the file of a folder that a person was given must not choose where the person's
    token goes.
    """
    return None if is_from_file(name) else os.environ.get(name) or None


def is_from_file(variable: str) -> bool:
    """Whether this process has an environment variable from the file."""
    return variable in _loaded
