"""Answers of operations that start or continue a run: its output, its events, or a receipt."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from musterd.core.callers import Caller
from musterd.core.errors import Unauthenticated
from musterd.core.records import RunRow, RunView
from musterd.declare import BaseComponent
from musterd.http.auth.expiry import validity_of
from musterd.http.request_bodies import release_body
from musterd.http.responses import answer_with_runs, json_answer
from musterd.http.run_operation import IdempotencyHeaders
from musterd.http.run_requests import AnswerMode
from musterd.http.run_stream import accepted_with_subscription, stream_of
from musterd.http.server import Server
from musterd.service.run_ref import RunRef
from musterd.store.acceptance import Accepted
from musterd.wire import runs as wire_runs
from musterd.wire.runs import AnyRunOutput, RunReceipt, WorkflowRunOutput
from musterd.wire.workflow_runs import leaf_outputs

ANSWER_WAIT_SECONDS = 3600.0

Accepting = Coroutine[Any, Any, Accepted]
"""Accepts a run when it is awaited."""


async def renderer(
    server: Server, component: BaseComponent, view: RunView, *, is_post: bool
) -> Callable[[], AnyRunOutput]:
    """A function that renders a run as it is shown, with the runs of its members or steps if the component stores them.

    What it needs has been added to ``view``.
    """
    state = view.row.state
    with_members = component.stores_members and (state.is_settled if component.kind == "workflow" else state.is_final)
    if with_members:
        inherited = _inherited_members(view)
        members = await server.runs.members(view.row, inherited)
        parents = (view.row.run_id, view.row.forked_from)
        view.members = [
            member for member in members if member.row.parent_id in parents or member.row.run_id in inherited
        ]
    await server.runs.fill_in_contents([view, *view.members])
    return partial(wire_runs.run_output, view, is_post=is_post, with_members=with_members)


def _inherited_members(view: RunView) -> list[str]:
    """The members' runs that a run took over from the run that it continues."""
    if view.row.forked_from is None or view.output is None:
        return []
    run_ids = [call.child_run_id for call in view.output.tools]
    run_ids += [step.get("step_run_id") for step in leaf_outputs(view.output.step_results)]
    return [run_id for run_id in run_ids if run_id is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAnswers:
    """Answers one request in the form that it asks for."""

    request: Request
    server: Server
    component: BaseComponent
    caller: Caller
    headers: IdempotencyHeaders

    async def accept(
        self, run_id: str, accepting: Accepting, mode: AnswerMode, *, shows_all_events: bool = True
    ) -> Response:
        """Accept a new run, and answer.

        :param run_id: the id that the run gets unless the same request was received before.
        """
        if mode == "stream":
            return await self._stream_of_new_run(run_id, accepting, shows_all_events=shows_all_events)
        accepted = await accepting
        release_body(self.request)
        if mode == "receipt":
            answer = await self.receipt(accepted.run, shows_state=accepted.is_repeated)
        else:
            answer = await self.output(accepted.run)
        answer.headers.update(self.headers.replayed(accepted.is_repeated))
        return answer

    async def receipt(self, run: RunRow, *, shows_state: bool) -> Response:
        """A 202 that says where to poll.

        :param shows_state: whether it shows the run's current state. Otherwise the run was just accepted.
        """
        body: RunReceipt | WorkflowRunOutput
        if run.component_kind == "workflow":  # clients of AgentOS parse it as the run that it is to become
            view = await self.server.runs.find(RunRef(self.component, run.run_id, run.session_id, self.caller))
            await self.server.runs.fill_in_contents([view])
            body = wire_runs.workflow_run_output(view)
            if not shows_state:
                body["status"] = "PENDING"
        else:
            body = wire_runs.state_receipt(run) if shows_state else wire_runs.accepted_receipt(run)
        mount_path = quote(self.request.scope.get("root_path", ""))
        component_path = f"{self.component.kind}s/{quote(self.component.id, safe='')}"
        path = f"{mount_path}/{component_path}/runs/{quote(run.run_id, safe='')}"
        return json_answer(body, 202, {"Location": f"{path}?session_id={quote(run.session_id, safe='')}"})

    async def output(self, run: RunRow) -> Response:
        """Wait until the run has finished or paused. If the server stops or the token expires first, say where to
        poll."""
        ref = RunRef(self.component, run.run_id, run.session_id, self.caller)
        while True:
            try:
                async with validity_of(self.request).held():
                    view = await self.server.runs.settled_view(ref, ANSWER_WAIT_SECONDS)
            except Unauthenticated:  # the run was accepted: after an error, clients would start it again
                return await self.receipt(run, shows_state=False)
            if view.row.state.is_settled:
                render = await renderer(self.server, self.component, view, is_post=True)
                return await answer_with_runs(render, [view, *view.members])
            if self.server.is_stopping:
                return await self.receipt(view.row, shows_state=True)

    async def _stream_of_new_run(self, run_id: str, accepting: Accepting, *, shows_all_events: bool) -> Response:
        """Accept a run, and answer with its events from the first one on."""
        accepted, subscription = await accepted_with_subscription(self.server, run_id, accepting)
        release_body(self.request)
        answer = stream_of(self.server, subscription, accepted.run, shows_all=shows_all_events)
        answer.headers.update(self.headers.replayed(accepted.is_repeated))
        return answer
