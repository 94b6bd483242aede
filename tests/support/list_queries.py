"""Every list of the API with every combination of filters and orders, and the SQL statements that they execute."""

from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain, combinations
from typing import Any

from musterd.core.approvals import ApprovalFilter
from musterd.core.callers import Caller
from musterd.core.deliveries import DeliveryFilter, DeliveryState
from musterd.core.jsontypes import Json
from musterd.core.states import RunState
from musterd.features.accounts import store as accounts
from musterd.features.accounts.records import AccountFilter
from musterd.features.knowledge import store as knowledge
from musterd.features.knowledge.records import ContentFilter, Status, Viewer
from musterd.features.memories import store as memories
from musterd.features.memories.records import MemoryFilter
from musterd.features.schedules import store as schedules
from musterd.features.schedules.records import ScheduleFilter
from musterd.features.traces import store as traces
from musterd.features.traces.records import Condition
from musterd.store import approval_inbox, deliveries, run_lists, session_search
from musterd.store.database import Params, Row, Statement, Tx, drive

CALLERS = (Caller(), Caller(user_id="ada", label="ada"))
SESSION_FILTERS = {
    "component_kind": "team",
    "component_id": "desk",
    "user_id": "u1",
    "name": "plan",
    "text": "plan",
    "states": (RunState.ERROR, RunState.PAUSED),
}
APPROVAL_FILTERS = {
    "status": "pending",
    "approval_type": "required",
    "pause_type": "confirmation",
    "source_type": "team",
    "agent_id": "solo",
    "team_id": "desk",
    "workflow_id": "news",
    "user_id": "u1",
    "schedule_id": "sc1",
    "run_id": "r70",
}
MEMORY_FILTERS = {"user_id": "u1", "agent_id": "solo", "team_id": "desk", "topics": ("food",), "search_content": "tea"}
RUN_FILTERS = {
    "states": (RunState.ERROR, RunState.CANCELLED, RunState.COMPLETED, RunState.PAUSED),
    "component": ("team", "desk"),
    "user_id": "u1",
    "session_id": "s7",
    "created_after": 1.0,
    "created_before": 9_000.0,
    "text": "parcel",
    "needs_you": True,
    "after": (5_000.0, "r5000"),
}
SESSION_RUN_FILTERS = {
    "component": ("team", "desk"),
    "states": (RunState.ERROR, RunState.PAUSED),
    "created_after": 1.0,
    "created_before": 9_000.0,
    "before": "r5007",
}
DELIVERY_FILTERS = {"run_id": "r70", "state": DeliveryState.FAILED, "before": "d1"}
SCHEDULE_FILTERS = {"enabled": True}
CONTENT_FILTERS = {"statuses": (Status.FAILED, Status.COMPLETED), "name": "norway", "metadata": {"country": "no"}}
TRACE_NUMBERS = {"start_time", "end_time", "created_at", "duration_ms"}
TRACE_CONDITIONS = (
    *(Condition(op="EQ", key=key, values=("x",)) for key in sorted(traces.FIELDS.keys() - TRACE_NUMBERS)),
    *(Condition(op=op, key="duration_ms", values=(9.0,)) for op in ("EQ", "GT")),
    *(Condition(op="IN", key=key, values=("x", "y")) for key in ("user_id", "team_id", "session_id")),
    *(Condition(op="CONTAINS", key=key, values=("x",)) for key in ("user_id", "name")),
    *(Condition(op=op, key=key, values=(9.0,)) for op in ("GT", "LTE") for key in ("created_at", "start_time")),
    Condition(op="NOT", parts=(Condition(op="EQ", key="team_id", values=("x",)),)),
)


@dataclass(frozen=True)
class Read:
    """One statement of a list.

    :param filters: the filters of the list.
    """

    list: str
    filters: frozenset[str]
    order: str
    statement: Statement
    params: Params

    def __str__(self) -> str:
        return f"{self.list} {sorted(self.filters)} {self.order}"


class Recorder:
    """A transaction without a database, which records statements and returns no rows."""

    def __init__(self) -> None:
        self.statements: list[tuple[Statement, Params]] = []

    async def run(self, statement: Statement, params: Params) -> int:
        raise AssertionError(f"a list writes: {statement}")

    async def many(self, statement: Statement, params: Sequence[Params]) -> None:
        raise AssertionError(f"a list writes: {statement}")

    async def one(self, statement: Statement, params: Params) -> Row | None:
        self.statements.append((statement, params))
        return None

    async def all(self, statement: Statement, params: Params) -> Sequence[Row]:
        self.statements.append((statement, params))
        return ()

    async def parsed(self, text: str, depth: int) -> Any:
        raise AssertionError("there are no rows")

    async def written(self, value: Json, characters: int) -> str:
        raise AssertionError("a list writes")


def every_read(max_filters: int = 9) -> list[Read]:
    """Every distinct statement of all lists.

    :param max_filters: the maximum number of combined filters.
    """
    reads: dict[str, Read] = {}
    for name, filters, order, search in chain(
        _sessions(max_filters),
        _approvals(max_filters),
        _memories(max_filters),
        _runs(max_filters),
        _session_runs(max_filters),
        _deliveries(max_filters),
        _accounts(),
        _schedules(max_filters),
        _contents(max_filters),
        _traces(),
    ):
        recorder = Recorder()
        drive(search(recorder))
        for statement, params in recorder.statements:
            reads.setdefault(statement.text, Read(name, frozenset(filters), order, statement, params))
    return list(reads.values())


