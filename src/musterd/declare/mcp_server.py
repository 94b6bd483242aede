"""A server of tools that speaks the Model Context Protocol, as it is declared."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from musterd.declare.options import LIST, TEXT, TEXTS, Declared, Kind, about, check_values
from musterd.declare.problems import noted
from musterd.declare.source_location import Place, here, wrong

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_PREFIX = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,31}")


def _is_texts_by_name(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(part, str) for item in value.items() for part in item)


_TEXTS_BY_NAME = Kind(words="a dict of texts", accepts=_is_texts_by_name, yaml=dict[str, str])
_SECONDS = Kind(
    words="seconds above 0",
    accepts=lambda value: isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf"),
    yaml=float,
)

_REMOVED = {
    "transport": "remove it: a url is spoken to over streamable HTTP, a command over its pipes",
    "server_params": "give command= and env=, or url= and headers=",
    "session": "remove it: musterd opens the connection, and opens it again where it is lost",
    "refresh_connection": "remove it: a connection that is lost is opened again",
    "header_provider": "give headers=, with ${NAME} for what the environment holds",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTools:
    """What a server offers now.

    :param definitions: of each tool ``name``, ``tool`` (the server's own name), ``description``, ``parameters`` and
        ``retry_safe``.
    :param note: what a model should know about tools that are missing; empty: nothing.
    """

    definitions: list[dict[str, Any]]
    note: str = ""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MCPServer(Declared):
    """A server whose tools an agent or a leader has: a program that is started, or an address.

    ``${NAME}`` and ``${NAME:-default}`` in `command`, `url`, `env` and `headers` mean the process's environment; what
    they stand for is shown nowhere. Needs the extra ``musterd[mcp]``. Fields are listed in ``docs/reference/teams.md``.

    :raises DeclarationError: a field is unknown or has a value that it cannot have, or a variable is not set.
    """

    kind = "MCP server"
    removed = _REMOVED

    name: str | None = field(default=None, metadata=about(TEXT, "What messages and the log call it."))
    command: str | Sequence[str] | None = field(
        default=None,
        metadata=about(TEXTS, "The program to start, with its arguments; it speaks over standard input and output."),
    )
    url: str | None = field(
        default=None,
        metadata=about(TEXT, "The address of a server that speaks streamable HTTP, in place of `command`."),
    )
    env: Mapping[str, str] | None = field(
        default=None, metadata=about(_TEXTS_BY_NAME, "Variables of the program's environment.", part_of="command")
    )
    cwd: str | None = field(default=None, metadata=about(TEXT, "The program's folder.", part_of="command"))
    headers: Mapping[str, str] | None = field(
        default=None, metadata=about(_TEXTS_BY_NAME, "Headers of each request.", part_of="url")
    )
    include_tools: Sequence[str] | None = field(
        default=None, metadata=about(LIST, "The server's tools that count; none named: all.")
    )
    exclude_tools: Sequence[str] | None = field(
        default=None, metadata=about(LIST, "The server's tools that do not count.")
    )
    retry_safe_tools: Sequence[str] | None = field(
        default=None,
        metadata=about(LIST, "Those that are `retry_safe`, beside what it calls read-only or idempotent itself."),
    )
    tool_name_prefix: str | None = field(
        default=None, metadata=about(TEXT, "Stands before each tool's name, with an underscore.")
    )
    instructions: str | None = field(
        default=None, metadata=about(TEXT, "How to use its tools: part of the system message.")
    )
    timeout_seconds: float = field(default=60.0, metadata=about(_SECONDS, "Longest time of one call."))
    connect_seconds: float = field(
        default=10.0,
        metadata=about(_SECONDS, "Longest time from its start, or the first request, to its list of tools."),
    )
    declared_at: Place = field(default_factory=here, init=False)

    def __post_init__(self) -> None:
        """Check the values; a variable that is not set is said now, not when a run needs the server."""
        if check_values(self, self.label, self.declared_at):
            with noted(self.declared_at):
                self._check_connection()

    def _check_connection(self) -> None:
        if (self.command is None) == (self.url is None):
            what = f"{self.label} has {'neither command nor url' if self.url is None else 'command and url'}"
            raise wrong(self.declared_at, what, 'give it command="…" for a program, or url="https://…/mcp"')
        other, names = ("url", ("env", "cwd")) if self.url is not None else ("command", ("headers",))
        if given := [name for name in names if getattr(self, name) is not None]:
            raise wrong(self.declared_at, f"{self.label} has {other} and {given[0]}", f"remove {given[0]}")
        if self.tool_name_prefix is not None and not _PREFIX.fullmatch(self.tool_name_prefix):
            cure = "use letters, digits and '_', 32 at most"
            raise wrong(self.declared_at, f"{self.label}: its tool_name_prefix cannot stand in a tool's name", cure)
        self.arguments(), self.address(), self.variables(), self.request_headers()

    def __repr__(self) -> str:
        return f"MCPServer({self.known_as!r})"

    @property
    def known_as(self) -> str:
        """What it is called: its name, or its program or host."""
        # Values that are refused are passed over here: the message that refuses them names the server, too.
        if isinstance(self.name, str) and self.name:
            return self.name
        if isinstance(self.url, str):
            return re.sub(r"^\w+://(?:[^/@]*@)?([^/?#]*).*$", r"\1", self.url)
        try:
            words = self._words()
        except (TypeError, ValueError):
            return ""
        return os.path.basename(words[0]) if words and isinstance(words[0], str) else ""

    @property
    def label(self) -> str:
        """The declaration as a sentence names it."""
        return f"MCP server '{self.known_as}'"

    def arguments(self) -> list[str]:
        """The program and its arguments, with variables filled; empty for an address."""
        if self.command is None:
            return []
        try:
            words = self._words()
        except ValueError as error:
            what = f"{self.label}: its command cannot be split into words ({error})"
            raise wrong(self.declared_at, what, "close the quotation, or give a list of words") from error
        if not words:
            raise wrong(self.declared_at, f"{self.label} has an empty command", "name the program")
        return [self._filled(word) for word in words]

    def address(self) -> str:
        """The address, with variables filled; empty for a program."""
        return self._filled(self.url or "")

    def variables(self) -> dict[str, str]:
        """The program's own variables, filled."""
        return {name: self._filled(value) for name, value in (self.env or {}).items()}

    def request_headers(self) -> dict[str, str]:
        """The headers of requests, filled."""
        return {name: self._filled(value) for name, value in (self.headers or {}).items()}

    def _words(self) -> list[str]:
        """The words of the command as they are written. Raises ValueError: a quotation in it is not closed."""
        return shlex.split(self.command) if isinstance(self.command, str) else list(self.command or ())

    def without_secrets(self, text: str) -> str:
        """``text`` without what variables, `env` and `headers` stand for."""
        found = [value for item in (self.variables(), self.request_headers()) for value in item.values()]
        for written in (self.url or "", *([self.command] if isinstance(self.command, str) else self.command or ())):
            found += [self._filled(match[0]) for match in _VARIABLE.finditer(written)]
        for value in sorted({value for value in found if len(value) > 3}, key=len, reverse=True):
            text = text.replace(value, "…")
        return text

    def _filled(self, text: str) -> str:
        def value_of(match: re.Match[str]) -> str:
            name, default = match.groups()
            if (value := os.environ.get(name) or default) is None:
                what = f"{self.label}: the environment variable {name} is not set"
                raise wrong(self.declared_at, what, f"set it, or write ${{{name}:-default}}")
            return value

        return _VARIABLE.sub(value_of, text)
