"""The operation that forks a session."""

from pydantic import Field
from starlette.responses import Response

from musterd.core.callers import Caller
from musterd.declare import BaseComponent
from musterd.http.operation import Answer
from musterd.http.parameters import Identifier, Query
from musterd.http.responses import json_answer
from musterd.http.run_operation import REPLAYED_HEADER, IdempotencyHeaders, run_operation
from musterd.http.server import Server
from musterd.wire.checkpoints import ForkedSession


class ForkQuery(Query):
    """The query of a fork."""

    user_id: Identifier | None = Field(None, description="The user of the new session; by default that of this one")


@run_operation(
    "POST",
    "/sessions/{session_id}/fork",
    "fork_{kind}_session",
    summary="Fork {Kind} Session",
    errors={
        400: "No run of the session has finished",
        404: "{Kind} or session not found",
        409: "Runs of the session were deleted while it was forked, or the key is taken by another request",
    },
    answers=lambda kind: {200: Answer(ForkedSession, headers=[REPLAYED_HEADER])},
)
async def fork_session(
    component: BaseComponent,
    session_id: str,
    server: Server,
    caller: Caller,
    query: ForkQuery,
    headers: IdempotencyHeaders,
) -> Response:
    """Make a new session that begins with copies of the finished runs of this one.

    The copies have ids of their own, and members, conversations and media of the originals. Nothing is executed again,
    and this session stays as it is.
    """
    forked_id, is_repeated = await server.sessions.fork(
        component, session_id, caller, user_id=query.user_id, key=headers.key
    )
    answer: ForkedSession = {"session_id": forked_id, "forked_from_session_id": session_id}
    return json_answer(answer, headers=headers.replayed(is_repeated))


OPERATIONS = (fork_session,)