def _combinations(samples: Mapping[str, Any], kind: type, most: int) -> Iterator[dict[str, Any]]:
    """Every combination of filters, as keyword arguments of a filter's class, which must have no others."""
    how = {"sort_by", "descending", "is_descending", "limit", "page", "has_messages", "has_members_at_work"}
    assert {field.name for field in fields(kind)} - how == samples.keys(), f"give {kind.__name__} a sample of each"
    for count in range(min(len(samples), most) + 1):
        for names in combinations(samples, count):
            yield {name: samples[name] for name in names}


Search = Callable[[Tx], Coroutine[Any, Any, Any]]
Case = tuple[str, Sequence[str], str, Search]


def _label(order: str, is_descending: bool, caller: Caller) -> str:
    return f"by {order}{' down' if is_descending else ''}{' of one user' if caller.sees_only else ''}"


def _sessions(most: int) -> Iterator[Case]:
    all_chosen = list(_combinations(SESSION_FILTERS, session_search.SessionFilter, most))
    all_chosen += [{**chosen, "states": (RunState.PAUSED,)} for chosen in all_chosen if "states" in chosen]
    for chosen in all_chosen:
        for order in session_search.ORDERS:
            for down in (True, False):
                query = session_search.SessionFilter(**chosen, sort_by=order, descending=down)
                for caller in CALLERS:
                    search = _bound(session_search.search, query, caller)
                    yield "sessions", list(chosen), _label(order, down, caller), search


def _approvals(most: int) -> Iterator[Case]:
    for chosen in _combinations(APPROVAL_FILTERS, ApprovalFilter, most):
        # Only what waits is listed by its expiry.
        for order in approval_inbox.ORDERS if "status" in chosen else ("created_at",):
            for caller in CALLERS:
                search = _bound(approval_inbox.search, ApprovalFilter(**chosen, sort_by=order), caller)
                yield "approvals", list(chosen), _label(order, order == "created_at", caller), search


def _memories(most: int) -> Iterator[Case]:
    for chosen in _combinations(MEMORY_FILTERS, MemoryFilter, most):
        for order in memories.ORDERS:
            for down in (True, False):
                query = MemoryFilter(**chosen, sort_by=order, is_descending=down)
                for caller in CALLERS:
                    search = _bound(memories.search, query, caller)
                    yield "memories", list(chosen), _label(order, down, caller), search
    for user in (None, "u1"):
        for caller in CALLERS:
            label = _label("user", False, caller)
            yield "topics", [user or ""], label, _bound(memories.topics, user, caller)


def _runs(most: int) -> Iterator[Case]:
    for chosen in _combinations(RUN_FILTERS, run_lists.RunsQuery, most):
        for caller in CALLERS:
            query = run_lists.RunsQuery(**chosen)
            for search in (run_lists.page, run_lists.page_of_summaries, run_lists.counts):
                yield "runs", list(chosen), _label("created_at", True, caller), _bound(search, query, caller)


def _session_runs(most: int) -> Iterator[Case]:
    samples = {"session_id": "s7", **SESSION_RUN_FILTERS}
    for chosen in _combinations(samples, run_lists.SessionRunsQuery, most):
        query = run_lists.SessionRunsQuery(**{**chosen, "session_id": "s7"}, limit=20)
        yield "runs of a session", list(chosen), "by seq", _bound(run_lists.of_session, query)


def _deliveries(most: int) -> Iterator[Case]:
    async def page(tx: Tx, query: DeliveryFilter, caller: Caller, hidden: Sequence[str]) -> None:
        await tx.all(*deliveries.page_of(query, caller, 1.0, hidden))

    for chosen in _combinations(DELIVERY_FILTERS, DeliveryFilter, most):
        for caller in CALLERS:
            for hidden in ((), ("https://example.com",)):
                search = _bound(page, DeliveryFilter(**chosen), caller, hidden)
                yield "deliveries", list(chosen), _label("created_at", True, caller), search


def _accounts() -> Iterator[Case]:
    for order in accounts.ORDERS:
        for down in (True, False):
            for has_revoked in (True, False):
                query = AccountFilter(sort_by=order, is_descending=down, has_revoked=has_revoked)
                yield "accounts", [], _label(order, down, CALLERS[0]), _bound(accounts.search, query)


def _schedules(most: int) -> Iterator[Case]:
    for chosen in _combinations(SCHEDULE_FILTERS, ScheduleFilter, most):
        for caller in CALLERS:
            search = _bound(schedules.search, ScheduleFilter(**chosen), caller)
            yield "schedules", list(chosen), _label("created_at", True, caller), search


def _contents(most: int) -> Iterator[Case]:
    for chosen in _combinations(CONTENT_FILTERS, ContentFilter, most):
        for order in knowledge.SORTABLE:
            for down in (True, False):
                query = ContentFilter(**chosen, sort_by=order, is_descending=down)
                ids = ["a"] if "metadata" in chosen else None
                search = _bound(knowledge.search, "docs", query, Viewer(owner="ada"), ids)
                yield "contents", list(chosen), _label(order, down, CALLERS[0]), search


def _traces() -> Iterator[Case]:
    pairs = (Condition(op="AND", parts=parts) for parts in combinations(TRACE_CONDITIONS, 2))
    for condition in (None, *TRACE_CONDITIONS, *pairs):
        for caller in CALLERS:
            for name, search in (("traces", traces.search), ("traces by session", traces.by_session)):
                label = f"{condition} {_label('created_at', True, caller)}"
                yield name, [], label, _bound(search, condition, caller, 1.0, limit=20, page=1)


def _bound(search: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any) -> Search:
    return lambda tx: search(tx, *args, **kwargs)
