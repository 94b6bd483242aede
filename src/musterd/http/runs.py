"""The operations on runs, the same for teams and agents."""

import hashlib
from collections.abc import Coroutine
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from musterd.core import clock, jsontext
from musterd.core.callers import Caller
from musterd.core.errors import InvalidInput, Unauthenticated
from musterd.core.ids import require_identifier
from musterd.core.records import ComponentKind, RunRow, RunView
from musterd.declare import Component
from musterd.http.auth.expiry import validity_of
from musterd.http.forms import read_continue, read_message, read_start
from musterd.http.media import matches, media_answer
from musterd.http.paths import path_identifier
from musterd.http.request_bodies import release_body
from musterd.http.request_caller import caller_of
from musterd.http.responses import json_answer
from musterd.http.run_stream import stream_of
from musterd.http.server import Server
from musterd.service.chosen_run_ids import new_run_id
from musterd.service.forks import ForkRequest
from musterd.service.runs import RunRequest
from musterd.service.steering import SentMessage
from musterd.store.acceptance import Accepted
from musterd.store.run_lists import SessionRunsQuery
from musterd.wire import lists
from musterd.wire import runs as wire_runs
from musterd.wire.form import ContinueRequest, StartRequest
from musterd.wire.query import parse_runs_query, parse_session_id, parse_wait
from musterd.wire.runs import AnyRunOutput
from musterd.wire.steering import message_object, stored_message
from musterd.wire.steps import step_object

KEY_HEADER = "idempotency-key"
REPLAYED_HEADER = "Idempotency-Replayed"
POLL_SECONDS = 1
ANSWER_WAIT_SECONDS = 3600.0

Begin = Coroutine[Any, Any, Accepted]
"""What accepts a run."""


