"""The URL of the page on which people watch runs, if the server has one: an installation may lack the page."""

from typing import TYPE_CHECKING

from musterd.core.redacted_urls import redacted_url

if TYPE_CHECKING:
    from musterd.cli.remote.profiles import Profile

ANSWER_SECONDS = 2.0


def page_url(address: str, path: str = "") -> str:
    """The URL of the page of a server of this installation; "" if the installation has none.

    :param address: the base URL of the server.
    :param path: what to show, such as ``runs/ID``.
    """
    from musterd.http.ui import is_built  # imported here, because clients of a server do not need it

    return _url(address, path) if is_built() else ""


def page_url_of(server: "Profile", path: str) -> str:
    """The URL of the page of any server, without a password; "" if it answers that it has none, or does not answer.

    :param path: as of :func:`page_url`.
    """
    import httpx2

    from musterd.client.client import http_options

    with httpx2.Client(**http_options(server.url, server.token), timeout=ANSWER_SECONDS) as http:
        try:
            has_page = http.head("/ui/").is_success
        except httpx2.RequestError:
            has_page = False
    return _url(redacted_url(server.url), path) if has_page else ""


def _url(address: str, path: str) -> str:
    return f"{address}/ui/#/{path}" if path else f"{address}/ui/"
