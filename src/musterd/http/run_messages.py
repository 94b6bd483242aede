"""The operations on messages to running runs."""

from pydantic import Field
from starlette.responses import Response

from musterd.core.callers import Caller
from musterd.declare import BaseComponent
from musterd.http.forms import Form
from musterd.http.operation import Answer
from musterd.http.parameters import Identifier
from musterd.http.responses import json_answer
from musterd.http.run_operation import REPLAYED_HEADER, IdempotencyHeaders, RunQuery, run_operation
from musterd.http.run_requests import Words
from musterd.http.server import Server
from musterd.service.run_ref import RunRef
from musterd.service.steering import SentMessage
from musterd.wire.steering import RunMessage, StoredRunMessage, message_object, stored_message


class MessageForm(Form):
    """A message to a running run."""

    message: Words = Field(description="What the model is to read, as from the user.")
    session_id: Identifier | None = Field(None, description="The run's session; if it is given, it must be that.")
    member_run_id: Identifier | None = Field(
        None, description="The run of the member that receives it; by default the leader does."
    )


@run_operation(
    "GET",
    "/runs/{run_id}/messages",
    "list_{kind}_run_messages",
    summary="List {Kind} Run Messages",
    errors={404: "{Kind} or run not found"},
)
async def list_messages(
    component: BaseComponent, run_id: str, server: Server, caller: Caller, query: RunQuery
) -> list[RunMessage]:
    """List the messages to a run and its members, oldest first, and what became of each."""
    messages = await server.runs.steering.messages(RunRef(component, run_id, query.session_id, caller))
    return [message_object(message) for message in messages]


@run_operation(
    "POST",
    "/runs/{run_id}/messages",
    "send_{kind}_run_message",
    summary="Send {Kind} Run Message",
    errors={
        400: "The form cannot be read, or the message is too long",
        404: "{Kind} or run not found",
        409: "The run, or the member's, has finished; or the key is taken by another request",
    },
    answers=lambda kind: {202: Answer(StoredRunMessage, headers=[REPLAYED_HEADER])},
    needs_component=True,
)
async def send_message(
    component: BaseComponent,
    run_id: str,
    server: Server,
    caller: Caller,
    headers: IdempotencyHeaders,
    body: MessageForm,
) -> Response:
    """Send a further user message to a run that has not finished. Its next model call reads it.

    A message that no call of the run reads starts the session's next run, unless the run is cancelled.
    """
    server.require_ready()
    message = SentMessage(text=body.message, member_run_id=body.member_run_id)
    ref = RunRef(component, run_id, body.session_id, caller)
    run, stored, is_repeated = await server.runs.steering.send(ref, message, headers.key)
    return json_answer(stored_message(stored, run.session_id), 202, headers.replayed(is_repeated))


OPERATIONS = (list_messages, send_message)
