"""The line with which a server says where it listens. Programs that start one wait for it."""

_BEGINNING = "musterd: serving on "


def ready_line(address: str) -> str:
    """The line of a server.

    :param address: its base URL.
    """
    return f"{_BEGINNING}{address}"


def address_in(line: str) -> str | None:
    """The base URL in a line of a server's output; None if it is another line."""
    return line.removeprefix(_BEGINNING).strip() if line.startswith(_BEGINNING) else None
