"""The calls on what a server has: teams, runs, sessions, approvals, traces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, Unpack

from musterd.client.errors import Conflict
from musterd.client.events import EventPage
from musterd.client.flows import D, Flow, Resource, call
from musterd.client.records import Approval, Component, Page, Session, Trace
from musterd.client.requests import Requests, path_of
from musterd.client.run_calls import RunRef, id_of, read_run
from musterd.client.runs import ComponentKind, Run, RunMessage, RunStatus, RunStep, RunSummary

if TYPE_CHECKING:
    from collections.abc import Mapping

Statuses: TypeAlias = Sequence[str]


class RunFilters(TypedDict, total=False):
    """Which runs are listed.

    :param status: those in any of these states.
    :param needs_you: those that wait for a decision.
    :param q: those with this text in their message, answer, error or id.
    :param limit: how many on a page, by default 20.
    :param cursor: ``next_cursor`` of the page before.
    """

    team_id: str
    agent_id: str
    workflow_id: str
    user_id: str
    session_id: str
    status: Sequence[RunStatus]
    needs_you: bool
    q: str
    created_after: int
    created_before: int
    limit: int
    cursor: str | None


class Components(Resource[D]):
    """The teams, the agents or the workflows of the server.

    :param kind: which of them.
    """

    def __init__(self, driver: D, requests: Requests, kind: ComponentKind) -> None:
        super().__init__(driver, requests)
        self._path = f"{kind}s"

    @call
    def list(self) -> Flow[tuple[Component, ...]]:
        """List them."""
        raws = yield from self._requests.json("GET", path_of(self._path))
        return tuple(Component.of(raw) for raw in raws)

    @call
    def get(self, component_id: str) -> Flow[Component]:
        """Get one, with its members, tools and model in ``raw``."""
        raw = yield from self._requests.json("GET", path_of(self._path, component_id))
        return Component.of(raw)


class Runs(Resource[D]):
    """The runs of all teams, agents and workflows."""

    @call
    def list(self, **filters: Unpack[RunFilters]) -> Flow[Page[RunSummary]]:
        """List runs, newest first."""
        page = yield from _list_runs(self._requests, filters)
        return page

    @call
    def get(self, run: RunRef) -> Flow[Run]:
        """Get a run as it is now."""
        view = yield from read_run(self._requests, id_of(run))
        return view

    @call
    def summary(self, run: RunRef) -> Flow[RunSummary]:
        """Get a run as a list has it, without its conversation."""
        raw = yield from self._requests.json("GET", path_of("runs", id_of(run)), query={"view": "summary"})
        return RunSummary.of(raw)

    @call
    def export(self, run: RunRef) -> Flow[bytes]:
        """Get everything that is stored of a run, its journal too, as the text of one JSON object."""
        answer = yield from self._requests.answer("GET", path_of("runs", id_of(run), "export"))
        return answer.content

    @call
    def steps(self, run: RunRef) -> Flow[tuple[RunStep, ...]]:
        """List every model call, tool call and delegation of a run and its members, in the order of their start."""
        raws = yield from self._requests.json("GET", path_of("runs", id_of(run), "steps"))
        return tuple(map(RunStep.of, raws))

    @call
    def step(self, run: RunRef, path: str) -> Flow[RunStep]:
        """Get one step, with its arguments and its result in ``raw``."""
        (raw,) = yield from self._requests.json("GET", path_of("runs", id_of(run), "steps"), query={"path": path})
        return RunStep.of(raw)

    @call
    def events(self, run: RunRef, *, after: int = -1, limit: int = 1000) -> Flow[EventPage]:
        """Get a page of the stored events of a run. ``Client.stream`` waits for those that follow."""
        query = {"after": after, "limit": limit}
        raw = yield from self._requests.json("GET", path_of("runs", id_of(run), "events"), query=query)
        return EventPage.of(raw)

    @call
    def messages(self, run: RunRef) -> Flow[tuple[RunMessage, ...]]:
        """List the messages that were sent to a run while it ran, and when each was read."""
        raws = yield from self._requests.json("GET", path_of("runs", id_of(run), "messages"))
        return tuple(map(RunMessage.of, raws))


class Sessions(Resource[D]):
    """Conversations."""

    @call
    def list(
        self,
        *,
        component_id: str | None = None,
        user_id: str | None = None,
        status: Statuses = (),
        text: str | None = None,
        limit: int = 20,
        page: int = 1,
    ) -> Flow[Page[Session]]:
        """List sessions.

        :param status: only sessions in any of these states.
        :param text: only sessions whose name or first message contains this.
        """
        query = {
            "component_id": component_id,
            "user_id": user_id,
            "status": [*status],
            "q": text,
            "limit": limit,
            "page": page,
        }
        raw = yield from self._requests.json("GET", "/sessions", query=query)
        return Page(items=tuple(map(Session.of, raw["data"])), total=raw["meta"]["total_count"])

    @call
    def get(self, session_id: str) -> Flow[Session]:
        """Get one session with its messages."""
        raw = yield from self._requests.json("GET", path_of("sessions", session_id))
        return Session.of(raw)

    @call
    def runs(self, session_id: str, *, limit: int = 20, cursor: str | None = None) -> Flow[Page[RunSummary]]:
        """List the runs of a session, newest first.

        :param cursor: ``next_cursor`` of the page before.
        """
        page = yield from _list_runs(self._requests, {"session_id": session_id, "limit": limit, "cursor": cursor})
        return page

    @call
    def rename(self, session_id: str, name: str) -> Flow[Session]:
        """Set a session's name."""
        path = path_of("sessions", session_id, "rename")
        raw = yield from self._requests.json("POST", path, json={"session_name": name})
        return Session.of(raw)

    @call
    def delete(self, session_id: str) -> Flow[None]:
        """Delete a session with all its runs. An id that does not exist is ignored."""
        yield from self._requests.answer("DELETE", path_of("sessions", session_id))


