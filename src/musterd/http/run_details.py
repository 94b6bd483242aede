"""The operations on a run that is named alone, without its team or agent: show it, run it again, export it."""

from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from musterd.core.callers import Caller
from musterd.declare import BaseComponent
from musterd.http.auth.expiry import validity_of
from musterd.http.entity_tags import EntityTagHeaders, has_tag, run_tag
from musterd.http.operation import Answer, operation
from musterd.http.parameters import Query, Text
from musterd.http.responses import JSON, answer_with_runs, json_answer
from musterd.http.run_export import export_parts
from musterd.http.run_lists import RunDetailLevel
from musterd.http.run_operation import REPLAYED_HEADER, IdempotencyHeaders
from musterd.http.run_start_answers import RunAnswers, renderer
from musterd.http.runs import POLL_SECONDS
from musterd.http.server import Server
from musterd.service.run_ref import RunRef
from musterd.wire.references import member_references
from musterd.wire.run_details import AnyRunDetails, run_details, summary_with_details
from musterd.wire.run_export import RunExport
from musterd.wire.runs import RunReceipt, WorkflowRunOutput

_SCOPE = "runs:run"
_TAG = "Runs"
_SESSION = "The run's session; if it is given, it must be that"


class AnyRunQuery(Query):
    """The query of operations on a run that is named alone."""

    session_id: Text | None = Field(None, description=_SESSION)


class RunDetailsQuery(AnyRunQuery):
    """The query of ``GET /runs/{run_id}``."""

    view: RunDetailLevel = Field(
        RunDetailLevel.FULL, description="`summary`: the run in a few words, without its conversation"
    )
    wait: float | None = Field(None, ge=0, description="Seconds to wait for its end, at most MUSTERD_WAIT_MAX_SECONDS")


@operation(
    "GET",
    "/runs/{run_id}",
    "get_run",
    scope=_SCOPE,
    tag=_TAG,
    summary="Get Run",
    errors={404: "Run not found"},
    other_answers={
        200: Answer(AnyRunDetails, headers=["ETag", "Poll-After"]),
        304: Answer(headers=["ETag", "Poll-After"]),
    },
    of_any_run=True,
)
async def get_run(
    component: BaseComponent,
    run_id: str,
    request: Request,
    server: Server,
    caller: Caller,
    query: RunDetailsQuery,
    headers: EntityTagHeaders,
) -> Response:
    """Get a run of any team or agent, or a member's run, with the members of its tree.

    It is what the run's team or agent shows of it, with further keys. It can also be read if its team or agent is not
    served any more.
    """
    ref = RunRef(component, run_id, query.session_id, caller)
    is_summary = query.view is RunDetailLevel.SUMMARY
    wait_seconds = min(query.wait or 0.0, server.settings.wait_max_seconds)
    view = None
    if wait_seconds > 0 or not is_summary:  # a summary is read without the conversation, which may be long
        async with validity_of(request).held():
            view = await server.runs.settled_view(ref, wait_seconds)
    details = await server.details.details(run_id, query.session_id)
    if view is not None and view.row.version != details.run.version:
        # The tag is that of the details. A body that is older than its tag would stay at the client.
        view = await server.runs.settled_view(ref, 0.0)
    answer_headers = {"Cache-Control": "no-cache"}
    if not details.run.state.is_settled:
        answer_headers["Retry-After"] = str(POLL_SECONDS)
    value: Any = summary_with_details(details)
    if view is not None and not is_summary and not view.row.state.is_settled:
        view.budget = value["budget"] = await server.runs.spent(component, view)
    answer_headers["ETag"] = tag = run_tag(details.run.version, value, view=query.view)
    if has_tag(headers.if_none_match, tag):
        return Response(status_code=304, headers=answer_headers)
    if view is None or is_summary:
        return json_answer(value, headers=answer_headers)
    render = await renderer(server, component, view, is_post=False)
    members = await server.details.members_with_references(details) if details.run.state.is_settled else ()

    def whole_run() -> Any:
        return {**render(), "waiting": details.run.waiting, **run_details(details), **member_references(members)}

    return await answer_with_runs(whole_run, [view, *view.members], answer_headers)


@operation(
    "POST",
    "/runs/{run_id}/rerun",
    "rerun_run",
    scope=_SCOPE,
    tag=_TAG,
    summary="Rerun Run",
    errors={
        404: "Run not found",
        409: "It is a member's run, its media are no longer stored, its team or agent is not served any more, or the "
        "key is taken",
    },
    other_answers={202: Answer(RunReceipt | WorkflowRunOutput, headers=["Location", REPLAYED_HEADER])},
    of_any_run=True,
    needs_component=True,
)
async def rerun_run(
    component: BaseComponent, run_id: str, request: Request, server: Server, caller: Caller, headers: IdempotencyHeaders
) -> Response:
    """Start a new run in the same session with the same message, media and options. It runs in the background.

    The earlier run stays as it is, and the new one may see it in its history.
    """
    server.require_ready()
    accepted = await server.reruns.start(RunRef(component, run_id, None, caller), headers.key)
    answers = RunAnswers(request=request, server=server, component=component, caller=caller, headers=headers)
    answer = await answers.receipt(accepted.run, shows_state=accepted.is_repeated)
    answer.headers.update(headers.replayed(accepted.is_repeated))
    return answer


@operation(
    "GET",
    "/runs/{run_id}/export",
    "export_run",
    scope=_SCOPE,
    tag=_TAG,
    summary="Export Run",
    errors={404: "Run not found"},
    other_answers={200: Answer(RunExport)},
    of_any_run=True,
)
async def export_run(
    component: BaseComponent, run_id: str, server: Server, caller: Caller, query: AnyRunQuery
) -> Response:
    """Get everything that is stored of a run and its members, as one JSON object. Of a member's run, the whole tree.

    It has the results of the steps, which other operations leave out. A run that has not finished is exported as it is
    now.
    """
    details = await server.details.details(run_id, query.session_id)
    root_id = details.root.run_id
    if root_id != run_id:
        details = await server.details.details(root_id)
    source = await server.details.replay_source(details.root)
    parts = export_parts(server, RunRef(component, root_id, None, caller), details, source)
    headers = {"Content-Disposition": 'attachment; filename="run.json"'}
    return StreamingResponse(parts, media_type=JSON, headers=headers)


OPERATIONS = [get_run, rerun_run, export_run]
