"""The socket on which a server listens."""

import errno
import socket

from musterd.core.child_processes import close_in_children
from musterd.core.errors import StartError


def url_of(listener: socket.socket) -> str:
    """The base URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound to an address.

    :raises StartError: the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    # A restart must not wait for closed connections in TIME_WAIT, which keep the address in use for a minute.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise StartError(f"cannot listen on {host}:{port}{_reason(error)}") from error
    _enable_keepalive(listener)
    close_in_children(listener)
    return listener


def _reason(error: Exception) -> str:
    """Why an address cannot be used, and what to do."""
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return ": another program listens there — stop it, or choose another port with --port"
    return f" ({error}) — choose another address with --host and --port"


def _enable_keepalive(listener: socket.socket) -> None:
    """Turn on TCP keepalive, so that a request that waits for a run ends soon after its client has vanished.

    Accepted connections inherit these options from the listener.
    """
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # A client that vanished is noticed two minutes after the last packet: 60 s, then four probes 15 s apart.
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
