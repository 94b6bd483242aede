"""How the program is called."""

import os
import shlex
import shutil
import sys


def program() -> str:
    """The word with which a person can call it again: in a checkout it is not on the PATH."""
    path = sys.argv[0]
    if os.path.basename(path) != "musterd" or shutil.which("musterd"):
        return "musterd"
    return shlex.quote(os.path.relpath(path))
