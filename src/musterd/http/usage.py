"""The operations on daily figures."""

from starlette.requests import Request
from starlette.responses import Response

from musterd.http.databases import require_database
from musterd.http.request_caller import caller_of
from musterd.http.responses import json_answer
from musterd.http.server import Server
from musterd.wire import usage as wire
from musterd.wire.times import iso_seconds


class DailyOperations:
    """Read, count anew."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def list(self, request: Request) -> Response:
        """The figures of each day."""
        require_database(request)
        first, last = wire.parse_days(request.query_params)
        return json_answer(wire.days_object(await self._server.daily.days(first, last, caller_of(request))))

    async def refresh(self, request: Request) -> Response:
        """Count every day anew that is not kept yet."""
        require_database(request)
        if wire.parse_background(request.query_params):
            self._server.require_ready()
            status = "started" if self._server.daily.refresh_in_background() else "already_running"
            return json_answer({"status": status, "message": "The days are counted in the background"}, 202)
        found = await self._server.daily.refresh(caller_of(request))
        return json_answer([wire.day_object(day) for day in found])

    async def status(self, request: Request) -> Response:
        """What became of the last counting in the background."""
        require_database(request)
        state = self._server.daily.state
        times = {
            name: None if (at := getattr(state, name)) is None else iso_seconds(at)
            for name in ("started_at", "finished_at")
        }
        return json_answer({"status": state.status, **times, "error": state.error})
