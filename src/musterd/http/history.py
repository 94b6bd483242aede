"""The operations on what has been said: checkpoints of a run, a new session that begins with an old one's runs."""

from starlette.requests import Request
from starlette.responses import Response

from musterd.core.errors import InvalidInput
from musterd.core.records import ComponentKind, RunView
from musterd.http.paths import path_identifier
from musterd.http.request_caller import caller_of
from musterd.http.responses import json_answer
from musterd.http.runs import idempotency_key, replayed
from musterd.http.server import Server
from musterd.wire.checkpoints import ForkedSession, checkpoint_list, checkpoint_snapshot
from musterd.wire.query import parse_session_id, parse_user_id

INDEX_DIGITS = 9


class HistoryOperations:
    """Look back, and fork: for one kind of component."""

    def __init__(self, server: Server, kind: ComponentKind) -> None:
        self._server = server
        self._kind = kind

    async def checkpoints(self, request: Request) -> Response:
        """Where the conversation of a run can be cut."""
        return json_answer(checkpoint_list(await self._run(request)))

    async def checkpoint(self, request: Request) -> Response:
        """The run as it was at a checkpoint."""
        text = request.path_params["message_index"]
        if not (text.isascii() and text.isdigit() and len(text) <= INDEX_DIGITS):
            raise InvalidInput.at(("path", "message_index"), "int_parsing", "Input should be a valid integer")
        return json_answer(checkpoint_snapshot(await self._run(request), int(text)))

    async def _run(self, request: Request) -> RunView:
        component = self._server.component(self._kind, path_identifier(request, f"{self._kind}_id"))
        run_id, session_id = path_identifier(request, "run_id"), parse_session_id(request.query_params)
        return await self._server.history.view(component, run_id, session_id, caller_of(request))

    async def fork(self, request: Request) -> Response:
        """Make a session that begins with the runs that have ended in another one."""
        component = self._server.component(self._kind, path_identifier(request, f"{self._kind}_id"))
        session_id, user_id = path_identifier(request, "session_id"), parse_user_id(request.query_params)
        key, caller = idempotency_key(request), caller_of(request)
        forked, is_replay = await self._server.sessions.fork(component, session_id, caller, user_id=user_id, key=key)
        body: ForkedSession = {"session_id": forked, "forked_from_session_id": session_id}
        return json_answer(body, headers=replayed(key, is_replay))
