"""What children of the process must not keep open.

Python opens files and sockets so that programs which a tool starts do not inherit them. A child that a tool makes with
``os.fork`` (or ``multiprocessing``, where it forks) has everything, and closes here what would outlive this process:
the port, and the lock that says that this worker is alive. Connections of clients stay open in it.
"""

import contextlib
import os
from typing import Protocol
from weakref import WeakSet


class HasDescriptor(Protocol):
    """A file or a socket."""

    def fileno(self) -> int:
        """Return its descriptor."""


_kept_open: WeakSet[HasDescriptor] = WeakSet()


def close_in_children(resource: HasDescriptor) -> None:
    """Have children that are forked from now on let go of ``resource``, which stays open here."""
    _kept_open.add(resource)


def _let_go() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for resource in list(_kept_open):
        with contextlib.suppress(ValueError, OSError):  # it is closed already
            # Replaced and not closed: other objects know the number, and would close what has it next.
            os.dup2(nothing, resource.fileno(), inheritable=False)
    os.close(nothing)


os.register_at_fork(after_in_child=_let_go)