class RunOperations:
    """Start, list, look, cancel: for the runs of one kind of component."""

    def __init__(self, server: Server, kind: ComponentKind) -> None:
        self._server = server
        self._kind = kind

    def _component(self, request: Request) -> Component:
        return self._server.component(self._kind, path_identifier(request, f"{self._kind}_id"))

    async def create(self, request: Request) -> Response:
        """Start a run, and answer as the request asks: with its output, its events, or a receipt."""
        server = self._server
        component = self._component(request)
        key = idempotency_key(request)
        start = await read_start(request, server.settings)
        server.require_ready()
        caller = caller_of(request)
        how, shows_all, wanted = start.answer, start.stream_events, _wanted(start, key, caller)
        run_id, begin = wanted.run_id, server.runs.start(component, wanted, caller)
        del start, wanted  # uploads are not held for as long as the answer takes
        if how == "stream":
            return await self._stream(request, run_id, begin, key, shows_all=shows_all)
        return await self._answer(request, component, begin, key, is_receipt=how == "receipt")

    async def _answer(
        self, request: Request, component: Component, begin: Begin, key: str | None, *, is_receipt: bool
    ) -> Response:
        """Begin a run, and answer with a receipt, or with its output once it has ended."""
        accepted = await begin
        release_body(request)
        if is_receipt:
            answer = self._receipt(request, component, accepted.run, tells_state=accepted.is_replay)
        else:
            answer = await self._output(request, component, accepted.run)
        answer.headers.update(replayed(key, accepted.is_replay))
        return answer

    def _receipt(self, request: Request, component: Component, run: RunRow, *, tells_state: bool) -> Response:
        body = wire_runs.settled(run) if tells_state else wire_runs.accepted(run)
        mounted_at = request.scope.get("root_path", "")
        path = f"{quote(mounted_at)}/{self._kind}s/{quote(component.id, safe='')}/runs/{quote(run.run_id, safe='')}"
        return json_answer(body, 202, {"Location": f"{path}?session_id={quote(run.session_id, safe='')}"})

    async def _output(self, request: Request, component: Component, run: RunRow) -> Response:
        """Wait for the run's end. If the server stops or the token ends first, say where the run can be looked for."""
        runs, caller = self._server.runs, caller_of(request)
        while True:
            try:
                async with validity_of(request).held():
                    view = await runs.settled_view(component, run.run_id, run.session_id, caller, ANSWER_WAIT_SECONDS)
            except Unauthenticated:  # the run was accepted: a refusal would have clients start it again
                return self._receipt(request, component, run, tells_state=False)
            if view.row.state.is_settled:
                return json_answer(await self._rendered(component, view, is_post=True))
            if self._server.is_stopping:
                return self._receipt(request, component, view.row, tells_state=True)

    async def _stream(
        self, request: Request, run_id: str, begin: Begin, key: str | None, *, shows_all: bool = True
    ) -> Response:
        """Begin a run, and answer with its events from the first one on."""
        runs = self._server.runs
        reading = runs.subscribe(run_id)
        try:
            accepted = await begin
            if accepted.is_replay:
                await runs.following.note_subscriber(accepted.run)
        except BaseException:
            reading.close()
            raise
        if accepted.run.run_id != run_id:  # its key was used before
            reading.close()
            reading = runs.subscribe(accepted.run.run_id)
        if accepted.is_replay:
            reading.start_after(accepted.run)
        release_body(request)
        answer = stream_of(self._server, reading, accepted.run, shows_all=shows_all)
        answer.headers.update(replayed(key, accepted.is_replay))
        return answer

    async def get(self, request: Request) -> Response:
        """One run as it stands, or once it has ended where the request waits."""
        component, run_id = self._component(request), path_identifier(request, "run_id")
        session_id = parse_session_id(request.query_params)
        wait = parse_wait(request.query_params, self._server.settings.wait_max_seconds)
        async with validity_of(request).held():
            view = await self._server.runs.settled_view(component, run_id, session_id, caller_of(request), wait)
        headers = {"Cache-Control": "no-cache"}
        if not view.row.state.is_settled:
            view.budget = await self._server.runs.spent(component, view)
            headers["Retry-After"] = str(POLL_SECONDS)
        headers["ETag"] = tag = _tag(view)
        if matches(request.headers.get("if-none-match"), tag):
            return Response(status_code=304, headers=headers)
        return json_answer(await self._rendered(component, view, is_post=False), headers=headers)

    async def _rendered(self, component: Component, view: RunView, *, is_post: bool) -> AnyRunOutput:
        with_members = bool(getattr(component.spec, "store_member_responses", False)) and view.row.state.is_final
        if with_members:
            elsewhere = _members_elsewhere(view)
            members = await self._server.runs.members(view.row.root_id, elsewhere)
            own = (view.row.run_id, view.row.forked_from)
            view.members = [m for m in members if m.row.parent_id in own or m.row.run_id in elsewhere]
        return wire_runs.run_output(view, is_post=is_post, with_members=with_members)

    async def continue_(self, request: Request) -> Response:
        """Take decisions about a paused run, and answer as a start does."""
        server, component = self._server, self._component(request)
        run_id, caller = path_identifier(request, "run_id"), caller_of(request)
        key = idempotency_key(request)
        asked = await read_continue(request, server.settings)
        server.require_ready()
        if not asked.decisions:
            failed = await server.forks.find_failed(component, run_id, asked.session_id, caller, key)
            if failed is not None:
                return await self._fork(request, component, failed, asked, key)
        decided = await server.runs.decide(component, run_id, asked.session_id, asked.decisions, caller, key)
        if asked.answer == "receipt":
            answer = self._receipt(request, component, decided.run, tells_state=True)
        elif asked.answer == "stream":
            subscription = server.runs.subscribe(run_id).start_after(decided.run, decided.after)
            answer = stream_of(server, subscription, decided.run)
        else:
            answer = await self._output(request, component, decided.run)
        answer.headers.update(replayed(key, decided.is_replay))
        return answer

    async def _fork(
        self, request: Request, component: Component, failed: RunView, asked: ContinueRequest, key: str | None
    ) -> Response:
        """Go on from a failed run with a new one, and answer as a start does."""
        wanted = ForkRequest(
            run_id=clock.new_id(),
            is_background=asked.background,
            cancel_on_disconnect=asked.answer == "stream" and key is None,
            budget=asked.budget,
            key=key,
        )
        begin = self._server.forks.start(component, failed, wanted, caller_of(request))
        if asked.answer == "stream":
            return await self._stream(request, wanted.run_id, begin, key)
        return await self._answer(request, component, begin, key, is_receipt=asked.answer == "receipt")

    async def send_message(self, request: Request) -> Response:
        """Give a run at work, or a member of it, a message that its next model call sees."""
        component, run_id = self._component(request), path_identifier(request, "run_id")
        key, asked = idempotency_key(request), await read_message(request, self._server.settings)
        self._server.require_ready()
        said = SentMessage(text=asked.message, session_id=asked.session_id, member_run_id=asked.member_run_id)
        run, sent, is_replay = await self._server.runs.steering.send(component, run_id, said, caller_of(request), key)
        return json_answer(stored_message(sent, run.session_id), 202, replayed(key, is_replay))

    async def messages(self, request: Request) -> Response:
        """The messages to a run and its members, and what became of each."""
        component, run_id = self._component(request), path_identifier(request, "run_id")
        session_id = parse_session_id(request.query_params)
        found = await self._server.runs.steering.messages(component, run_id, session_id, caller_of(request))
        return json_answer([message_object(message) for message in found])

    async def steps(self, request: Request) -> Response:
        """The ledger of a run: what it did, where that stands, what it used."""
        component, run_id = self._component(request), path_identifier(request, "run_id")
        session_id = parse_session_id(request.query_params)
        found = await self._server.runs.steps(component, run_id, session_id, caller_of(request))
        return json_answer([step_object(step) for step in found])

    async def medium(self, request: Request) -> Response:
        """One image, sound, video or file of a run, as it is."""
        component, run_id = self._component(request), path_identifier(request, "run_id")
        session_id, name = parse_session_id(request.query_params), path_identifier(request, "media_id")
        item, content = await self._server.runs.media_item(component, run_id, session_id, caller_of(request), name)
        return media_answer(request, item, content, name)

    async def list(self, request: Request) -> Response:
        """The runs of the component in a session, members' before their parents."""
        component = self._component(request)
        query = parse_runs_query(request.query_params)
        wanted = SessionRunsQuery(
            session_id=query.session_id,
            component=(component.kind, component.id),
            states=query.states,
            before=query.before,
            limit=query.limit,
        )
        views = await self._server.lists.of_component(wanted, caller_of(request))
        return json_answer(lists.team_runs(views) if self._kind == "team" else lists.agent_runs(views))

    async def cancel(self, request: Request) -> Response:
        """Cancel a run; the answer says where it stands then."""
        component, run_id = self._component(request), path_identifier(request, "run_id")
        key = idempotency_key(request)
        stopped = await self._server.runs.cancel(component, run_id, caller_of(request), key)
        return json_answer(wire_runs.cancelled(stopped.view), headers=replayed(key, stopped.is_replay))


