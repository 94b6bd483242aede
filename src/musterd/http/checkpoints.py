"""The operations on the checkpoints of a run: the places at which its conversation can be cut."""

from musterd.core.callers import Caller
from musterd.declare import BaseComponent
from musterd.http.run_operation import RunQuery, run_operation
from musterd.http.server import Server
from musterd.service.run_ref import RunRef
from musterd.wire.checkpoints import (
    RunCheckpoints,
    RunSnapshot,
    checkpoint_list,
    checkpoint_snapshot,
    step_checkpoints,
    step_snapshot,
)


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
    view = await server.conversations.view(RunRef(component, run_id, query.session_id, caller))
    if view.row.component_kind == "workflow":
        return step_checkpoints(view, await server.conversations.finished_steps(view))
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
    view = await server.conversations.view(RunRef(component, run_id, query.session_id, caller))
    if view.row.component_kind == "workflow":
        return step_snapshot(view, await server.conversations.finished_steps(view), message_index)
    return checkpoint_snapshot(view, message_index)


OPERATIONS = (list_checkpoints, get_checkpoint)
