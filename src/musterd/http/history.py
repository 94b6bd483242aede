"""The operations on conversations: checkpoints of a run, and forks of a session."""

from pydantic import Field
from starlette.responses import Response

from musterd.core.callers import Caller
from musterd.declare import BaseComponent
from musterd.http.operation import Answer
from musterd.http.parameters import Identifier, Query
from musterd.http.responses import json_answer
from musterd.http.run_operation import REPLAYED_HEADER, IdempotencyHeaders, RunQuery, run_operation
from musterd.http.server import Server
from musterd.service.run_ref import RunRef
from musterd.wire.checkpoints import (
    ForkedSession,
    RunCheckpoints,
    RunSnapshot,
    checkpoint_list,
    checkpoint_snapshot,
    step_checkpoints,
    step_snapshot,
)


class ForkQuery(Query):
    """The query of a fork."""

    user_id: Identifier | None = Field(None, description="The user of the new session; by default that of this one")


@run_operation(
    "GET",
    "/runs/{run_id}/checkpoints",
    "list_{kind}_run_checkpoints",
    summary="List {Kind} Run Checkpoints",
    errors={404: "{Kind} or run not found"},
)
async def list_checkpoints(
    component: BaseComponent, run_id: str, server: Server, caller: Caller, query: RunQuery
) -> RunCheckpoints:
    """List the places at which a run can be cut. A running run has those that it has passed.

    In a conversation these are after each message, but not between a tool call and its result; in a workflow after each
    finished step. If a run is forked, `from_step` of a checkpoint begins after it.
    """
    view = await server.history.view(RunRef(component, run_id, query.session_id, caller))
    if view.row.component_kind == "workflow":
        return step_checkpoints(view, await server.history.finished_steps(view))
    return checkpoint_list(view)


@run_operation(
    "GET",
    "/runs/{run_id}/checkpoints/{message_index}",
    "get_{kind}_run_checkpoint_snapshot",
    summary="Get {Kind} Run Checkpoint Snapshot",
    errors={400: "It never had so many messages, or finished steps", 404: "{Kind} or run not found"},
)
async def get_checkpoint(
    component: BaseComponent, message_index: int, run_id: str, server: Server, caller: Caller, query: RunQuery
) -> RunSnapshot:
    """Get a run as it was after so many messages; between a tool call and its result, as before the call.

    Of a workflow's run, `message_index` is the number of finished steps.
    """
    view = await server.history.view(RunRef(component, run_id, query.session_id, caller))
    if view.row.component_kind == "workflow":
        return step_snapshot(view, await server.history.finished_steps(view), message_index)
    return checkpoint_snapshot(view, message_index)


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
    forked_id, is_replay = await server.sessions.fork(
        component, session_id, caller, user_id=query.user_id, key=headers.key
    )
    answer: ForkedSession = {"session_id": forked_id, "forked_from_session_id": session_id}
    return json_answer(answer, headers=headers.replayed(is_replay))


OPERATIONS = (list_checkpoints, get_checkpoint, fork_session)
