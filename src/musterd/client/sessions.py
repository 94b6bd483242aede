"""Sessions: conversations, which have runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack

from . import clock
from .errors import Conflict, NotFound
from .flows import D, Flow, Resource, StreamFlow, call, stream_call
from .json_values import is_same_json
from .paging import Page, PagedList
from .requests import Requests, new_key, path_of
from .run_lists import list_runs
from .runs import COMPONENT_KINDS, ComponentKind, RunSummary
from .wire_record import WireRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Session(WireRecord):
    """A conversation. In lists it has all of these; read alone it has no status, but its messages.

    :param session_name: the name that a person gave it, otherwise its first message.
    :param status: ``PAUSED``, ``RUNNING`` or ``PENDING`` if one of its runs is, otherwise that of its last run.
    :param created_at: ISO 8601.
    :param chat_history: the messages of the user and the answers, if the session was read alone.
    """

    session_id: str
    session_name: str
    created_at: str
    updated_at: str
    session_state: dict[str, Any] | None
    status: str | None
    component_kind: str | None
    component_id: str | None
    run_count: int | None
    waiting: int | None
    total_tokens: int | None
    total_cost: float | None
    last_answer: str | None
    chat_history: list[dict[str, Any]] | None

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Self:
        """The session that the server sent: in a list with its component, alone with an id for the component's kind."""
        kind = next((kind for kind in COMPONENT_KINDS if raw.get(f"{kind}_id")), None)
        owner = {} if kind is None else {"component_kind": kind, "component_id": raw[f"{kind}_id"]}
        return replace(super(Session, cls).of({**owner, **raw}), raw=raw)


class SessionFields(TypedDict, total=False):
    """What can be set of a session.

    :param session_state: as its runs read it.
    :param metadata: anything else to keep with it.
    """

    session_name: str
    session_state: Mapping[str, Any]
    metadata: Mapping[str, Any]


class SessionFilters(TypedDict, total=False):
    """Which sessions are listed.

    :param status: those in any of these states.
    :param text: those whose name or first message contains this.
    """

    component_id: str | None
    user_id: str | None
    status: Sequence[str] | None
    text: str | None


_LIST = PagedList("/sessions", Session, "session_id")


class Sessions(Resource[D]):
    """Conversations."""

    @call
    def list(
        self, *, limit: int = 20, page: int = 1, sort_by: str | None = None, **filters: Unpack[SessionFilters]
    ) -> Flow[Page[Session]]:
        """List sessions, newest first.

        :param sort_by: ``updated_at``: the last used first; by default ``created_at``.
        :param filters: :class:`SessionFilters`.
        """
        sessions = yield from _LIST.page(self._requests, {**_query(filters), "sort_by": sort_by}, limit, page)
        return sessions

    @stream_call
    def all(self, **filters: Unpack[SessionFilters]) -> StreamFlow[Session]:
        """All sessions, newest first, each once.

        :param filters: :class:`SessionFilters`.
        """
        yield from _LIST.all(self._requests, _query(filters))

    @call
    def get(self, session_id: str) -> Flow[Session]:
        """Get one session with its messages."""
        session = yield from _read(self._requests, session_id)
        return session

    @call
    def create(
        self,
        session_id: str | None = None,
        *,
        component: str | None = None,
        kind: ComponentKind = "team",
        user_id: str | None = None,
        **fields: Unpack[SessionFields],
    ) -> Flow[Session]:
        """Create a session before its first run, which joins it by its id.

        :param session_id: by default a new id.
        :param component: the id of the team, agent or workflow that it belongs to; by default its first run decides.
        :param fields: :class:`SessionFields`.
        :raises Conflict: a session with this id exists, and this call has not created it.
        """
        new_id = session_id or clock.new_id()
        owner = {} if component is None else {f"{kind}_id": component}
        body = {"session_id": new_id, "user_id": user_id, **owner, **fields}
        retries = self._requests.retries()
        try:
            raw = yield from self._requests.json("POST", "/sessions", json=body, retries=retries)
        except Conflict:
            if session_id is None:  # The id is new, so an earlier try has created the session, and its answer was lost.
                session = yield from _read(self._requests, new_id)
                return session
            # Either an earlier try has created it, or somebody else has.
            if not retries.may_be_done or (existing := (yield from _created(self._requests, body))) is None:
                raise
            return existing
        return Session.of(raw)

    @call
    def update(self, session_id: str, **fields: Unpack[SessionFields]) -> Flow[Session]:
        """Replace a session's name, state or metadata.

        :param fields: :class:`SessionFields`; those that are left out stay as they are.
        """
        raw = yield from self._requests.json("PATCH", path_of("sessions", session_id), json=fields)
        return Session.of(raw)

    @call
    def rename(self, session_id: str, name: str) -> Flow[Session]:
        """Set a session's name."""
        path = path_of("sessions", session_id, "rename")
        raw = yield from self._requests.json("POST", path, json={"session_name": name})
        return Session.of(raw)

    @call
    def fork(self, session_id: str) -> Flow[Session]:
        """Create a session that begins with copies of the finished runs of another one, which stays as it is.

        :raises ValueError: the session has no run.
        """
        source = yield from _read(self._requests, session_id)
        if source.component_kind is None or source.component_id is None:
            raise ValueError(f"session {session_id} has no run: there is nothing to fork")
        path = path_of(f"{source.component_kind}s", source.component_id, "sessions", session_id, "fork")
        raw = yield from self._requests.json("POST", path, headers=new_key())
        fork = yield from _read(self._requests, raw["session_id"])
        return fork

    @call
    def runs(self, session_id: str, *, limit: int = 20, cursor: str | None = None) -> Flow[Page[RunSummary]]:
        """List the runs of a session, newest first. ``client.runs.all(session_id=…)`` reads all pages.

        :param cursor: ``next_cursor`` of the page before.
        """
        page = yield from list_runs(self._requests, {"session_id": session_id}, limit, cursor)
        return page

    @call
    def delete(self, session_id: str) -> Flow[None]:
        """Delete a session with all its runs. An id that does not exist is ignored."""
        yield from self._requests.answer("DELETE", path_of("sessions", session_id))


def _read(requests: Requests, session_id: str) -> Flow[Session]:
    raw = yield from requests.json("GET", path_of("sessions", session_id))
    return Session.of(raw)


def _created(requests: Requests, body: Mapping[str, Any]) -> Flow[Session | None]:
    """The session that a request has created; None if it is not as the request says, or belongs to somebody else."""
    try:
        session = yield from _read(requests, body["session_id"])
    except NotFound:
        return None
    return session if _is_as_created(session, body) else None


def _is_as_created(session: Session, body: Mapping[str, Any]) -> bool:
    """Whether a session has the component that a request to create it names, and the values that it gives."""
    owners = [f"{kind}_id" for kind in COMPONENT_KINDS]
    if any(session.raw.get(name) != body.get(name) for name in owners):
        return False
    fields = {name: value for name, value in body.items() if name not in owners and value is not None}
    return all(is_same_json(session.raw.get(name), value) for name, value in fields.items())


def _query(filters: SessionFilters) -> dict[str, Any]:
    query: dict[str, Any] = dict(filters)
    query["q"] = query.pop("text", None)
    return query
