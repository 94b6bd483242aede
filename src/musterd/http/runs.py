"""The operations that start, show, list, cancel and continue runs."""

from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.records import RunView
from musterd.declare import BaseComponent
from musterd.http.auth.expiry import validity_of
from musterd.http.entity_tags import EntityTagHeaders, has_tag, run_tag
from musterd.http.media import media_answer
from musterd.http.operation import Answer
from musterd.http.parameters import Text
from musterd.http.responses import answer_with_runs, json_answer
from musterd.http.run_operation import (
    REPLAYED_HEADER,
    Answers,
    IdempotencyHeaders,
    RunPathKind,
    RunQuery,
    run_operation,
)
from musterd.http.run_requests import ContinueAnyForm, ContinueForm, StartForm, StartWorkflowForm
from musterd.http.run_start_answers import RunAnswers, renderer
from musterd.http.run_stream import stream_of
from musterd.http.server import Server
from musterd.service.forks import ForkRequest
from musterd.service.run_ref import RunRef
from musterd.store.run_lists import SessionRunsQuery
from musterd.wire import lists
from musterd.wire import runs as wire_runs
from musterd.wire.lists import RunSchema, TeamRunSchema, WorkflowRunSchema
from musterd.wire.pages import PAGE_LIMIT
from musterd.wire.runs import AnyRunOutput, CancelReceipt, RunOutput, RunReceipt, TeamRunOutput, WorkflowRunOutput
from musterd.wire.sse import StreamEvent
from musterd.wire.states import STATUSES, parse_status
from musterd.wire.steps import RunStep, step_object

POLL_SECONDS = 1
MAX_STEPS = 10_000
OUTPUTS: dict[RunPathKind, Any] = {
    "agent": RunOutput,
    "team": TeamRunOutput,
    "workflow": WorkflowRunOutput,
    "run": AnyRunOutput,
}
LISTS: dict[RunPathKind, Any] = {
    "agent": list[RunSchema],
    "team": list[TeamRunSchema],
    "workflow": list[WorkflowRunSchema],
}
BINARY = "application/octet-stream"


class PollQuery(RunQuery):
    """The query of a poll."""

    wait: float | None = Field(None, ge=0, description="Seconds to wait for its end, at most MUSTERD_WAIT_MAX_SECONDS")


class ComponentRunsQuery(RunQuery):
    """The query of the list of an agent's or a team's runs in a session."""

    session_id: Text = Field(description="The session")
    status: Text | None = Field(None, description=f"Only runs in this state, in any case: {', '.join(STATUSES)}")
    limit: int | None = Field(None, ge=1, le=PAGE_LIMIT, description="Only the last so many runs")
    before: Text | None = Field(None, description="Only runs accepted before this one")

    def conditions(self, component: BaseComponent) -> SessionRunsQuery:
        """What to list.

        :raises InvalidInput: the status is unknown.
        """
        return SessionRunsQuery(
            session_id=self.session_id,
            component=(component.kind, component.id),
            states=parse_status(self.status),
            before=self.before,
            limit=self.limit,
        )


class StepsQuery(RunQuery):
    """The query of the list of a run's steps."""

    limit: int | None = Field(None, ge=1, le=MAX_STEPS, description="At most so many steps")
    after_path: Text | None = Field(None, description="Only steps after the one with this path, in the list's order")
    path: Text | None = Field(None, description="Only the step with this path, with its arguments and its result")


def _answers_of_started_run(kind: RunPathKind) -> Answers:
    receipts: dict[RunPathKind, Any] = {"workflow": WorkflowRunOutput, "run": RunReceipt | WorkflowRunOutput}
    return {
        200: Answer(OUTPUTS[kind], headers=[REPLAYED_HEADER], event=StreamEvent),
        202: Answer(receipts.get(kind, RunReceipt), headers=["Location", REPLAYED_HEADER]),
    }


