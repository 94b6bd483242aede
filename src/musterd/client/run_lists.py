"""Runs in lists, and the parts of a run: its steps, its stored events, its media."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from .events import EventPage
from .flows import D, Flow, Resource, StreamFlow, call, stream_call
from .paging import PAGE_SIZE, Page, emit
from .requests import Requests, path_of
from .run_calls import RunRef, id_of, read_run
from .runs import Run, RunMedia, RunMessage, RunStatus, RunStep, RunSummary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class RunScope(TypedDict, total=False):
    """Which runs are counted.

    :param q: those with this text in their message, answer, error or id.
    """

    team_id: str | None
    agent_id: str | None
    workflow_id: str | None
    user_id: str | None
    session_id: str | None
    q: str | None
    created_after: int | None
    created_before: int | None


class RunFilters(RunScope, total=False):
    """Which runs are listed.

    :param status: those in any of these states.
    :param needs_you: those that wait for a decision.
    """

    status: Sequence[RunStatus] | None
    needs_you: bool | None


class Runs(Resource[D]):
    """The runs of all teams, agents and workflows."""

    @call
    def list(
        self, *, limit: int = 20, cursor: str | None = None, **filters: Unpack[RunFilters]
    ) -> Flow[Page[RunSummary]]:
        """List runs, newest first.

        :param limit: how many on a page.
        :param cursor: ``next_cursor`` of the page before.
        :param filters: :class:`RunFilters`.
        """
        page = yield from list_runs(self._requests, filters, limit, cursor)
        return page

    @stream_call
    def all(self, *, page_size: int = PAGE_SIZE, **filters: Unpack[RunFilters]) -> StreamFlow[RunSummary]:
        """All runs, newest first, each once. Runs that start meanwhile are left out.

        :param page_size: how many are read at once, when they are needed.
        :param filters: :class:`RunFilters`.
        """
        cursor: str | None = None
        while True:
            # A cursor is a place between two runs, so none is read twice or left out if others come or go.
            page = yield from list_runs(self._requests, filters, page_size, cursor)
            yield from emit(page)
            if page.next_cursor is None:
                return
            cursor = page.next_cursor

    @call
    def counts(self, **scope: Unpack[RunScope]) -> Flow[dict[str, int]]:
        """Count runs: ``all``, by status such as ``paused``, and those that need a decision (``needs_you``).

        :param scope: :class:`RunScope`.
        """
        counts: dict[str, int] = yield from self._requests.json("GET", "/runs/counts", query=scope)
        return counts

    @call
    def get(self, run: RunRef) -> Flow[Run]:
        """Get a run as it is now."""
        view = yield from read_run(self._requests, id_of(run))
        return view

    @call
    def summary(self, run: RunRef) -> Flow[RunSummary]:
        """Get a run as a list has it, without its conversation."""
        raw = yield from self._requests.json("GET", path_of("runs", id_of(run)), query={"view": "summary"})
        return RunSummary.of(raw)

    @call
    def export(self, run: RunRef) -> Flow[bytes]:
        """Get everything that is stored of a run, its journal too, as the text of one JSON object."""
        answer = yield from self._requests.answer("GET", path_of("runs", id_of(run), "export"))
        return answer.content

    @call
    def steps(self, run: RunRef) -> Flow[tuple[RunStep, ...]]:
        """List every model call, tool call and delegation of a run and its members, in the order of their start."""
        raws = yield from self._requests.json("GET", path_of("runs", id_of(run), "steps"))
        return tuple(map(RunStep.of, raws))

    @call
    def step(self, run: RunRef, path: str) -> Flow[RunStep]:
        """Get one step, with its arguments and its result in ``raw``."""
        (raw,) = yield from self._requests.json("GET", path_of("runs", id_of(run), "steps"), query={"path": path})
        return RunStep.of(raw)

    @call
    def events(self, run: RunRef, *, after: int = -1, limit: int = 1000) -> Flow[EventPage]:
        """Get a page of the stored events of a run. ``Client.stream`` waits for those that follow."""
        query = {"after": after, "limit": limit}
        raw = yield from self._requests.json("GET", path_of("runs", id_of(run), "events"), query=query)
        return EventPage.of(raw)

    @call
    def messages(self, run: RunRef) -> Flow[tuple[RunMessage, ...]]:
        """List the messages that were sent to a run while it ran, and when each was read."""
        raws = yield from self._requests.json("GET", path_of("runs", id_of(run), "messages"))
        return tuple(map(RunMessage.of, raws))

    @call
    def download(self, run: RunRef, media: RunMedia | str, path: str | Path | None = None) -> Flow[bytes]:
        """Get the content of an image, sound, video or file that a run was given or has produced.

        :param media: one of ``run.media``, or its ``media_id``.
        :param path: a file to write it to as well. A file that is there is replaced.
        :raises ValueError: it is only a link, which the server never follows: get it from its ``url``.
        """
        media_id = media if isinstance(media, str) else media.media_id
        if media_id is None:
            raise ValueError("this media is only a link: get it from its url")
        answer = yield from self._requests.answer("GET", path_of("runs", id_of(run), "media", media_id))
        if path is not None:
            Path(path).write_bytes(answer.content)
        return answer.content


def list_runs(
    requests: Requests, filters: Mapping[str, object], limit: int, cursor: str | None
) -> Flow[Page[RunSummary]]:
    """Read one page of runs."""
    query = {**filters, "limit": limit, "cursor": cursor, "view": "summary"}
    raw = yield from requests.json("GET", "/runs", query=query)
    return Page(items=tuple(map(RunSummary.of, raw["data"])), next_cursor=raw["meta"]["next_cursor"])
