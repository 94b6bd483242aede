"""Every list of the wire is read by an index, in its order, by any filters together: however many rows there are."""

import re
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from musterd.features.accounts import api as accounts_api
from musterd.features.accounts import store as accounts
from musterd.features.memories import api as memories_api
from musterd.features.memories import store as memories
from musterd.store.database import for_postgres, for_sqlite
from tests.support.list_queries import Read, every_read

ONE_OF_FEW = re.compile(r"\b(user_id|owner|session_id|run_id|root_id|memory_id|name)\b\)? ?(=|IN|<|>)")
"""A look-up of one person's, one session's or one run's rows, or of contents of one name: they may be sorted."""
TEXT_FILTERS = {"topics", "search_content"}
"""A part of a text can be anywhere: every text is compared."""


def _may_sort(read: Read) -> bool:
    """Whether no index can have the order.

    Sessions are sorted by their last trace that matches, and the few approvals that wait by their expiry. Metadata are
    compared outside of the database, and contents that match are looked up by their ids.
    """
    return read.list == "traces by session" or "metadata" in read.filters or read.order.startswith("by expires_at")


def _reads_all(read: Read) -> bool:
    """Whether no index can help: texts are compared, every topic is collected, or the table is in this order itself."""
    return bool(read.filters & TEXT_FILTERS) or read.list == "topics" or read.order.startswith("by memory_id")


def test_sqlite_reads_every_list_by_an_index(template: Path) -> None:
    with closing(sqlite3.connect(template)) as connection:
        faults = []
        for read in every_read():
            rows = connection.execute(f"EXPLAIN QUERY PLAN {for_sqlite(read.statement.text)}", read.params).fetchall()
            faults += [f"{read}: {fault}" for fault in _faults_on_sqlite(read, rows)]
    assert faults == []


def _faults_on_sqlite(read: Read, rows: Sequence[tuple[int, int, int, str]]) -> list[str]:
    faults, beside = [], defaultdict(list)
    for _, parent, _, step in rows:
        beside[parent].append(step)
    for _, parent, _, step in rows:
        if re.match(r"SCAN (?!json_each|page|roots|searched|CONSTANT)\w+$", step) and not _reads_all(read):
            faults.append(step)
        if step == "USE TEMP B-TREE FOR ORDER BY" and not _may_sort(read):
            lookups = [other for other in beside[parent] if other.startswith("SEARCH")]
            if not any(ONE_OF_FEW.search(lookup) for lookup in lookups):
                faults.append(f"{beside[parent]}")
    return faults


def test_postgres_reads_every_list_by_an_index(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        for way in ("seqscan", "bitmapscan", "sort", "incremental_sort"):
            connection.execute(f"SET enable_{way} = off".encode())  # one that is taken all the same is the only one
        faults = []
        for read in every_read(max_filters=3):
            text = f"EXPLAIN (COSTS OFF) {for_postgres(read.statement.text)}"
            steps = [row[0] for row in connection.execute(text.encode(), read.params).fetchall()]
            faults += [f"{read}: {fault}" for fault in _faults_on_postgres(read, steps)]
    assert faults == []


def _faults_on_postgres(read: Read, steps: Sequence[str]) -> list[str]:
    faults = [step for step in steps if "Seq Scan on" in step and not _reads_all(read)]
    for number, step in enumerate(steps):
        if re.search(r"(^|-> +)Sort$", step) and not _may_sort(read):
            depth = _depth(step)
            below = []
            for other in steps[number + 1 :]:
                if _depth(other) <= depth and "->" in other:
                    break
                below.append(other)
            is_of_few = any("Index Cond" in other and ONE_OF_FEW.search(other) for other in below)
            # Filters that contradict each other: nothing is read.
            is_of_none = any("One-Time Filter: false" in other for other in below)
            if not (is_of_few or is_of_none):
                faults.append("\n".join([step, *below]))
    return faults


def _depth(step: str) -> int:
    return len(step) - len(step.lstrip(" "))


@pytest.mark.parametrize(
    "fields, orders",
    [
        (memories_api.SORTABLE, memories.ORDERS),
        (accounts_api.SORTABLE, accounts.ORDERS),
    ],
)
def test_every_order_that_clients_may_ask_for_has_an_index(fields: Sequence[str], orders: dict[str, str]) -> None:
    assert set(fields) == set(orders)
