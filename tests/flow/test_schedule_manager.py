"""``ScheduleManager``: the operations on schedules as methods, over a database or an application that runs."""

import asyncio
import functools
from pathlib import Path
from typing import Any

import pytest

from musterd import ScheduleManager
from musterd.core.errors import Conflict, InvalidInput, NotFound, Unavailable
from musterd.features.schedules.service import ScheduleService
from tests.support.app import app_on, in_process

CALL = ("0 7 * * 1-5", "/agents/weather-agent/runs")
PAYLOAD = {"message": "from a schedule"}


def test_a_schedule_is_created_changed_and_deleted_on_each_database(database_url: str) -> None:
    manager = ScheduleManager(database_url)
    made = manager.create("morning", *CALL, payload=PAYLOAD, timezone="Europe/Oslo", overlap="skip", max_retries=2)
    assert (made.name, made.cron_expr, made.timezone, made.payload) == ("morning", CALL[0], "Europe/Oslo", PAYLOAD)
    assert (made.enabled, made.overlap, made.max_retries, made.owner) == (True, "skip", 2, None)
    once = manager.create("once", None, CALL[1], payload=PAYLOAD, at="2099-01-01T09:00")
    assert manager.get(made.id) == made
    assert [one.name for one in manager.list()] == ["once", "morning"]

    changed = manager.update(made.id, cron="0 8 * * *", description="later")
    assert changed is not None
    assert (changed.cron_expr, changed.description, changed.timezone) == ("0 8 * * *", "later", "Europe/Oslo")
    off = manager.disable(made.id)
    assert off is not None
    assert (off.enabled, off.next_run_at) == (False, None)
    assert [one.name for one in manager.list(enabled=True)] == ["once"]
    with pytest.raises(Conflict, match="Schedule is disabled"):
        manager.trigger(made.id)
    on = manager.enable(made.id)
    assert on is not None
    assert on.next_run_at == changed.next_run_at

    waiting = manager.trigger(made.id)
    assert (waiting.trigger, waiting.status, waiting.run_id) == ("manual", "running", None)
    assert [run.id for run in manager.get_runs(made.id)] == [waiting.id]
    assert manager.delete(once.id)
    assert not manager.delete(once.id)
    assert manager.get(once.id) is manager.update(once.id, name="x") is manager.enable(once.id) is None
    with pytest.raises(NotFound):
        manager.get_runs(once.id)


def test_what_happens_if_the_name_exists(sqlite_file: Path) -> None:
    manager = ScheduleManager(f"sqlite:///{sqlite_file}")
    first = manager.create("morning", *CALL, payload=PAYLOAD)
    with pytest.raises(Conflict, match="already exists"):
        manager.create("morning", "@daily", CALL[1], payload=PAYLOAD)
    assert manager.create("morning", "@daily", CALL[1], payload=PAYLOAD, if_exists="skip") == first
    manager.disable(first.id)
    updated = manager.create("morning", "@daily", CALL[1], payload={"message": "new"}, if_exists="update")
    assert (updated.id, updated.cron_expr, updated.payload) == (first.id, "@daily", {"message": "new"})
    assert not updated.enabled
    once = manager.create("once", None, CALL[1], payload=PAYLOAD, at="2099-01-01T09:00", if_exists="skip")
    past: dict[str, Any] = {"payload": PAYLOAD, "at": "2020-01-01T09:00"}
    assert manager.create("once", None, CALL[1], **past, if_exists="skip") == once
    with pytest.raises(InvalidInput, match="no instant in the future"):
        manager.create("never", None, CALL[1], **past, if_exists="skip")
    with pytest.raises(ValueError, match="if_exists"):
        manager.create("morning", *CALL, payload=PAYLOAD, if_exists="replace")


def test_a_wrong_field_is_refused_as_over_http(sqlite_file: Path) -> None:
    manager = ScheduleManager(f"sqlite:///{sqlite_file}")
    create = functools.partial(manager.create, "morning", payload=PAYLOAD)
    with pytest.raises(InvalidInput, match="cron"):
        create("every day", CALL[1])
    with pytest.raises(InvalidInput, match="Only POST to the runs"):
        create(CALL[0], "/metrics")
    with pytest.raises(InvalidInput, match="message"):
        manager.create("morning", *CALL, payload={})
    for wrong in ({"timezone": "Mars/Olympus"}, {"max_retries": 11}, {"on_missed": "never"}):
        with pytest.raises(InvalidInput):
            create(*CALL, **wrong)
    assert manager.list() == []


async def test_over_a_running_application_it_fires_at_once(database: Path) -> None:
    app = app_on(database, upkeep_seconds=3600)
    manager = ScheduleManager(app)
    with pytest.raises(Unavailable):
        await manager.alist()
    async with in_process(app) as client:
        made = await manager.acreate("morning", *CALL, payload=PAYLOAD)
        assert await client.get(f"/schedules/{made.id}") == vars(made)
        with pytest.raises(InvalidInput, match="There is no agent 'nobody' here"):
            await manager.acreate("other", CALL[0], "/agents/nobody/runs", payload=PAYLOAD)
        fired = await manager.atrigger(made.id)
        assert fired.run_id is not None
        run = await client.get(f"/agents/weather-agent/runs/{fired.run_id}", session_id=fired.session_id, wait=30)
        assert run["content"] == "Echo: from a schedule"
        (schedule_run,) = await manager.aget_runs(made.id)
        assert vars(schedule_run) == (await client.get(f"/schedules/{made.id}/runs"))["data"][0]
        # From a thread of the application, such as that of a tool; from its event loop it would wait for itself.
        listed = await asyncio.to_thread(manager.list)
        assert [one.id for one in listed] == [made.id]
        with pytest.raises(RuntimeError, match="acreate"):
            manager.list()


async def test_what_a_program_creates_in_the_database_a_server_fires_with_all_rights(database: Path) -> None:
    settings: dict[str, Any] = {"upkeep_seconds": 3600, "security_key": "k"}
    async with in_process(app_on(database, **settings)) as client:
        manager = ScheduleManager(f"sqlite:///{database}")
        made = await manager.acreate("morning", *CALL, payload=PAYLOAD)
        waiting = await manager.atrigger(made.id)
        await client.server.service(ScheduleService).fire_due()
        (fired,) = await manager.aget_runs(made.id)
        assert (fired.id, fired.error) == (waiting.id, None)
        assert fired.run_id is not None
