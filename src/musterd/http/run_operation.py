"""Operations on runs: each is declared once, and served below each kind of component and below the run's own path."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, create_model

from musterd.core.errors import InvalidInput
from musterd.core.ids import MAX_LENGTH, require_identifier
from musterd.core.records import COMPONENT_KINDS, ComponentKind
from musterd.http.operation import Answer, Operation, operation
from musterd.http.parameters import Headers, Query, Text

KEY_HEADER = "idempotency-key"
REPLAYED_HEADER = "Idempotency-Replayed"

RunPathKind = Literal["agent", "team", "workflow", "run"]
"""Where an operation on a run is served: below its agent, its team, its workflow, or ``/runs``."""
Operations = Mapping[RunPathKind, Operation]
"""One operation, for each kind of component, and for a run of any of them."""
Answers = Mapping[int, Answer]


class RunQuery(Query):
    """The query of operations on one run."""

    session_id: Text = Field(description="The run's session")


@cache
def of_any_run(query: type[RunQuery]) -> type[RunQuery]:
    """The query of the same operation on a run that is named alone, so that its session need not be."""
    session_id: Any = (Text | None, Field(None, description="The run's session; if it is given, it must be that"))
    derived: type[RunQuery] = create_model(f"{query.__name__}OfAnyRun", __base__=query, session_id=session_id)
    return derived


def _require_one_key(keys: list[str]) -> list[str]:
    location = ("header", KEY_HEADER)
    if len(keys) > 1:
        raise InvalidInput.at(location, "string_identifier", "The header should be given once")
    require_identifier(keys[0], location)
    return keys


class IdempotencyHeaders(Headers):
    """The header of requests that may be sent again."""

    keys: Annotated[
        list[str],
        AfterValidator(_require_one_key),
        WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_LENGTH}),
    ] = Field(
        default_factory=list,
        alias="Idempotency-Key",
        description="A key of your own for this request. If the request is sent again with it, it is done once and "
        "answered with the result, a run in its current state. Another request with it is a 409. It is kept as long as "
        "the run, or the first run of the fork",
    )

    @property
    def key(self) -> str | None:
        """The idempotency key, if there is one."""
        return self.keys[0] if self.keys else None

    def replayed(self, is_repeated: bool) -> dict[str, str]:
        """The headers of the answer.

        :param is_repeated: whether the same request was received under its key before.
        """
        return {REPLAYED_HEADER: "true"} if self.keys and is_repeated else {}


def run_operation(  # noqa: PLR0913 - it reads as a table: every argument is named where it is given
    method: str,
    path: str,
    operation_id: str,
    *,
    summary: str,
    errors: Mapping[int, str] | None = None,
    answers: Callable[[RunPathKind], Answers] | None = None,
    needs_component: bool = False,
    without_session: Mapping[type[Any], type[Any]] | None = None,
    of_workflow: Mapping[type[Any], type[Any]] | None = None,
) -> Callable[[Callable[..., Awaitable[Any]]], Operations]:
    """Declare an operation on each kind of component; and on a run, if its path is that of a run.

    A caller that may run a team may do everything with its runs, so all of them have the scope to run it.

    :param path: the path below that of the component.
    :param operation_id: with ``{kind}`` for ``agent``, ``team`` or ``workflow``, like ``summary`` and ``errors`` with
        ``{Kind}``.
    :param answers: the answers that the handler makes itself as responses, by status, for each kind of path.
    :param needs_component: whether the run's component must be served; otherwise the operation also works without it.
    :param without_session: types of the handler's parameters, and those that replace them if the run is named alone.
    :param of_workflow: the same, for those that replace them below a workflow.
    """

    def declare(function: Callable[..., Awaitable[Any]]) -> Operations:
        def declare_for(kind: ComponentKind) -> Operation:
            words = {"kind": kind, "Kind": kind.capitalize()}
            declared = operation(
                method,
                f"/{kind}s/{{{kind}_id}}{path}",
                operation_id.format(**words),
                scope=f"{kind}s:run",
                tag=f"{kind.capitalize()}s",
                summary=summary.format(**words),
                errors={status: text.format(**words) for status, text in (errors or {}).items()},
                other_answers=None if answers is None else answers(kind),
            )(function)
            return _replacing(declared, of_workflow or {}) if kind == "workflow" else declared

        operations: dict[RunPathKind, Operation] = {kind: declare_for(kind) for kind in COMPONENT_KINDS}
        if path.startswith("/runs/{run_id}/"):
            declared = replace(
                operations["team"],
                path=path,
                operation_id=operation_id.replace("{kind}_", ""),
                summary=summary.replace("{Kind} ", ""),
                errors={status: _without_kind(text) for status, text in (errors or {}).items()},
                other_answers={} if answers is None else answers("run"),
                needs_component=needs_component,
            )
            operations["run"] = _of_any_run(declared, without_session or {})
        return operations

    return declare


def _replacing(declared: Operation, types: Mapping[type[Any], type[Any]]) -> Operation:
    """The operation with other types of parameters."""
    return replace(declared, parameters={name: types.get(kind, kind) for name, kind in declared.parameters.items()})


def _of_any_run(declared: Operation, without_session: Mapping[type[Any], type[Any]]) -> Operation:
    kinds = _replacing(declared, without_session).parameters
    queries = {name: of_any_run(kind) for name, kind in kinds.items() if issubclass(kind, RunQuery)}
    return replace(declared, scope="runs:run", tag="Runs", of_any_run=True, parameters={**kinds, **queries})


def _without_kind(text: str) -> str:
    return text.replace("{Kind} or run", "Run").replace("{Kind}, run", "Run")
