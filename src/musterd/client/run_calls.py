"""The calls on runs: start one, wait for it, follow it, and act on it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypedDict, Unpack

from .approvals import resolve_as_decided
from .decisions import Decision, decision_lists
from .event_stream import run_events
from .events import Event
from .flows import D, Flow, Resource, StreamFlow, call, stream_call
from .polling import poll
from .requests import Requests, new_key, path_of
from .runs import ComponentKind, Run, RunMessage
from .uploads import AnyFile, body_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class HasRunId(Protocol):
    """What names a run: a run, a row of a list, an approval, an event."""

    @property
    def run_id(self) -> str:
        """The run's id."""


RunRef: TypeAlias = str | HasRunId
"""A run, or its id."""


class StartOptions(TypedDict, total=False):
    """What a run may be started with. Fields without a description are described at ``/docs`` of a server.

    :param files: paths, or contents with names.
    :param arguments: of a workflow that is a function with parameters of its own.
    :param idempotency_key: start the run once, also if this call is made again, by another process too. Without one,
        each call has a key of its own, which its retries share.
    """

    files: Sequence[AnyFile]
    arguments: Mapping[str, Any]
    idempotency_key: str
    session_id: str
    user_id: str
    run_id: str
    session_state: Mapping[str, Any]
    dependencies: Mapping[str, Any]
    metadata: Mapping[str, Any]
    knowledge_filters: Any
    output_schema: Mapping[str, Any]
    budget: Mapping[str, float]
    webhook_url: str
    on_busy: str
    priority: int
    delay_seconds: float
    timeout_seconds: float
    num_history_runs: int
    add_history_to_context: bool
    additional_data: Mapping[str, Any]


def id_of(run: RunRef) -> str:
    """The id of a run."""
    return run if isinstance(run, str) else run.run_id


class RunCalls(Resource[D]):
    """The calls on runs, which the client itself has."""

    @call
    def start(
        self,
        component: str,
        message: str | Mapping[str, Any],
        *,
        kind: ComponentKind = "team",
        **options: Unpack[StartOptions],
    ) -> Flow[Run]:
        """Start a run in the background. The server has stored it when this returns.

        :param component: the id of the team, agent or workflow.
        :param options: :class:`StartOptions`.
        """
        run = yield from _start(self._requests, component, message, kind, options)
        return run

    @call
    def run(
        self,
        component: str,
        message: str | Mapping[str, Any],
        *,
        kind: ComponentKind = "team",
        wait_seconds: float | None = None,
        through_pauses: bool = False,
        **options: Unpack[StartOptions],
    ) -> Flow[Run]:
        """Start a run and wait for it: :meth:`start` and :meth:`wait`."""
        run = yield from _start(self._requests, component, message, kind, options)
        run = yield from _wait(self._requests, run.run_id, wait_seconds, through_pauses=through_pauses)
        return run

    @call
    def wait(self, run: RunRef, *, wait_seconds: float | None = None, through_pauses: bool = False) -> Flow[Run]:
        """Wait until a run has finished, or pauses for a person. Restarts of the server do not matter.

        :param wait_seconds: the longest wait; by default as long as the run takes.
        :param through_pauses: wait on while it has paused, because somebody else decides.
        :raises StillRunning: it had not finished after that time.
        :raises RunPaused: it had paused then, and was waited for through pauses.
        """
        run = yield from _wait(self._requests, id_of(run), wait_seconds, through_pauses=through_pauses)
        return run

    @stream_call
    def stream(self, run: RunRef, *, after: int = -1, through_pauses: bool = False) -> StreamFlow[Event]:
        """The events of a run and its members, from the first one on, until it finishes or pauses.

        If the connection breaks or the server restarts, the stream goes on where it was: each event comes once, and in
        order.

        :param after: only events after this index.
        :param through_pauses: continue while it has paused, because somebody else decides.
        """
        yield from run_events(self._requests, id_of(run), after, through_pauses=through_pauses)

    @call
    def cancel(self, run: RunRef) -> Flow[Run]:
        """Cancel a run with its members, or a member's run alone. Returns when it has stopped, or after a while."""
        raw = yield from self._requests.json("POST", path_of("runs", id_of(run), "cancel"), headers=new_key())
        return Run.of(raw)

    @call
    def decide(self, run: RunRef, *decisions: Decision) -> Flow[Run]:
        """Decide about what a paused run waits for. It goes on after the first decision, and pauses for the others.

        Calls of tools with ``approval="required"`` are decided in the inbox, which needs the scope ``approvals:write``.

        :param decisions: made by the methods of its requirements, such as ``run.requirements[0].approve()``.
        """
        if not decisions:
            raise ValueError("give at least one decision, such as run.requirements[0].approve()")
        # A request each. If this process ends in between, the run goes on with the decisions that are stored.
        for decision in decisions:
            if decision.is_for_inbox:
                yield from resolve_as_decided(self._requests, decision)
        if others := [decision for decision in decisions if not decision.is_for_inbox]:
            decided = yield from _continue(self._requests, run, decision_lists(others))
        else:
            decided = yield from read_run(self._requests, id_of(run))
        return decided

    @call
    def continue_(self, run: RunRef, *, budget: Mapping[str, float] | None = None) -> Flow[Run]:
        """Start a new run that continues a failed one where it stopped. What was done is not repeated.

        :param budget: of the new run.
        """
        new = yield from _continue(self._requests, run, {"budget": budget})
        return new

    @call
    def fork(self, run: RunRef, from_step: str) -> Flow[Run]:
        """Start a new run that takes over a finished one up to a step, and goes on from there.

        :param from_step: the path of the step, as ``runs.steps`` lists it.
        """
        new = yield from _continue(self._requests, run, {"from_step": from_step})
        return new

    @call
    def rerun(self, run: RunRef) -> Flow[Run]:
        """Start a new run in the same session, with the same message, files and options."""
        raw = yield from self._requests.json("POST", path_of("runs", id_of(run), "rerun"), headers=new_key())
        return Run.of(raw)

    @call
    def steer(self, run: RunRef, message: str, *, member_run_id: str | None = None) -> Flow[RunMessage]:
        """Send a message to a running run. Its next model call reads it.

        :param member_run_id: the run of the member that is to read it, in place of the leader.
        """
        body = {"message": message, "member_run_id": member_run_id}
        raw = yield from self._requests.json(
            "POST", path_of("runs", id_of(run), "messages"), headers=new_key(), json=body
        )
        return RunMessage.of(raw)

    @call
    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        json: Any = None,
    ) -> Flow[Any]:
        """Call any other operation of the server, as ``/docs`` lists them. Returns its JSON; None if it has none.

        It waits for the answer as long as it takes, such as that of a run with ``stream=false``.

        A ``POST`` or ``PATCH`` is retried only if the server has surely done nothing.

        :param path: such as ``/webhooks/deliveries``; identifiers in it are percent-encoded.
        :param query: parameters; those that are None are left out.
        """
        options: dict[str, Any] = {"server_seconds": math.inf, **({} if json is None else {"json": json})}
        is_repeatable = method.upper() not in ("POST", "PATCH")
        answer = yield from self._requests.answer(method, path, query=query, is_repeatable=is_repeatable, **options)
        return answer.json() if answer.content else None


