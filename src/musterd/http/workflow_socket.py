"""The WebSocket of workflows: a client starts runs on it, reads their events, and comes back to them.

Frames are those of AgentOS: the events of a run that was started here are SSE text, one event in a frame; those after a
``reconnect`` are JSON. All of them come from the same subscriptions as other streams, so that any process can go on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from typing import Any

import structlog
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from musterd.core import clock, jsontext
from musterd.core.callers import Caller
from musterd.core.errors import (
    Forbidden,
    InvalidInput,
    NotFound,
    RequestError,
    StoreUnavailable,
    TooManyRequests,
    Unauthenticated,
)
from musterd.core.jsontypes import JsonObject
from musterd.core.threads import in_thread
from musterd.http.auth.middleware import SocketAccess
from musterd.http.auth.principals import Principal
from musterd.http.events import MAX_INDEX, resumed_source
from musterd.http.paths import SOCKET_PATH
from musterd.http.run_requests import StartWorkflowForm
from musterd.http.run_stream import RunSource, accepted_with_subscription, source_of
from musterd.http.server import Server
from musterd.http.socket_protocol import SIGNED_IN
from musterd.http.sse import RETRY_SECONDS, close_reading
from musterd.http.write_limit import was_dropped
from musterd.service.chosen_run_ids import ChosenRunIds
from musterd.service.run_ref import RunRef
from musterd.wire import sse

log = structlog.get_logger("musterd.http")

MAX_RUNS = 16
"""How many runs one socket may read at the same time."""
SHORT_CHARACTERS = 16 * 1024
"""Longer messages are parsed in a thread, and only those of clients that have signed in."""
MAX_UNAUTHENTICATED = 16
"""How many messages a client may send before it has signed in."""
ABNORMAL_CLOSURE = 1006
"""The close code of a connection that was lost (RFC 6455, section 7.1.5)."""
UNAUTHENTICATED = 1008
"""The close code if the client's token is no longer valid."""


def socket_route(server: Server) -> WebSocketRoute:
    """The route of the WebSocket."""

    async def serve(websocket: WebSocket) -> None:
        await WorkflowSocket(server, websocket).serve()

    return WebSocketRoute(SOCKET_PATH, serve)


