"""The operations on service accounts."""

from starlette.requests import Request
from starlette.responses import Response

from musterd.http.json_bodies import read_json
from musterd.http.paths import path_identifier
from musterd.http.request_caller import caller_of
from musterd.http.responses import json_answer
from musterd.http.server import Server
from musterd.service.service_accounts import WantedAccount
from musterd.wire import service_accounts as wire_accounts


class ServiceAccountOperations:
    """List, make, revoke."""

    def __init__(self, server: Server) -> None:
        self._accounts = server.service_accounts
        self._settings = server.settings

    async def list(self, request: Request) -> Response:
        """A page of accounts."""
        wanted = wire_accounts.parse_accounts_query(request.query_params)
        found, total = await self._accounts.search(wanted)
        return json_answer(wire_accounts.account_page(found, total, wanted))

    async def create(self, request: Request) -> Response:
        """Make an account; its token is in this answer and nowhere else."""
        asked = wire_accounts.parse_account(await read_json(request, self._settings))
        wanted = WantedAccount(name=asked.name, scopes=asked.scopes, days=asked.days)
        issued = await self._accounts.create(wanted, caller_of(request).user_id)
        return json_answer({**wire_accounts.account_object(issued.account), "token": issued.token}, 201)

    async def revoke(self, request: Request) -> Response:
        """Revoke an account."""
        await self._accounts.revoke(path_identifier(request, "service_account_id"), caller_of(request).user_id)
        return Response(status_code=204)
