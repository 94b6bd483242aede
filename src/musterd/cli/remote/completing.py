"""What the shell completes: the ids that a server has, and files that declare teams.

The shell waits meanwhile. So the time of a request is short, and the standard library makes it: the import of httpx2
alone takes longer. cyclopts prints no errors.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from musterd.cli.output import call_text, cut, one_line
from musterd.cli.remote.server_options import ServerOptions, server_of
from musterd.core.loopback import is_loopback
from musterd.core.source_files import SUFFIXES

if TYPE_CHECKING:
    from cyclopts.completion import CompletionContext

ANSWER_SECONDS = 0.3
LIMIT = 100
TEXT_LENGTH = 60
Candidates = Iterator[tuple[str, str]]
"""Values with their descriptions."""


def components(context: "CompletionContext") -> Candidates:
    """Teams, agents and workflows."""
    server = _server(context)
    for kind in ("team", "agent", "workflow"):
        for row in server.rows(f"/{kind}s"):
            yield row["id"], f"{kind} {one_line(row.get('name'))}"


def sources(context: "CompletionContext") -> Candidates:
    """Files that declare teams, agents and workflows."""
    folder = Path(context.incomplete).parent
    yield from ((str(path), "") for path in sorted(folder.glob("*")) if path.suffix in SUFFIXES)


def components_and_sources(context: "CompletionContext") -> Candidates:
    """Teams, agents and workflows, and files that declare them."""
    yield from sources(context)
    yield from components(context)


def runs(context: "CompletionContext") -> Candidates:
    """Runs, the newest first."""
    for row in _server(context).rows("/runs", view="summary", limit=LIMIT):
        yield row["run_id"], f"{row['status']} {row['component_id']} {cut(row.get('input'), TEXT_LENGTH)}"


def sessions(context: "CompletionContext") -> Candidates:
    """Sessions, the last used first."""
    for row in _server(context).rows("/sessions", sort_by="updated_at", limit=LIMIT):
        yield row["session_id"], cut(row.get("session_name"), TEXT_LENGTH)


def approvals(context: "CompletionContext") -> Candidates:
    """What runs wait for."""
    for row in _server(context).rows("/approvals", status="pending", limit=LIMIT):
        yield row["id"], cut(call_text(row.get("tool_name") or "", row.get("tool_args") or {}), TEXT_LENGTH)


class _Server:
    """Reads from a server."""

    def __init__(self, options: ServerOptions) -> None:
        import urllib.request

        server = server_of(options)
        self._url = server.url
        self._token = server.token
        # A proxy has another loopback than this machine, and would be sent the token.
        is_local = is_loopback(urlsplit(server.url).hostname or "")
        handlers = [urllib.request.ProxyHandler({})] if is_local else []
        self._opener = urllib.request.build_opener(*handlers)
        self._is_away = False

    def rows(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """The rows of a list; none if the token may not read them, or the server does not answer."""
        import urllib.error
        import urllib.request

        if self._is_away:
            return []
        url = f"{self._url}{path}?{urlencode(query)}" if query else self._url + path
        request = urllib.request.Request(url)
        if self._token:  # of this server alone: urllib follows redirects, also to other hosts
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        try:
            with self._opener.open(request, timeout=ANSWER_SECONDS) as answer:
                rows = json.load(answer)
        except urllib.error.HTTPError:
            return []
        except OSError:
            self._is_away = True
            return []
        return rows if isinstance(rows, list) else rows["data"]


def _server(context: "CompletionContext") -> _Server:
    """The server that the options before the cursor name."""
    names = ("url", "token", "profile")
    values = {name: option.raw for name in names if (option := context.get(f"--{name}")) is not None}
    return _Server(ServerOptions(**values))
