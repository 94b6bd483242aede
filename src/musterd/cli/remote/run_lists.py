"""Runs in lists, and a run by its id."""

import functools
import heapq
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from musterd.cli.output import Column, ago, print_json, print_table, took, with_iso_times
from musterd.cli.remote.components import component_of
from musterd.cli.remote.lookups import look_up

if TYPE_CHECKING:
    from musterd.client import Client, Run, RunSummary
    from musterd.client.run_lists import RunFilters

LIST = "musterd runs ls"
PAGE = 100
KINDS = ("team", "agent", "workflow")
RECENT = 100
"""How many runs a name that does not fit is compared with."""
COLUMNS = [
    Column("RUN", is_id=True),
    Column("TEAM"),
    Column("STATUS"),
    Column("STARTED"),
    Column("TOOK"),
    Column("MESSAGE", is_text=True),
]


def filters(*, status: Sequence[str] | None, **others: str | None) -> "RunFilters":
    """The filters that are set."""
    values: Any = {name: value for name, value in others.items() if value is not None}
    if status:
        values["status"] = [name.upper() for name in status]
    return values  # type: ignore[no-any-return]


def newest(client: "Client", limit: int, team: str | None, filters: "RunFilters") -> list["RunSummary"]:
    """The newest runs, from as many pages as it takes.

    :param team: only those of the team, agent or workflow with this id, which need not be served any more.
    :raises CommandFailed: there are none, and none with this id is served.
    """
    page_size = min(PAGE, limit)
    if team is None:
        return list(islice(client.runs.all(page_size=page_size, **filters), limit))
    queries: list[Any] = [{**filters, f"{kind}_id": team} for kind in KINDS]
    lists = [client.runs.all(page_size=page_size, **query) for query in queries]
    rows = list(islice(heapq.merge(*lists, key=lambda row: row.created_at, reverse=True), limit))
    if not rows:
        component_of(client, team)
    return rows


def print_runs(rows: Sequence["RunSummary"], *, as_json: bool) -> None:
    """Print a list of runs."""
    if as_json:
        print_json(with_iso_times([row.raw for row in rows]))
        return
    print_table(COLUMNS, map(_cells, rows), empty='There are no such runs. Start one: musterd run TEAM "message"')


def _cells(row: "RunSummary") -> tuple[Any, ...]:
    started = ago(row.started_at or row.created_at)
    return row.run_id, row.component_id, row.status, started, took(row.started_at, row.ended_at), row.input


def run_of(client: "Client", name: str) -> "Run":
    """A run by its id or the beginning of its id."""
    return look_up("run", name, client.runs.get, lambda: _recent_ids(client, name), LIST)


def run_id_of(client: "Client", name: str, *, acts_at_once: bool = False) -> str:
    """The id of a run by its beginning.

    :param acts_at_once: of :func:`look_up`; a person is asked.
    """
    recent = functools.partial(_recent_ids, client, name)
    read = client.runs.summary
    return look_up("run", name, read, recent, LIST, acts_at_once=acts_at_once, may_ask=True).run_id


def _recent_ids(client: "Client", name: str) -> list[str]:
    """The ids of runs that have this text, and of the last ones."""
    pages = (client.runs.list(q=name, limit=RECENT), client.runs.list(limit=RECENT))
    return [row.run_id for page in pages for row in page]
