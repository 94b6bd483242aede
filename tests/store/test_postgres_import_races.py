"""An import and another transaction that take the id of one run for two sessions at the same time: one of them is told.

The key of a run holds the shard of its session, so it does not keep the two apart. On SQLite there is one writer.
"""

import json
from typing import Any

import pytest

from musterd.core.errors import Conflict
from musterd.features.usage import store as usage
from musterd.features.usage.store import EVERYBODY
from musterd.imports import store
from musterd.imports.runs import Names
from musterd.imports.sessions import imported_session
from musterd.imports.store import Part
from musterd.store import acceptance
from tests.store.test_postgres_races import held, waiting
from tests.support.agentos_database import BEGIN, run
from tests.support.store import Records, new_run

NOW = 500.0


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


def part_of(session_id: str) -> Part:
    """A session of AgentOS with a run of a team, ``r1``, and that of a member, ``m1``."""
    runs = [run("team", "r1", "Ask", "It is sunny"), run("agent", "m1", "Oslo?", "Sunny", parent_run_id="r1")]
    stored: dict[str, Any] = {
        "session_id": session_id,
        "session_type": "team",
        "team_id": "desk",
        "created_at": BEGIN,
        "runs": json.dumps(runs),
    }
    session = imported_session(stored, Names())
    (part,) = store.parts(session.row, session.runs.trees)
    return part


async def sessions_of_runs(records: Records) -> list[tuple[str, str]]:
    rows = await records.select("SELECT run_id, session_id FROM runs ORDER BY run_id")
    return [(row["run_id"], row["session_id"]) for row in rows]


@pytest.mark.parametrize("run_id", ["r1", "m1"])
async def test_a_client_that_chooses_the_id_of_a_run_that_is_imported_is_refused(records: Records, run_id: str) -> None:
    part = part_of("old")
    async with held(records, lambda tx: store.store_part(tx, part, NOW)):
        choosing = await waiting(records, records.accept(run_id, "new", has_chosen_id=True))
    with pytest.raises(Conflict, match="This run_id is taken"):
        await choosing
    assert await sessions_of_runs(records) == [("m1", "old"), ("r1", "old")]
    with pytest.raises(Conflict, match="This run_id is taken"):
        await records.accept(run_id, "new", has_chosen_id=True)


@pytest.mark.parametrize("run_id", ["r1", "m1"])
async def test_an_import_skips_a_run_whose_id_a_client_chooses(records: Records, run_id: str) -> None:
    part, chosen = part_of("old"), records.candidate(new_run(run_id, "new", created_at=NOW), has_chosen_id=True)
    async with held(records, lambda tx: acceptance.accept(tx, chosen)):
        importing = await waiting(records, records.database.write(lambda tx: store.store_part(tx, part, NOW)))
    stored = await importing
    assert [skipped.reason for skipped in stored.skipped] == [f"session new already has a run {run_id}"]
    assert await sessions_of_runs(records) == [(run_id, "new")]


async def test_two_imports_store_a_run_once(records: Records) -> None:
    first, second = part_of("first"), part_of("second")
    async with held(records, lambda tx: store.store_part(tx, first, NOW)):
        importing = await waiting(records, records.database.write(lambda tx: store.store_part(tx, second, NOW)))
    assert [skipped.run_id for skipped in (await importing).skipped] == ["r1"]
    assert await sessions_of_runs(records) == [("m1", "first"), ("r1", "first")]


async def test_a_day_that_is_closed_during_an_import_has_the_imported_runs(records: Records) -> None:
    day = usage.day_of(BEGIN)
    before = await records.database.scan(lambda tx: usage.count(tx, day))
    part = part_of("old")
    async with held(records, lambda tx: store.store_part(tx, part, NOW)):
        close = records.database.write(lambda tx: usage.close(tx, day, before, NOW, late_imports=0))
        closing = await waiting(records, close)
    assert not await closing
    after = await records.database.scan(lambda tx: usage.count(tx, day))
    assert (after[EVERYBODY].runs, after[EVERYBODY].late_imports) == ({"team": 1}, 1)


async def test_runs_that_are_imported_while_a_day_is_closed_are_added_to_it(records: Records) -> None:
    day = usage.day_of(BEGIN)
    before = await records.database.scan(lambda tx: usage.count(tx, day))
    part = part_of("old")
    async with held(records, lambda tx: usage.close(tx, day, before, NOW, late_imports=0)):
        importing = await waiting(records, records.database.write(lambda tx: store.store_part(tx, part, NOW)))
    await importing
    (closed,) = await records.database.scan(lambda tx: usage.closed_days(tx, None, day, day))
    assert closed.figures.runs == {"team": 1}
