"""The operations on memories of users."""

from starlette.requests import Request
from starlette.responses import Response

from musterd.http.databases import require_database
from musterd.http.json_bodies import read_json
from musterd.http.paths import path_identifier
from musterd.http.request_caller import caller_of
from musterd.http.responses import json_answer
from musterd.http.server import Server
from musterd.wire import memories as wire
from musterd.wire.pages import page_object
from musterd.wire.query import parse_page, parse_text


class MemoryOperations:
    """Write, list, look, change, forget, put together."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def create(self, request: Request) -> Response:
        """Remember something of a user."""
        require_database(request)
        said = wire.parse_memory_text(await read_json(request, self._server.settings))
        found = await self._server.memories.add(said.memory, said.topics, said.user_id, caller_of(request))
        return json_answer(wire.memory_object(found))

    async def list(self, request: Request) -> Response:
        """A page of memories."""
        require_database(request)
        given = request.query_params
        wanted = wire.parse_memories_query({**given, "topics": ",".join(given.getlist("topics"))})
        found, total = await self._server.memories.search(wanted, caller_of(request))
        data = [wire.memory_object(one) for one in found]
        return json_answer(page_object(data, total, page=wanted.page, limit=wanted.limit))

    async def get(self, request: Request) -> Response:
        """One memory."""
        require_database(request)
        memory_id, user_id = path_identifier(request, "memory_id"), parse_text(request.query_params, "user_id")
        return json_answer(wire.memory_object(await self._server.memories.view(memory_id, user_id, caller_of(request))))

    async def update(self, request: Request) -> Response:
        """Replace a memory's text and topics."""
        require_database(request)
        memory_id = path_identifier(request, "memory_id")
        said = wire.parse_memory_text(await read_json(request, self._server.settings))
        changed = await self._server.memories.change(
            memory_id, said.memory, said.topics, said.user_id, caller_of(request)
        )
        return json_answer(wire.memory_object(changed))

    async def delete(self, request: Request) -> Response:
        """Forget a memory."""
        require_database(request)
        memory_id, user_id = path_identifier(request, "memory_id"), parse_text(request.query_params, "user_id")
        await self._server.memories.forget(memory_id, user_id, caller_of(request))
        return Response(status_code=204)

    async def delete_many(self, request: Request) -> Response:
        """Forget memories by their ids."""
        require_database(request)
        ids, user_id = wire.parse_deletion(await read_json(request, self._server.settings))
        await self._server.memories.forget_many(ids, user_id, caller_of(request))
        return Response(status_code=204)

    async def topics(self, request: Request) -> Response:
        """Every topic, once."""
        require_database(request)
        user_id = parse_text(request.query_params, "user_id")
        return json_answer(await self._server.memories.topics(user_id, caller_of(request)))

    async def stats(self, request: Request) -> Response:
        """How much is remembered of each user."""
        require_database(request)
        user_id, (limit, page) = parse_text(request.query_params, "user_id"), parse_page(request.query_params)
        found, total = await self._server.memories.stats(user_id, caller_of(request), limit=limit, page=page)
        return json_answer(page_object([wire.stats_object(one) for one in found], total, page=page, limit=limit))

    async def optimize(self, request: Request) -> Response:
        """Have a model put a user's memories into one."""
        require_database(request)
        caller = caller_of(request)
        asked = wire.parse_optimize(await read_json(request, self._server.settings), caller.sees_only)
        self._server.require_ready()
        found = await self._server.memories.optimize(asked.user_id, asked.model, asked.applies, caller)
        return json_answer(wire.optimized_object(found))
