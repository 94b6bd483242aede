"""The operations on approvals."""

from starlette.requests import Request
from starlette.responses import Response

from musterd.core.approvals import ApprovalFilter
from musterd.http.json_bodies import read_json
from musterd.http.paths import path_identifier
from musterd.http.request_caller import caller_of
from musterd.http.responses import json_answer
from musterd.http.server import Server
from musterd.wire import approvals as wire_approvals
from musterd.wire.query import parse_text


class ApprovalOperations:
    """List, count, look, resolve, delete."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def list(self, request: Request) -> Response:
        """A page of approvals, newest first."""
        wanted = wire_approvals.parse_approvals_query(request.query_params)
        if wanted is None:
            return json_answer(wire_approvals.approval_page([], 0, ApprovalFilter()))
        found, total = await self._server.approvals.search(wanted, caller_of(request))
        return json_answer(wire_approvals.approval_page(found, total, wanted))

    async def count(self, request: Request) -> Response:
        """How many approvals are pending."""
        wanted = ApprovalFilter(status="pending", user_id=parse_text(request.query_params, "user_id"))
        return json_answer({"count": await self._server.approvals.count(wanted, caller_of(request))})

    async def get(self, request: Request) -> Response:
        """One approval."""
        found = await self._server.approvals.view(path_identifier(request, "approval_id"), caller_of(request))
        return json_answer(wire_approvals.approval_object(found))

    async def status(self, request: Request) -> Response:
        """Where an approval stands."""
        found = await self._server.approvals.view(path_identifier(request, "approval_id"), caller_of(request))
        return json_answer(wire_approvals.approval_status(found))

    async def resolve(self, request: Request) -> Response:
        """Decide; a paused run goes on."""
        approval_id = path_identifier(request, "approval_id")
        said = wire_approvals.parse_resolution(await read_json(request, self._server.settings))
        self._server.require_ready()
        found = await self._server.approvals.resolve(approval_id, said, caller_of(request))
        return json_answer(wire_approvals.approval_object(found))

    async def delete(self, request: Request) -> Response:
        """Remove the record of an approval whose run has ended."""
        await self._server.approvals.delete(path_identifier(request, "approval_id"), caller_of(request))
        return Response(status_code=204)