class WorkflowSocket:
    """One connection."""

    def __init__(self, server: Server, websocket: WebSocket) -> None:
        self._server = server
        self._websocket = websocket
        self._access: SocketAccess = websocket.scope["state"]["access"]
        self._principal = self._access.principal
        self._unauthenticated_messages = 0
        self._readers: dict[asyncio.Task[None], RunSource] = {}
        self._actions: Mapping[str, Callable[[JsonObject, Principal], Awaitable[None]]] = {
            "start-workflow": self._start,
            "reconnect": self._reconnect,
        }

    def _note_signed_in(self) -> None:
        """Tell the connection, which is closed if its client does not sign in for long."""
        self._websocket.scope["extensions"].get(SIGNED_IN, lambda: None)()

    async def serve(self) -> None:
        """Answer messages until the client goes, or its token is no longer valid.

        Its runs go on; only their readers end.
        """
        await self._websocket.accept()
        requires_auth = self._principal is None
        if not requires_auth:
            self._note_signed_in()
        await self._send({"event": "connected", "message": "Connected to musterd.", "requires_auth": requires_auth})
        try:
            await self._answer_while_open()
        except WebSocketDisconnect:
            pass
        except Unauthenticated as error:
            log.info("socket closed: its client is not signed in", reason=error.message)
            if self._is_open:
                await self._websocket.close(UNAUTHENTICATED, error.message)

    async def _answer_while_open(self) -> None:
        """Answer messages, and hold the validity of the token that the socket is signed in with now.

        Its readers go on with a new token of the same user.

        :raises WebSocketDisconnect: the client has gone.
        :raises Unauthenticated: the token that the socket is signed in with is no longer valid.
        """
        try:
            while True:
                signed_in = self._principal
                async with self._held(signed_in):
                    while self._principal is signed_in:
                        await self._answer(await self._websocket.receive())
                if signed_in is not None and not _is_same_user(signed_in, self._principal):
                    await self._end_readers(is_closed_by_server=True)
        except WebSocketDisconnect:
            await self._end_readers(is_closed_by_server=was_dropped(self._websocket.scope))
            raise
        except BaseException:
            await self._end_readers(is_closed_by_server=True)
            raise

    async def _end_readers(self, *, is_closed_by_server: bool) -> None:
        """End the readers of runs.

        :param is_closed_by_server: the client has not gone away, so no run is cancelled for that.
        """
        for reader, source in self._readers.items():
            if is_closed_by_server:
                source.reading.close_by_server()
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    def _held(self, principal: Principal | None) -> AbstractAsyncContextManager[None]:
        return nullcontext() if principal is None else self._access.validity_of(principal).held()

    # --- messages -----------------------------------------------------------------------------------

    async def _answer(self, received: Mapping[str, Any]) -> None:
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(received.get("code") or 1005)
        text = received.get("text") or ""
        if self._principal is None:
            self._require_modest(text)
        is_short = len(text) <= SHORT_CHARACTERS
        message = _parsed(text) if is_short else None
        if (token := _token(message)) is not None:
            await self._authenticate(token)
            return
        try:
            self._access.admit(self._principal)
        except TooManyRequests as error:
            await self._send_error(error.message)
        else:
            await self._answer_admitted(message if is_short else await in_thread(_parsed, text))

    def _require_modest(self, text: str) -> None:
        """Limit the messages of a client that has not signed in.

        :raises Unauthenticated: it sends too much.
        """
        self._unauthenticated_messages += 1
        if len(text) > SHORT_CHARACTERS or self._unauthenticated_messages > MAX_UNAUTHENTICATED:
            raise Unauthenticated("Authenticate first: send a token")

    async def _answer_admitted(self, message: JsonObject | None) -> None:
        if message is None:
            await self._send_error("A message is a JSON object.")
            return
        action = message.get("action")
        if action == "ping":
            await self._send({"event": "pong"})
        elif action == "authenticate":
            await self._send({"event": "auth_error", "error": "Token is required"})
        elif self._principal is None:
            await self._send({"event": "auth_required", "error": "Authenticate first: send a token"})
        elif isinstance(action, str) and action in self._actions:
            await self._act(self._actions[action], message, self._principal)
        else:
            await self._send_error(f"Unknown action: {str(action)[:100]}")

    async def _authenticate(self, token: str) -> None:
        """Authenticate, which counts as a request of its caller, or as a failure."""
        try:
            # As a header would have it, in which bytes are read as Latin-1.
            self._principal = await self._access.sign_in(token.encode("utf-8", "replace").decode("latin-1"))
        except RequestError as error:
            await self._send({"event": "auth_error", "error": error.message, "error_type": error.code})
            return
        self._note_signed_in()
        answer: JsonObject = {
            "event": "authenticated",
            "message": "Authentication successful. You can now send commands.",
        }
        if (user_id := self._principal.caller.user_id) is not None:
            answer["user_id"] = user_id
        await self._send(answer)

    async def _act(
        self, action: Callable[[JsonObject, Principal], Awaitable[None]], message: JsonObject, principal: Principal
    ) -> None:
        try:
            await action(message, principal)
        except RequestError as error:
            await self._send_error(error.message)
        except (WebSocketDisconnect, asyncio.CancelledError):
            raise
        except Exception as error:  # as the middleware of requests does: one message must not end the others
            log.exception("a message of a socket failed", exc_info=error)
            await self._send_error("Internal server error")

    async def _start(self, message: JsonObject, principal: Principal) -> None:
        workflow_id = message.get("workflow_id")
        if not isinstance(workflow_id, str) or not workflow_id:
            await self._send_error("workflow_id is required")
            return
        component = self._server.registry.workflows.get(workflow_id)
        if component is None:
            await self._send_error(f"Workflow {workflow_id[:255]} not found")
            return
        if not principal.scopes.allows("workflows:run", workflow_id):
            await self._send_error(Forbidden().message)
            return
        self._require_room()
        self._server.require_ready()
        fields = {name: value for name, value in message.items() if name not in ("action", "workflow_id")}
        form = StartWorkflowForm.of({**fields, "background": True})
        request = form.run_request(None, principal.caller)
        accepting = self._server.runs.start(component, request, principal.caller)
        accepted, subscription = await accepted_with_subscription(self._server, request.run_id, accepting)
        source = source_of(self._server, subscription, accepted.run, shows_all=form.streams_all_events)
        self._read(source, lambda frame: frame.decode())

    async def _reconnect(self, message: JsonObject, principal: Principal) -> None:
        run_id, after, session_id = (message.get(name) for name in ("run_id", "last_event_index", "session_id"))
        if not isinstance(run_id, str) or not run_id:
            await self._send_error("run_id is required for subscription")
            return
        after = -1 if after is None else after
        if not isinstance(after, int) or isinstance(after, bool) or not -1 <= after <= MAX_INDEX:
            raise InvalidInput("last_event_index is the event_index of an event, or -1")
        self._require_room()
        try:
            ref = await self._run_ref(run_id, session_id if isinstance(session_id, str) else None, principal)
            source = await resumed_source(self._server, ref, after)
        except NotFound:
            await self._send_error(f"Run {run_id[:255]} not found")
            return
        self._read(source, lambda frame: sse.json_of(frame).decode())

    async def _run_ref(self, run_id: str, session_id: str | None, principal: Principal) -> RunRef:
        """The run of a workflow that the caller may read.

        :raises NotFound: there is none.
        """
        caller: Caller = principal.caller
        run_id = await ChosenRunIds(self._server.database).run_id(run_id, caller)
        run = await self._server.runs.locate(run_id, caller)
        workflow = self._server.registry.workflows.get(run.component_id)
        may_read = any(principal.scopes.allows(f"workflows:{action}", run.component_id) for action in ("run", "read"))
        if run.component_kind != "workflow" or workflow is None or not may_read:
            raise NotFound("Run not found")
        return RunRef(workflow, run_id, session_id or None, caller)

    def _require_room(self) -> None:
        if len(self._readers) >= MAX_RUNS:
            raise InvalidInput(f"A socket reads at most {MAX_RUNS} runs at the same time")

    # --- events -------------------------------------------------------------------------------------

    def _read(self, source: RunSource, in_frame: Callable[[bytes], str]) -> None:
        """Send the events of a run, beside the answers to further messages.

        :param in_frame: an event as it is sent, from its SSE text.
        """
        reader = asyncio.get_running_loop().create_task(self._send_events(source, in_frame))
        self._readers[reader] = source
        reader.add_done_callback(self._readers.pop)

    async def _send_events(self, source: RunSource, in_frame: Callable[[bytes], str]) -> None:
        reading = source.reading
        source.begin()
        try:
            await self._send_while_open(source, in_frame)
        except WebSocketDisconnect:
            pass
        except Exception as error:  # as in _act
            log.exception("a reader of a socket failed", exc_info=error, **source.about)
            reading.close_by_server()
            with suppress(WebSocketDisconnect):
                await self._send_error("Internal server error")
        finally:
            close_reading(reading, self._websocket.scope)
            source.end()

    async def _send_while_open(self, source: RunSource, in_frame: Callable[[bytes], str]) -> None:
        while True:
            has_all = await self._send_available(source, in_frame)
            if source.reading.is_closed or (has_all and source.is_over):
                return
            if not has_all:
                await clock.sleep(RETRY_SECONDS)
            elif not await source.reading.wait(self._server.settings.ping_seconds):
                await source.close_if_gone()

    async def _send_available(self, source: RunSource, in_frame: Callable[[bytes], str]) -> bool:
        """Send what can be sent now. False if there may be more but the database is unavailable."""
        try:
            async for body in source.available():
                for frame in body.split(b"\n\n")[:-1]:
                    await self._send_text(in_frame(frame + b"\n\n"))
        except StoreUnavailable:
            return False
        return True

    async def _send(self, message: JsonObject) -> None:
        await self._send_text(jsontext.dumps(message))

    async def _send_text(self, text: str) -> None:
        """Send a text.

        :raises WebSocketDisconnect: the connection is lost, which another sender may have noticed first.
        """
        if not self._is_open:
            raise WebSocketDisconnect(ABNORMAL_CLOSURE)
        await self._websocket.send_text(text)

    @property
    def _is_open(self) -> bool:
        return self._websocket.application_state is not WebSocketState.DISCONNECTED

    async def _send_error(self, error: str) -> None:
        await self._send({"event": "error", "error": error})


def _is_same_user(before: Principal, now: Principal | None) -> bool:
    return now is not None and (now.caller.user_id, now.account_id) == (before.caller.user_id, before.account_id)


def _token(message: JsonObject | None) -> str | None:
    """The token that a message authenticates with; None if it does not."""
    if message is None or message.get("action") != "authenticate":
        return None
    token = message.get("token")
    return token if isinstance(token, str) and token else None


def _parsed(text: str) -> JsonObject | None:
    """The message of a client; None if it is not a JSON object."""
    try:
        message = jsontext.loads(text)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None
