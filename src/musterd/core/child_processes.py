"""Closes files and sockets in forked children that must not outlive this process.

Python opens files and sockets as non-inheritable, so programs that a tool starts do not get them. A child that a tool
forks with ``os.fork`` or ``multiprocessing`` gets every descriptor. It closes the listening port and the lock that
shows that this worker is alive; otherwise a surviving child would keep both. Client connections stay open in it.
"""

import contextlib
import os
from typing import Protocol
from weakref import WeakSet


class HasDescriptor(Protocol):
    """A file or a socket."""

    def fileno(self) -> int:
        """Return the file descriptor."""


_closed_in_children: WeakSet[HasDescriptor] = WeakSet()


def close_in_children(resource: HasDescriptor) -> None:
    """Close ``resource`` in children that are forked from now on. It stays open in this process."""
    _closed_in_children.add(resource)


def _close_inherited() -> None:
    devnull = os.open(os.devnull, os.O_RDWR)
    for resource in list(_closed_in_children):
        with contextlib.suppress(ValueError, OSError):  # already closed
            # Replace the descriptor instead of closing it: other objects hold its number, and would later close
            # whatever file reused that number.
            os.dup2(devnull, resource.fileno(), inheritable=False)
    os.close(devnull)


os.register_at_fork(after_in_child=_close_inherited)