@run_operation(
    "POST",
    "/runs",
    "create_{kind}_run",
    summary="Create {Kind} Run",
    errors={
        400: "The form cannot be read, a field is too long, or a file is of a type that is not supported",
        404: "{Kind} not found",
        409: "The run id or the key is taken, or the session is busy and `on_busy` is `reject`",
    },
    answers=_answers_of_started_run,
    of_workflow={StartForm: StartWorkflowForm},
)
async def create_run(
    component: BaseComponent,
    request: Request,
    server: Server,
    caller: Caller,
    headers: IdempotencyHeaders,
    body: StartForm,
) -> Response:
    """Start a run. It is stored before it is answered, and goes on if the client disconnects.

    Only if the client asked for a stream, and no client reads it any more, the run is cancelled after a while.
    """
    server.require_ready()
    form, shows_all_events = body.answer_mode, body.streams_all_events
    run_request = body.run_request(headers.key, caller)
    run_id, accepting = run_request.run_id, server.runs.start(component, run_request, caller)
    del body, run_request  # uploads must not stay in memory for as long as the answer takes
    answers = RunAnswers(request=request, server=server, component=component, caller=caller, headers=headers)
    return await answers.accept(run_id, accepting, form, shows_all_events=shows_all_events)


@run_operation(
    "GET",
    "/runs",
    "list_{kind}_runs",
    summary="List {Kind} Runs",
    errors={404: "{Kind} not found"},
    answers=lambda kind: {200: Answer(LISTS[kind])},
)
async def list_runs(component: BaseComponent, server: Server, caller: Caller, query: ComponentRunsQuery) -> Response:
    """List the runs of a session, each after its members' runs. An unknown session has none."""
    views = await server.lists.of_component(query.conditions(component), caller)
    if component.kind == "workflow":
        return await answer_with_runs(lambda: lists.workflow_runs(views), views)
    render = lists.team_runs if component.kind == "team" else lists.agent_runs
    return await answer_with_runs(lambda: render(views), views)


@run_operation(
    "GET",
    "/runs/{run_id}",
    "get_{kind}_run",
    summary="Get {Kind} Run",
    errors={404: "{Kind} or run not found"},
    answers=lambda kind: {
        200: Answer(OUTPUTS[kind], headers=["ETag", "Poll-After"]),
        304: Answer(headers=["ETag", "Poll-After"]),
    },
)
async def get_run(
    component: BaseComponent,
    run_id: str,
    request: Request,
    server: Server,
    caller: Caller,
    query: PollQuery,
    headers: EntityTagHeaders,
) -> Response:
    """Get a run in its current state, or with `wait` after it has finished or paused."""
    wait_seconds = min(query.wait or 0.0, server.settings.wait_max_seconds)
    async with validity_of(request).held():
        view = await server.runs.settled_view(RunRef(component, run_id, query.session_id, caller), wait_seconds)
    answer_headers = {"Cache-Control": "no-cache"}
    if not view.row.state.is_settled:
        view.budget = await server.runs.spent(component, view)
        answer_headers["Retry-After"] = str(POLL_SECONDS)
    answer_headers["ETag"] = tag = _entity_tag(view)
    if has_tag(headers.if_none_match, tag):
        return Response(status_code=304, headers=answer_headers)
    render = await renderer(server, component, view, is_post=False)
    return await answer_with_runs(render, [view, *view.members], answer_headers)


def _entity_tag(view: RunView) -> str:
    row = view.row
    return run_tag(
        row.version, [view.queue_position, row.first_token_at is not None, view.budget, row.totals, row.activity]
    )


@run_operation(
    "POST",
    "/runs/{run_id}/cancel",
    "cancel_{kind}_run",
    summary="Cancel {Kind} Run",
    errors={404: "{Kind} or run not found", 409: "The key is taken by another request"},
    answers=lambda kind: {200: Answer(CancelReceipt, headers=[REPLAYED_HEADER])},
)
async def cancel_run(
    component: BaseComponent, run_id: str, server: Server, caller: Caller, headers: IdempotencyHeaders
) -> Response:
    """Cancel a run with its members' runs, or a member's run alone: then its leader is told and goes on.

    The answer comes when the run has stopped, or after some seconds. It has the state of the run, and the outcome of
    the steps that were interrupted. A run that has finished stays as it is.
    """
    cancel = await server.runs.cancel(RunRef(component, run_id, None, caller), headers.key)
    return json_answer(wire_runs.cancel_receipt(cancel.view), headers=headers.replayed(cancel.is_repeated))