class Approvals(Resource[D]):
    """The decisions that runs wait for, or have waited for."""

    @call
    def list(
        self, *, status: str | None = "pending", run_id: str | None = None, limit: int = 100, page: int = 1
    ) -> Flow[Page[Approval]]:
        """List approvals, newest first.

        :param status: by default those that wait; None: all.
        """
        query = {"status": status, "run_id": run_id, "limit": limit, "page": page}
        raw = yield from self._requests.json("GET", "/approvals", query=query)
        return Page(items=tuple(map(Approval.of, raw["data"])), total=raw["meta"]["total_count"])

    @call
    def get(self, approval_id: str) -> Flow[Approval]:
        """Get one approval."""
        raw = yield from self._requests.json("GET", path_of("approvals", approval_id))
        return Approval.of(raw)

    @call
    def approve(
        self,
        approval_id: str,
        *,
        values: Mapping[str, Any] | None = None,
        result: str | None = None,
        resolved_by: str | None = None,
    ) -> Flow[Approval]:
        """Let the call be made.

        :param values: arguments that are filled in or changed.
        :param result: of a call that was made elsewhere.
        :param resolved_by: who decides; with a token, its user does.
        """
        approval = yield from _resolve(
            self._requests, approval_id, "approved", resolved_by, {"values": values, "result": result}
        )
        return approval

    @call
    def reject(self, approval_id: str, *, note: str | None = None, resolved_by: str | None = None) -> Flow[Approval]:
        """Do not let the call be made.

        :param note: the reason, which the model reads.
        """
        approval = yield from _resolve(self._requests, approval_id, "rejected", resolved_by, {"note": note})
        return approval


class Traces(Resource[D]):
    """Traces of runs."""

    @call
    def list(
        self,
        *,
        run_id: str | None = None,
        session_id: str | None = None,
        user_id: str | None = None,
        status: str | None = None,
        limit: int = 20,
        page: int = 1,
    ) -> Flow[Page[Trace]]:
        """List traces, newest first.

        :param status: ``OK``, ``ERROR`` or ``UNSET`` (unfinished or cancelled).
        """
        query = {"run_id": run_id, "session_id": session_id, "user_id": user_id, "status": status}
        raw = yield from self._requests.json("GET", "/traces", query={**query, "limit": limit, "page": page})
        return Page(items=tuple(map(Trace.of, raw["data"])), total=raw["meta"]["total_count"])

    @call
    def get(self, trace_id: str) -> Flow[Trace]:
        """Get one trace, with its spans in ``raw["tree"]``."""
        raw = yield from self._requests.json("GET", path_of("traces", trace_id))
        return Trace.of(raw)


def _list_runs(requests: Requests, filters: RunFilters) -> Flow[Page[RunSummary]]:
    raw = yield from requests.json("GET", "/runs", query={**filters, "view": "summary"})
    return Page(items=tuple(map(RunSummary.of, raw["data"])), next_cursor=raw["meta"]["next_cursor"])


def _resolve(
    requests: Requests, approval_id: str, status: str, by: str | None, data: Mapping[str, Any]
) -> Flow[Approval]:
    data = {name: value for name, value in data.items() if value is not None}
    body = {"status": status, "resolved_by": by, "resolution_data": data or None}
    try:
        raw = yield from requests.json("POST", path_of("approvals", approval_id, "resolve"), json=body)
    except Conflict:
        # Either somebody else has decided, or this decision was stored and its answer was lost.
        raw = yield from requests.json("GET", path_of("approvals", approval_id))
        if raw["status"] != status or (by or raw["resolved_by"]) != raw["resolved_by"]:
            raise
    return Approval.of(raw)
