"""The URL of the page on which people watch runs."""


def page_url(address: str, path: str = "") -> str:
    """The URL of the page at ``/ui/``.

    :param address: the base URL of the server.
    :param path: what to show, such as ``runs/ID``.
    """
    return f"{address}/ui/#/{path}" if path else f"{address}/ui/"
