"""Streams of events: what is stored, then what comes, until the run's end event."""

import asyncio
from collections.abc import Mapping

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from musterd.core import clock
from musterd.core.events import END_EVENTS, Event
from musterd.core.records import RunRow
from musterd.engine.hub import Flush
from musterd.http.server import Server
from musterd.service.reading import Reading
from musterd.wire import sse
from musterd.wire.events import EventRenderer, RunIdentity, is_content_only, member_ids

log = structlog.get_logger("musterd.http")


class EventStream(Response):
    """Streams one run to one reader.

    :param reading: made before the run was accepted, so that it misses nothing; closed here.
    :param is_new: whether the run was accepted by this request: then nothing is stored that is not live too.
    :param shows_all: whether all events are shown, or only text, members' events and the end.
    """

    media_type = sse.MEDIA_TYPE

    def __init__(self, server: Server, reading: Reading, root: RunRow, *, is_new: bool, shows_all: bool) -> None:
        super().__init__(headers={**sse.HEADERS, "Content-Type": sse.MEDIA_TYPE})
        del self.headers["content-length"]
        self._server = server
        self._reading = reading
        self._root = root
        self._is_new = is_new
        self._shows_all = shows_all
        self._renderer = EventRenderer(root.session_id, {root.run_id: RunIdentity.of(root)})
        self._frames = sse.EventFrames(self._renderer)
        self._is_over = False
        self._sent_at = clock.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the run ends, the client goes, or the process stops."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        presence, root_id = self._server.runs.presence, self._root.run_id
        task = asyncio.current_task()
        assert task is not None
        self._reading.on_dropped(task.cancel)
        gone = asyncio.ensure_future(_wait_disconnect(receive))
        gone.add_done_callback(lambda _: self._reading.close())
        presence.enter(root_id)
        try:
            await self._send_all(send, gone)
            if not gone.done():
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except asyncio.CancelledError:
            if not self._reading.is_dropped:
                raise
            log.warning("reader dropped: it did not keep up", run_id=root_id)
        finally:
            gone.cancel()
            self._reading.close()
            presence.leave(root_id, is_over=self._is_over, is_sent_away=self._reading.is_dropped)

    async def _send_all(self, send: Send, gone: "asyncio.Future[None]") -> None:
        if not self._is_new:
            self._renderer.learn(_identities(await self._reading.tree()))
            async for flush in self._reading.stored():
                await self._send_flush(send, flush)
        ping_seconds = self._server.settings.ping_seconds
        while not gone.done():
            async for flush in self._reading.available():
                await self._send_flush(send, flush)
            if self._is_over or self._reading.is_closed:
                return
            quiet_seconds = self._sent_at + ping_seconds - clock.monotonic()
            if quiet_seconds <= 0:  # also where it is sent to the store all the time, and finds nothing there
                await self._send_body(send, sse.PING)
            else:
                await self._reading.wait(quiet_seconds)

    async def _send_flush(self, send: Send, flush: Flush) -> None:
        body = bytearray()
        for offset, event in enumerate(flush.events):
            if self._shows_all or is_content_only(event, self._root.run_id):
                body += await self._frame(event, flush.first_index + offset)
            if event.run_id == self._root.run_id:
                self._is_over = event.kind in END_EVENTS  # a pause is over when the run goes on
        if body:
            await self._send_body(send, bytes(body))

    async def _send_body(self, send: Send, body: bytes) -> None:
        await send({"type": "http.response.body", "body": body, "more_body": True})
        self._sent_at = clock.monotonic()

    async def _frame(self, event: Event, index: int) -> bytes:
        wanted = member_ids(event)
        if not wanted:
            return self._frames.frame(event, index)
        elsewhere = wanted if self._root.forked_from is not None else ()
        found = await self._server.runs.members(self._root.run_id, elsewhere)
        members = {view.row.run_id: view for view in found}
        return self._frames.frame(event, index, [members[run_id] for run_id in wanted if run_id in members])


def _identities(rows: list[RunRow]) -> Mapping[str, RunIdentity]:
    return {row.run_id: RunIdentity.of(row) for row in rows}


async def _wait_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
