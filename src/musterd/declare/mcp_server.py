"""Declarations of MCP (Model Context Protocol) servers."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from musterd.declare.options import LIST, TEXT, TEXTS, Declared, Kind, about, check_values
from musterd.declare.problems import noting_problems
from musterd.declare.source_location import Place, current_place, declaration_error

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_PREFIX = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,31}")


def _is_string_mapping(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(part, str) for item in value.items() for part in item)


_STRING_MAPPING = Kind(words="a dict of strings", accepts=_is_string_mapping, yaml=dict[str, str])
_SECONDS = Kind(
    words="a number of seconds above 0",
    accepts=lambda value: isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf"),
    yaml=float,
)

_REMOVED = {
    "transport": "remove it: url uses streamable HTTP, and command uses pipes",
    "server_params": "use command= and env=, or url= and headers=",
    "session": "remove it: musterd opens and reopens the connection",
    "refresh_connection": "remove it: lost connections are reopened",
    "header_provider": "use headers=, with ${NAME} for environment variables",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTools:
    """The tools that a server currently offers.

    :param definitions: for each tool ``name``, ``tool`` (the server's own name for it), ``description``,
        ``parameters`` and ``retry_safe``.
    :param note: a note for the model about missing tools, or "".
    """

    definitions: list[dict[str, Any]]
    note: str = ""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MCPServer(Declared):
    """An MCP server whose tools an agent or leader may call: a program to start, or a URL.

    ``${NAME}`` and ``${NAME:-default}`` in `command`, `url`, `env` and `headers` are replaced from the environment of
    the process. Their values never appear in messages or the log. Needs the extra ``musterd[mcp]``.
    ``docs/reference/teams.md`` lists the fields.

    :raises DeclarationError: a field is unknown or has an invalid value, or a variable is not set.
    """

    kind = "MCP server"
    removed = _REMOVED

    name: str | None = field(default=None, metadata=about(TEXT, "Its name in messages and logs."))
    command: str | Sequence[str] | None = field(
        default=None,
        metadata=about(TEXTS, "The program to start, with arguments; it uses standard input and output."),
    )
    url: str | None = field(
        default=None,
        metadata=about(TEXT, "The URL of a server with streamable HTTP, instead of `command`."),
    )
    env: Mapping[str, str] | None = field(
        default=None, metadata=about(_STRING_MAPPING, "Variables of the program's environment.", part_of="command")
    )
    cwd: str | None = field(default=None, metadata=about(TEXT, "The program's folder.", part_of="command"))
    headers: Mapping[str, str] | None = field(
        default=None, metadata=about(_STRING_MAPPING, "Headers of each request.", part_of="url")
    )
    include_tools: Sequence[str] | None = field(
        default=None,
        metadata=about(LIST, "Offer only these of the server's tools; an empty list offers none."),
    )
    exclude_tools: Sequence[str] | None = field(default=None, metadata=about(LIST, "Do not offer these."))
    retry_safe_tools: Sequence[str] | None = field(
        default=None,
        metadata=about(LIST, "Further `retry_safe` tools; those that the server calls read-only or idempotent are."),
    )
    tool_name_prefix: str | None = field(
        default=None, metadata=about(TEXT, "A prefix for each tool's name, followed by an underscore.")
    )
    instructions: str | None = field(
        default=None, metadata=about(TEXT, "How to use its tools; part of the system message.")
    )
    timeout_seconds: float = field(default=60.0, metadata=about(_SECONDS, "Timeout of each try of a call."))
    connect_seconds: float = field(
        default=10.0,
        metadata=about(_SECONDS, "Timeout from the start, or the first request, to the list of tools."),
    )
    declared_at: Place = field(default_factory=current_place, init=False)

    def __post_init__(self) -> None:
        """Check the values, including that all variables are set: otherwise the first run would fail instead."""
        if check_values(self, self.label, self.declared_at):
            with noting_problems(self.declared_at):
                self._check_connection()

    def _check_connection(self) -> None:
        if (self.command is None) == (self.url is None):
            problem = f"{self.label} has {'neither command nor url' if self.url is None else 'command and url'}"
            raise declaration_error(self.declared_at, problem, 'set command="…" for a program, or url="https://…/mcp"')
        connection, names = ("url", ("env", "cwd")) if self.url is not None else ("command", ("headers",))
        if misplaced := [name for name in names if getattr(self, name) is not None]:
            raise declaration_error(
                self.declared_at, f"{self.label} has {connection} and {misplaced[0]}", f"remove {misplaced[0]}"
            )
        if self.tool_name_prefix is not None and not _PREFIX.fullmatch(self.tool_name_prefix):
            fix = "use letters, digits and '_', at most 32"
            raise declaration_error(
                self.declared_at, f"{self.label}: its tool_name_prefix is not valid in a tool's name", fix
            )
        self.arguments(), self.address(), self.variables(), self.request_headers()

    def __repr__(self) -> str:
        return f"MCPServer({self.known_as!r})"

    @property
    def known_as(self) -> str:
        """The name for messages: its name, or else its program or host."""
        # Skip values of the wrong type: the error message about them calls this property, too.
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
        """The declaration as error messages name it."""
        return f"MCP server '{self.known_as}'"

    def arguments(self) -> list[str]:
        """The program and its arguments with variables expanded; empty for a URL."""
        if self.command is None:
            return []
        try:
            words = self._words()
        except ValueError as error:
            problem = f"{self.label}: its command cannot be split into words ({error})"
            raise declaration_error(
                self.declared_at, problem, "close the quotation, or use a list of strings"
            ) from error
        if not words:
            raise declaration_error(self.declared_at, f"{self.label} has an empty command", "name the program")
        return [self._expand(word) for word in words]

    def address(self) -> str:
        """The URL with variables expanded; empty for a program."""
        return self._expand(self.url or "")

    def variables(self) -> dict[str, str]:
        """The environment variables for the program, expanded."""
        return {name: self._expand(value) for name, value in (self.env or {}).items()}

    def request_headers(self) -> dict[str, str]:
        """The headers of requests, expanded."""
        return {name: self._expand(value) for name, value in (self.headers or {}).items()}

    def _words(self) -> list[str]:
        """The words of the command before expansion. Raises ValueError if a quotation is not closed."""
        return shlex.split(self.command) if isinstance(self.command, str) else list(self.command or ())

    def without_secrets(self, text: str) -> str:
        """``text`` without the values of variables, `env` and `headers`."""
        values = [value for item in (self.variables(), self.request_headers()) for value in item.values()]
        for template in (self.url or "", *([self.command] if isinstance(self.command, str) else self.command or ())):
            values += [self._expand(match[0]) for match in _VARIABLE.finditer(template)]
        for value in sorted({value for value in values if len(value) > 3}, key=len, reverse=True):
            text = text.replace(value, "…")
        return text

    def _expand(self, text: str) -> str:
        def value_of(match: re.Match[str]) -> str:
            name, default = match.groups()
            if (value := os.environ.get(name) or default) is None:
                problem = f"{self.label}: the environment variable {name} is not set"
                raise declaration_error(self.declared_at, problem, f"set it, or write ${{{name}:-default}}")
            return value

        return _VARIABLE.sub(value_of, text)
