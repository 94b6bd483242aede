"""One declaration for each operation: the signature of its handler says what it takes and what it answers.

    @operation("GET", "/memories", "get_memories", scope="memories:read", tag="Memory", summary="List Memories")
    async def list_memories(memories: MemoryService, caller: Caller, query: MemoryQuery) -> PaginatedResponse[…]:
        \"\"\"List memories, most recently updated first.\"\"\"

A parameter is filled according to its type:

- :class:`Caller`, :class:`Server` or :class:`Request`: the caller, the server, the request itself;
- a subclass of :class:`Query`, :class:`Headers` or :class:`Body`: the validated query, header fields or body;
- :class:`BaseComponent`: the agent, team or workflow that the path names, or that the run in the path is of;
- a ``str`` or ``int`` with the name of a parameter in the path: that identifier or number;
- any other class: the service of that class.

The handler answers a JSON value (a ``TypedDict`` gives its schema), None (204), or a :class:`Response` of its own. The
OpenAPI document has all of it, and the docstring, without further work.
"""

import functools
import inspect
import operator
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import UnionType
from typing import Any, get_args

from starlette.requests import Request
from starlette.responses import Response

from musterd.core.callers import Caller
from musterd.core.records import COMPONENT_KINDS
from musterd.declare import BaseComponent
from musterd.http.auth.scopes import Handler, caller_of
from musterd.http.entity_tags import EntityTagHeaders, tagged_answer
from musterd.http.parameters import Body, Headers, Query
from musterd.http.paths import path_identifier, path_number
from musterd.http.responses import answer_of
from musterd.http.run_components import component_of
from musterd.http.server import Server

OPEN = None
"""In place of a scope: the operation needs no authentication."""

AUTHENTICATED = "authenticated"
"""In place of a scope: every authenticated caller may use the operation, whatever its scopes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer for which a handler returns a :class:`Response`.

    :param kind: the type of its JSON; None if it has no JSON body.
    :param headers: names of additional headers in the OpenAPI document.
    :param media_type: the media type of its body.
    :param event: the type of the events, if the answer may be a stream.
    """

    kind: Any = None
    headers: Sequence[str] = ()
    media_type: str = "application/json"
    event: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation as it is declared.

    :param scope: the required scope, ``resource:action``, or :data:`OPEN`, or :data:`AUTHENTICATED`. If the path names
        a team or an agent, a scope for that one alone (``teams:desk:run``) is enough.
    :param tag: its heading in the docs.
    :param errors: descriptions of its particular error answers by status.
    :param other_answers: further answers, for which the handler returns responses, by status.
    :param lists: it lists resources and shows each caller those that its scopes allow, so any such scope is enough.
    :param is_tagged: its answer, which is a value, has an ``ETag``; a client that has it already gets 304.
    :param of_any_run: the path names a run alone. Its component is looked up, and the scope to run that one is enough.
    :param needs_component: of an operation on any run: the run's component must be served here.
    :param function: the handler.
    :param parameters: the types of the handler's parameters, by name.
    :param answer: the type of its answer; None if it has no body, or only ``other_answers``.
    """

    method: str
    path: str
    operation_id: str
    scope: str | None
    tag: str
    summary: str
    function: Callable[..., Awaitable[Any]]
    parameters: Mapping[str, type[Any]]
    answer: Any
    errors: Mapping[int, str] = field(default_factory=dict)
    other_answers: Mapping[int, Answer] = field(default_factory=dict)
    lists: bool = False
    is_tagged: bool = False
    of_any_run: bool = False
    needs_component: bool = False

    @property
    def query(self) -> type[Query] | None:
        """The type of the query, if it takes one."""
        return next((kind for kind in self.parameters.values() if issubclass(kind, Query)), None)

    @property
    def headers(self) -> type[Headers] | None:
        """The type of the header fields, if it reads any."""
        if self.is_tagged:
            return EntityTagHeaders
        return next((kind for kind in self.parameters.values() if issubclass(kind, Headers)), None)

    @property
    def body(self) -> type[Body] | None:
        """The type of the body, if it takes one."""
        return next((kind for kind in self.parameters.values() if issubclass(kind, Body)), None)

    def bind(self, server: Server) -> Handler:
        """The handler of requests to ``server``."""
        function, body_name, body = self.function, "", self.body
        readers: dict[str, Callable[[Request], Any]] = {}
        for name, kind in self.parameters.items():
            if kind is body and body is not None:
                body_name = name
            else:
                readers[name] = self._reader(name, kind, server)

        async def handle(request: Request) -> Response:
            arguments = {name: read(request) for name, read in readers.items()}
            if body is not None:
                arguments[body_name] = await body.read(request, server.settings)
            answering = function(**arguments)
            del arguments  # a handler that answers slowly can drop its body, which may be an upload of many megabytes
            answer = await answering
            if self.is_tagged:
                return await tagged_answer(request, answer)
            if answer is None:
                return Response(status_code=204)
            return answer if isinstance(answer, Response) else await answer_of(answer)

        return handle

    def _reader(self, name: str, kind: type[Any], server: Server) -> Callable[[Request], Any]:
        if f"{{{name}}}" in self.path:
            return partial(path_number if kind is int else path_identifier, name=name)
        if issubclass(kind, (Query, Headers)):
            return kind.read
        if kind is Caller:
            return caller_of
        if kind is Request:
            return lambda request: request
        if kind is BaseComponent and self.of_any_run:
            return component_of
        if kind is BaseComponent:
            component_kind = next(kind for kind in COMPONENT_KINDS if f"{{{kind}_id}}" in self.path)
            name = f"{component_kind}_id"
            return lambda request: server.component(component_kind, path_identifier(request, name))
        value = server if kind is Server else server.service(kind)
        return lambda request: value


def operation(  # noqa: PLR0913 - it reads as a table: every argument is named where it is given
    method: str,
    path: str,
    operation_id: str,
    *,
    scope: str | None,
    tag: str,
    summary: str,
    errors: Mapping[int, str] | None = None,
    other_answers: Mapping[int, Answer] | None = None,
    lists: bool = False,
    is_tagged: bool = False,
    of_any_run: bool = False,
    needs_component: bool = False,
) -> Callable[[Callable[..., Awaitable[Any]]], Operation]:
    """Declare an operation. See :class:`Operation` for the parameters."""

    def declare(function: Callable[..., Awaitable[Any]]) -> Operation:
        signature = inspect.signature(function)
        return Operation(
            method=method,
            path=path,
            operation_id=operation_id,
            scope=scope,
            tag=tag,
            summary=summary,
            function=function,
            parameters={name: parameter.annotation for name, parameter in signature.parameters.items()},
            answer=_without_response(signature.return_annotation),
            errors=errors or {},
            other_answers=other_answers or {},
            lists=lists,
            is_tagged=is_tagged,
            of_any_run=of_any_run,
            needs_component=needs_component,
        )

    return declare


def _without_response(annotation: Any) -> Any:
    """The type of the answer without responses that the handler makes itself: these are described on their own."""
    if annotation is Response:
        return None
    if isinstance(annotation, UnionType):
        return functools.reduce(operator.or_, (kind for kind in get_args(annotation) if kind is not Response))
    return annotation