def _tag(view: RunView) -> str:
    """What changes whenever the run does: its version counts changes of its state, but not what goes on meanwhile."""
    meanwhile = [view.queue_position, view.row.first_token_at is not None, view.budget]
    hashed = hashlib.blake2b(jsontext.canonical(meanwhile).encode(), digest_size=8)
    return f'"{view.row.version}-{hashed.hexdigest()}"'


def _members_elsewhere(view: RunView) -> "list[str]":
    """The members' runs that a run took over from the failed one that it goes on from."""
    if view.row.forked_from is None or view.output is None:
        return []
    return [call.child_run_id for call in view.output.tools if call.child_run_id is not None]


def idempotency_key(request: Request) -> str | None:
    """The request's key, if it has one.

    :raises InvalidInput: it is none: empty, too long, or given more than once.
    """
    given = request.headers.getlist(KEY_HEADER)
    if not given:
        return None
    where = ("header", KEY_HEADER)
    if len(given) > 1:
        raise InvalidInput.at(where, "string_identifier", "The header should be given once")
    return require_identifier(given[0], where)


def replayed(key: str | None, is_replay: bool) -> dict[str, str]:
    """The header of an answer to a request that was here before."""
    return {REPLAYED_HEADER: "true"} if key is not None and is_replay else {}


def _wanted(start: StartRequest, key: str | None, caller: Caller) -> RunRequest:
    run_id = new_run_id(start.run_id, caller)
    return RunRequest(
        input=start.as_input(),
        run_id=run_id,
        has_chosen_id=start.run_id is not None,
        name=None if start.run_id == run_id else start.run_id,
        session_id=start.session_id,
        user_id=start.user_id,
        is_background=start.background,
        cancel_on_disconnect=start.answer == "stream" and not start.background and key is None,
        turn=start.turn,
        key=key,
    )