@run_operation(
    "POST",
    "/runs/{run_id}/continue",
    "continue_{kind}_run",
    summary="Continue {Kind} Run",
    errors={
        400: "`session_id` is missing, or a field is not JSON",
        404: "{Kind}, run or step not found",
        409: "The run neither paused nor failed, was decided otherwise or goes on already; it has not finished, and "
        "`from_step` is given; or the key is taken",
    },
    answers=_answers_of_started_run,
    needs_component=True,
    without_session={ContinueForm: ContinueAnyForm},
)
async def continue_run(
    component: BaseComponent,
    run_id: str,
    request: Request,
    server: Server,
    caller: Caller,
    headers: IdempotencyHeaders,
    body: ContinueForm,
) -> Response:
    """Decide what a paused run waits for: tool calls to make, to reject or to give the result of; steps of a workflow.

    The run goes on after one decision, and pauses again for the others. The same decisions sent again change nothing.
    If the run ended in ERROR, a new run continues where it stopped. With `from_step`, a new run takes over what
    happened in a finished run before that step's turn, and goes on from there.
    """
    session_id, decisions, key = body.require_session_id(), body.decisions(), headers.key
    server.require_ready()
    answers = RunAnswers(request=request, server=server, component=component, caller=caller, headers=headers)
    if not decisions:
        ref = RunRef(component, run_id, session_id, caller)
        if body.from_step is None:
            other = await server.forks.find_failed(ref, key)
        else:
            other = await server.forks.find_finished(ref)
        if other is not None:
            fork = ForkRequest(
                run_id=clock.new_id(),
                is_background=body.background,
                cancel_on_disconnect=body.answer_mode == "stream" and key is None,
                budget=body.budget,
                from_step=body.from_step,
                key=key,
            )
            accepting = server.forks.start(component, other, fork, caller)
            return await answers.accept(fork.run_id, accepting, body.answer_mode)
    decided = await server.runs.decide(RunRef(component, run_id, session_id, caller), decisions, key)
    answer: Response
    if body.answer_mode == "receipt":
        answer = await answers.receipt(decided.run, shows_state=True)
    elif body.answer_mode == "stream":
        subscription = server.runs.subscribe(run_id).start_after(decided.run, decided.after)
        answer = stream_of(server, subscription, decided.run)
    else:
        answer = await answers.output(decided.run)
    answer.headers.update(headers.replayed(decided.is_repeated))
    return answer


@run_operation(
    "GET",
    "/runs/{run_id}/steps",
    "list_{kind}_run_steps",
    summary="List {Kind} Run Steps",
    errors={404: "{Kind}, run or step not found"},
)
async def list_steps(
    component: BaseComponent, run_id: str, server: Server, caller: Caller, query: StepsQuery
) -> list[RunStep]:
    """List every model call, tool call and delegation of a run and its members, in the order of their start.

    With `path` the answer is that step alone, with its arguments and its result.
    """
    ref = RunRef(component, run_id, query.session_id, caller)
    if query.path is not None:
        return [step_object(await server.runs.step(ref, query.path))]
    return [step_object(step) for step in await server.runs.steps(ref, query.after_path, query.limit)]


@run_operation(
    "GET",
    "/runs/{run_id}/media/{media_id}",
    "get_{kind}_run_media",
    summary="Get {Kind} Run Media",
    errors={404: "{Kind}, run or medium not found"},
    answers=lambda kind: {200: Answer(bytes, headers=["ETag"], media_type=BINARY), 304: Answer(headers=["ETag"])},
)
async def get_media(
    component: BaseComponent,
    run_id: str,
    request: Request,
    server: Server,
    caller: Caller,
    query: RunQuery,
    media_id: str,
) -> Response:
    """Get an image, sound, video or file that a run was given or has produced. It never changes.

    `media_id` is the `blob` of its entry in `images`, `videos`, `audio` or `files`.
    """
    item, content = await server.runs.media_item(RunRef(component, run_id, query.session_id, caller), media_id)
    return media_answer(request, item, content, media_id)


OPERATIONS = (create_run, list_runs, get_run, cancel_run, continue_run, list_steps, get_media)