def read_run(requests: Requests, run_id: str, wait_seconds: float = 0, deadline: float = math.inf) -> Flow[Run]:
    """Read a run.

    :param wait_seconds: how long the server waits for its end.
    :param deadline: when a call that fails is not retried.
    """
    query = {"wait": round(wait_seconds, 3)} if wait_seconds else None
    options: dict[str, Any] = {"query": query, "server_seconds": wait_seconds, "deadline": deadline}
    raw = yield from requests.json("GET", path_of("runs", run_id), **options)
    return Run.of(raw)


def _wait(requests: Requests, run_id: str, wait_seconds: float | None, *, through_pauses: bool = False) -> Flow[Run]:
    def read(seconds: float, deadline: float) -> Flow[Run]:
        return read_run(requests, run_id, seconds, deadline)

    def is_over(run: Run) -> bool:
        return run.is_final if through_pauses else run.is_settled

    run = yield from poll(read, is_over, wait_seconds)
    return run if is_over(run) else run.require_completed()


def _start(
    requests: Requests,
    component: str,
    message: str | Mapping[str, Any],
    kind: ComponentKind,
    options: StartOptions,
) -> Flow[Run]:
    fields: dict[str, Any] = {"message": message if isinstance(message, str) else json.dumps(message), **options}
    files, key = fields.pop("files", ()), fields.pop("idempotency_key", None)
    arguments = fields.pop("arguments", {})
    fields = {**fields, **arguments, "background": True, "stream": False}
    path = path_of(f"{kind}s", component, "runs")
    # The key is made before the first try: a try whose answer was lost and the next one start the same run.
    raw = yield from requests.json("POST", path, headers=new_key(key), **body_of(fields, "files", files))
    return replace(Run.of(raw), component_kind=kind, component_id=component)


def _continue(requests: Requests, run: RunRef, fields: Mapping[str, Any]) -> Flow[Run]:
    body = {"background": True, "stream": False, **fields}
    raw = yield from requests.json("POST", path_of("runs", id_of(run), "continue"), headers=new_key(), json=body)
    return Run.of(raw)
