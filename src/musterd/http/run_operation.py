"""Operations that agents and teams have in common: each is declared once, and served under both paths."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema

from musterd.core.errors import InvalidInput
from musterd.core.ids import MAX_LENGTH, require_identifier
from musterd.core.records import ComponentKind
from musterd.http.operation import Answer, Operation, operation
from musterd.http.parameters import Headers, Query, Text

KINDS: tuple[ComponentKind, ...] = ("agent", "team")

KEY_HEADER = "idempotency-key"
REPLAYED_HEADER = "Idempotency-Replayed"

Operations = Mapping[ComponentKind, Operation]
"""One operation, for agents and for teams."""
Answers = Mapping[int, Answer]


class RunQuery(Query):
    """The query of operations on one run."""

    session_id: Text = Field(description="The run's session")


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

    def replayed(self, is_replay: bool) -> dict[str, str]:
        """The headers of the answer.

        :param is_replay: whether the same request was received under its key before.
        """
        return {REPLAYED_HEADER: "true"} if self.keys and is_replay else {}


def run_operation(
    method: str,
    path: str,
    operation_id: str,
    *,
    summary: str,
    errors: Mapping[int, str] | None = None,
    answers: Callable[[ComponentKind], Answers] | None = None,
) -> Callable[[Callable[..., Awaitable[Any]]], Operations]:
    """Declare an operation on agents, and the same one on teams.

    A caller that may run a team may do everything with its runs, so all of them have the scope to run it.

    :param path: the path below that of the agent or team.
    :param operation_id: with ``{kind}`` for ``agent`` or ``team``, like ``summary`` and ``errors`` with ``{Kind}``.
    :param answers: the answers that the handler makes itself as responses, of agents or of teams, by status.
    """

    def declare(function: Callable[..., Awaitable[Any]]) -> Operations:
        def declare_for(kind: ComponentKind) -> Operation:
            words = {"kind": kind, "Kind": kind.capitalize()}
            return operation(
                method,
                f"/{kind}s/{{{kind}_id}}{path}",
                operation_id.format(**words),
                scope=f"{kind}s:run",
                tag=f"{kind.capitalize()}s",
                summary=summary.format(**words),
                errors={status: text.format(**words) for status, text in (errors or {}).items()},
                other_answers=None if answers is None else answers(kind),
            )(function)

        return {kind: declare_for(kind) for kind in KINDS}

    return declare
