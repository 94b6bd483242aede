"""Lists of deliveries: newest first, page by page; of a user that user's own alone."""

from typing import Any

import pytest

from musterd.core.callers import Caller
from musterd.core.deliveries import DeliveryFilter, DeliveryState, Notice, WebhookEvent
from musterd.store import deliveries
from musterd.store.shards import SessionTx
from tests.support.store import NOBODY, Records

ADA, BOB = (Caller(user_id=name, label=name) for name in ("ada", "bob"))


async def add(records: Records, session_id: str, notice: Notice) -> None:
    await records.database.write(lambda tx: deliveries.add(SessionTx(tx, session_id), notice))


@pytest.fixture
async def store_deliveries(records: Records) -> list[str]:
    """Runs of two users, whose ends were told in turn."""
    names = ["a1", "b1", "a2", "b2", "a3"]
    for at, name in enumerate(names):
        caller = ADA if name.startswith("a") else BOB
        run = (await records.accept(name, f"s of {name}", caller=caller)).run
        notice = Notice(
            run_id=run.run_id,
            webhooks="https://there.example/a",
            happening=WebhookEvent.RUN_COMPLETED,
            at=float(at),
            attempts=1,
            facts={},
        )
        await add(records, run.session_id, notice)
    await records.execute("UPDATE deliveries SET state = 'failed' WHERE run_id = 'a2'")
    return names


async def listed(records: Records, caller: Caller, **filters: Any) -> list[tuple[str, str]]:
    page = await records.database.scan(lambda tx: deliveries.search(tx, DeliveryFilter(**filters), caller))
    return [(one.run_id, one.id) for one in page]


async def test_a_user_sees_the_own_ones(records: Records, store_deliveries: list[str]) -> None:
    assert [run_id for run_id, _ in await listed(records, NOBODY)] == store_deliveries[::-1]
    assert [run_id for run_id, _ in await listed(records, ADA)] == ["a3", "a2", "a1"]
    assert [run_id for run_id, _ in await listed(records, ADA, state=DeliveryState.PENDING)] == ["a3", "a1"]
    assert [run_id for run_id, _ in await listed(records, ADA, run_id="a1")] == ["a1"]
    assert await listed(records, ADA, run_id="b1") == []


async def test_pages_follow_each_other(records: Records, store_deliveries: list[str]) -> None:
    first = await listed(records, ADA, limit=2)
    assert await listed(records, ADA, limit=2, before=first[-1][1]) == (await listed(records, ADA))[2:]
    assert await listed(records, BOB, before=first[-1][1]) == [], "it is not there for whoever may not see it"
