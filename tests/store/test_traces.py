"""Traces in the store: pages go by an index, on each database a filter finds the same."""

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from musterd.core.callers import Caller
from musterd.core.records import StepKind, StepState
from musterd.core.trace_context import trace_id
from musterd.core.trace_ids import stored_trace_id
from musterd.features.traces import store as traces
from musterd.features.traces.records import Condition
from musterd.store.database import Statement, for_sqlite
from tests.support.store import NOBODY, Records, member_of, step

ADA = Caller(user_id="ada", label="ada")
SENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def ids(records: Records, condition: Condition | None, caller: Caller = NOBODY) -> list[str]:
    rows, total = await records.database.scan(lambda tx: traces.search(tx, condition, caller, 500.0, limit=9, page=1))
    assert total == len(rows)
    return [row.run.run_id for row in rows]


async def test_conditions_mean_the_same_everywhere(records: Records) -> None:
    first = await records.started("r1", caller=ADA, row={"owner": "ada", "user_id": "ada"})
    await records.append(
        first,
        started=[member_of(first, "m1")],
        steps=[
            step(first, "p", kind=StepKind.PREPARE),
            step(first, "t0/m", kind=StepKind.MODEL),
            step(first, "t0/c0", StepState.FAILED),
        ],
    )
    await records.settle(first)
    second = await records.started("r2", "s2", row={"component_kind": "team"})
    await records.execute("UPDATE runs SET traceparent = :sent WHERE run_id = 'r2'", sent=SENT)
    equal: dict[str, list[str | float | None]] = {
        "trace_id": [stored_trace_id("r1"), trace_id(SENT)],
        "status": ["OK", "UNSET"],
        "session_id": ["s1", "s2"],
        "name": ["invoke_agent Solo", None],
        "duration_ms": [None, (500.0 - second.created_at) * 1000],
        "agent_id": ["solo", None],
        "team_id": [None, "solo"],
        "user_id": ["ada", None],
    }
    for key, values in equal.items():
        for run_id, value in zip(("r1", "r2"), values, strict=True):
            if value is None:
                continue
            trace_ids = await ids(records, Condition(op="EQ", key=key, values=(value,)))
            assert trace_ids == (["r2", "r1"] if key == "name" else [run_id]), key
            if isinstance(value, str):
                for op in ("IN", "CONTAINS", "STARTSWITH"):
                    assert run_id in await ids(records, Condition(op=op, key=key, values=(value,))), (key, op)
    assert await ids(records, Condition(op="GTE", key="end_time", values=(500.0,))) == ["r2"]
    assert await ids(records, None, ADA) == ["r1"]
    for trace, run_id in ((stored_trace_id("r1") or "", "r1"), (trace_id(SENT), "r2")):
        row = await records.database.scan(partial(traces.get, trace_id=trace, run_id=None, caller=NOBODY))
        assert row is not None
        assert row.run.run_id == run_id
    (own,), _ = await records.database.scan(lambda tx: traces.search(tx, None, ADA, 500.0, limit=9, page=1))
    assert (own.spans, own.errors, own.message) == (4, 1, "hello r1")
    stats, count = await records.database.scan(lambda tx: traces.by_session(tx, None, NOBODY, 1.0, limit=1, page=1))
    assert ([(one.session_id, one.total) for one in stats], count) == ([("s2", 1)], 2)


@pytest.mark.parametrize("caller, index", [(NOBODY, "runs_created"), (ADA, "runs_owner")])
def test_a_page_goes_by_an_index(template: Path, caller: Caller, index: str) -> None:
    statement, params = traces.page_of(None, caller, 1.0, limit=20, page=1)
    with closing(sqlite3.connect(template)) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {for_sqlite(statement.text)}", params).fetchall()
    steps = [str(row[-1]) for row in plan]
    assert any(f"r USING INDEX {index}" in step for step in steps), steps
    assert not any("TEMP B-TREE" in step for step in steps), steps


@pytest.mark.parametrize(
    "statement, index", [(traces.BY_STORED, "runs_trace_id"), (traces.BY_SENT, "runs_traceparent")]
)
def test_a_trace_is_found_by_an_index(template: Path, statement: Statement, index: str) -> None:
    params = {"trace_id": "x", "low": "x", "high": "y", "owner": None}
    with closing(sqlite3.connect(template)) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {for_sqlite(statement.text)}", params).fetchall()
    assert any(index in str(row[-1]) for row in plan), plan
