"""Memories: what runs keep about users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from .flows import D, Flow, Resource, StreamFlow, call, stream_call
from .paging import Page, PagedList
from .requests import path_of
from .wire_record import WireRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory(WireRecord):
    """Something that is remembered of a user.

    :param source_run_id: the run that wrote it, if one did.
    :param updated_at: ISO 8601.
    """

    memory_id: str
    memory: str
    topics: list[str] | None
    user_id: str | None
    agent_id: str | None
    team_id: str | None
    source_run_id: str | None
    updated_at: str | None
    created_at: str


class MemoryFilters(TypedDict, total=False):
    """Which memories are listed.

    :param topics: those that have all of these.
    :param text: those that contain this.
    """

    user_id: str | None
    agent_id: str | None
    team_id: str | None
    topics: Sequence[str] | None
    text: str | None


_LIST = PagedList("/memories", Memory, "memory_id")


class Memories(Resource[D]):
    """The memories of users."""

    @call
    def list(self, *, limit: int = 20, page: int = 1, **filters: Unpack[MemoryFilters]) -> Flow[Page[Memory]]:
        """List memories, newest first.

        :param filters: :class:`MemoryFilters`.
        """
        memories = yield from _LIST.page(self._requests, _query(filters), limit, page)
        return memories

    @stream_call
    def all(self, **filters: Unpack[MemoryFilters]) -> StreamFlow[Memory]:
        """All memories, newest first, each once.

        :param filters: :class:`MemoryFilters`.
        """
        yield from _LIST.all(self._requests, _query(filters))

    @call
    def get(self, memory_id: str) -> Flow[Memory]:
        """Get one memory."""
        raw = yield from self._requests.json("GET", path_of("memories", memory_id))
        return Memory.of(raw)

    @call
    def create(self, memory: str, *, user_id: str | None = None, topics: Sequence[str] | None = None) -> Flow[Memory]:
        """Store a memory of a user. If there is one with this text, it gets the topics in addition to its own.

        :param user_id: with a token, its user.
        """
        body = _body(memory, user_id, topics)
        # Repeatable, because a user has each text once.
        raw = yield from self._requests.json("POST", "/memories", json=body)
        return Memory.of(raw)

    @call
    def update(self, memory_id: str, memory: str, *, topics: Sequence[str] | None = None) -> Flow[Memory]:
        """Replace the text and the topics of a memory."""
        body = _body(memory, None, topics)
        raw = yield from self._requests.json("PATCH", path_of("memories", memory_id), json=body)
        return Memory.of(raw)

    @call
    def delete(self, memory_id: str) -> Flow[None]:
        """Delete one memory. An id that does not exist is ignored."""
        yield from self._requests.answer("DELETE", "/memories", json={"memory_ids": [memory_id]})

    @call
    def delete_all(self, user_id: str) -> Flow[int]:
        """Delete all memories of a user. Returns how many there were."""
        raw = yield from self._requests.json("DELETE", path_of("users", user_id, "memories"))
        count: int = raw["deleted"]
        return count


def _query(filters: MemoryFilters) -> dict[str, Any]:
    # By the time of their creation, which does not change while pages are read.
    query: dict[str, Any] = {"sort_by": "created_at", **filters}
    query["search_content"] = query.pop("text", None)
    return query


def _body(memory: str, user_id: str | None, topics: Sequence[str] | None) -> Mapping[str, Any]:
    return {"memory": memory, "user_id": user_id, "topics": None if topics is None else [*topics]}
