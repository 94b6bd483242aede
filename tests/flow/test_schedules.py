"""Schedules over HTTP: what is accepted, when they fire, with whose rights, and what their firings tell."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from musterd import Agent, Schedule, Settings, create_app, tool
from musterd.core import clock
from musterd.core.errors import StartError
from musterd.features.schedules import store
from musterd.features.schedules.answers import firing_object
from musterd.features.schedules.records import Firing, Trigger
from musterd.features.schedules.service import ScheduleService
from tests.support.app import Sample, Serve, app_on, in_process, settings_for
from tests.support.held_model import HeldModel
from tests.support.http import ServerClient, problem, wrong_fields
from tests.support.tokens import SECRET, Issuer

MINUTELY = {
    "name": "every minute",
    "cron_expr": "* * * * *",
    "endpoint": "/agents/solo-agent/runs",
    "payload": {"message": "from a schedule"},
}
YEARLY = {**MINUTELY, "name": "yearly", "cron_expr": "0 0 1 1 *"}
TOKENS = Issuer(algorithm="HS256", key=SECRET)
JWT = {"jwt_verification_key": SECRET, "jwt_algorithms": "HS256"}
WRITER = ("schedules:read", "schedules:write", "schedules:delete", "agents:run")


class Site:
    """A server without upkeep of its own, whose time a test sets."""

    def __init__(self, client: ServerClient, monkeypatch: pytest.MonkeyPatch) -> None:
        self.client = client
        self.headers: dict[str, str] = {}
        self._monkeypatch = monkeypatch
        self._start = clock.now() // 60 * 60 + 30
        self.at(0)

    def at(self, seconds: float) -> None:
        """Let it be so many seconds after half a minute past."""
        now = self._start + seconds
        self._monkeypatch.setattr(clock, "now", lambda: now)

    @property
    def model(self) -> HeldModel:
        return self.client.model

    def minute(self, number: int) -> int:
        """The full minute after the start, or a later one."""
        return int(self._start // 60 * 60) + 60 * (number + 1)

    async def ask(self, method: str, path: str, json: Any = None, **headers: str) -> Any:
        """The JSON of a successful answer."""
        answer = await self.client.http.request(method, path, json=json, headers={**self.headers, **headers})
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def create(self, **fields: Any) -> dict[str, Any]:
        schedule: dict[str, Any] = await self.ask("POST", "/schedules", {**MINUTELY, **fields})
        return schedule

    async def look(self, seconds: float) -> None:
        """Do what upkeep does at a time."""
        self.at(seconds)
        await self.client.server.service(ScheduleService).fire_due()

    async def run(self, run_id: str) -> Any:
        """The row of a run."""
        return await self.client.server.database.read(lambda tx: _run(tx, run_id))

    async def firings(self, schedule: dict[str, Any]) -> list[dict[str, Any]]:
        """The firings, oldest first, after their runs have ended."""
        path = f"/schedules/{schedule['id']}/runs"
        for firing in (await self.ask("GET", path))["data"]:
            if firing["run_id"] is not None:
                run = await self.run(firing["run_id"])
                kind = f"{run.component_kind}s/{run.component_id}"
                query = f"?session_id={firing['session_id']}&wait=60"
                await self.ask("GET", f"/{kind}/runs/{firing['run_id']}{query}")
        firings: list[dict[str, Any]] = (await self.ask("GET", path))["data"]
        return firings[::-1]


async def _run(tx: Any, run_id: str) -> Any:
    from musterd.store.rows import GET_RUN_BY_ID, run_row

    return run_row(await tx.one(GET_RUN_BY_ID, {"run_id": run_id}))


@pytest.fixture
async def site(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    async with serve(upkeep_seconds=3600) as client:
        yield Site(client, monkeypatch)


# What is accepted


async def test_a_schedule_is_answered_as_agentos_answers_it(site: Site) -> None:
    site.at(0)
    schedule = await site.create()
    ours = {"at", "starts_at", "ends_at", "jitter_seconds", "on_missed", "grace_seconds", "overlap", "session"}
    ours |= {"budget", "owner", "is_declared"}
    assert {name: value for name, value in schedule.items() if name not in {*ours, "id"}} == {
        **MINUTELY,
        "description": None,
        "method": "POST",
        "timezone": "UTC",
        "timeout_seconds": 3600,
        "max_retries": 0,
        "retry_delay_seconds": 60,
        "enabled": True,
        "next_run_at": site.minute(0),
        "created_at": int(clock.now()),
        "updated_at": None,
    }
    assert await site.ask("GET", f"/schedules/{schedule['id']}") == schedule
    assert (await site.ask("GET", "/schedules"))["data"] == [schedule]
    assert (await site.ask("GET", "/schedules?enabled=false"))["meta"]["total_count"] == 0


@pytest.mark.parametrize(
    ("field", "value", "location"),
    [
        ("name", "-x", ("body", "name")),
        ("name", "", ("body", "name")),
        ("endpoint", "http://x/y", ("body", "endpoint")),
        ("endpoint", "x", ("body", "endpoint")),
        ("endpoint", "//example.com/x", ("body", "endpoint")),
        ("endpoint", "/nope", ("body", "endpoint")),
        ("endpoint", "/agents/nobody/runs", ("body", "endpoint")),
        ("endpoint", "/agents/solo-agent/runs?x=1", ("body", "endpoint")),
        ("method", "HEAD", ("body", "method")),
        ("method", "GET", ("body", "endpoint")),
        ("timeout_seconds", 0, ("body", "timeout_seconds")),
        ("max_retries", 11, ("body", "max_retries")),
        ("cron_expr", None, ("body", "cron_expr")),
        ("payload", [1], ("body", "payload")),
        ("payload", {}, ("body", "payload", "message")),
        ("payload", {"message": "x", "priority": "high"}, ("body", "payload", "priority")),
        ("payload", {"message": "x", "run_id": "r1"}, ("body", "payload", "run_id")),
        ("at", "2100-01-01T00:00", ("body", "at")),
        ("starts_at", "soon", ("body", "starts_at")),
        ("budget", {"tokens": -1}, ("body", "budget")),
    ],
)
async def test_a_wrong_field_is_refused_by_name(site: Site, field: str, value: Any, location: tuple[str, ...]) -> None:
    answer = await site.client.http.post("/schedules", json={**MINUTELY, field: value})
    assert location in wrong_fields(answer)


@pytest.mark.parametrize("at", [1893456000000, -1.0, "9999-12-31T00:00"])
async def test_a_time_that_no_date_can_show_is_refused(site: Site, at: float | str) -> None:
    answer = await site.client.http.post("/schedules", json={**MINUTELY, "cron_expr": None, "at": at})
    assert wrong_fields(answer) == [("body", "at")]


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"cron_expr": "61 * * * *"}, "Invalid cron expression: 61 * * * *"),
        (
            {"cron_expr": "*/5 * * * * *"},
            "Invalid cron expression: */5 * * * * *: it has 6 fields; use five, without seconds or years",
        ),
        ({"cron_expr": "0 0 30 2 *"}, "Invalid cron expression: 0 0 30 2 *: it matches no date"),
        ({"timezone": "Mars/One"}, "Invalid timezone: Mars/One"),
        ({"cron_expr": None, "at": "2020-01-01T00:00"}, "The schedule has no instant in the future."),
        ({"ends_at": 1.0}, "The schedule has no instant in the future."),
    ],
)
async def test_times_that_cannot_be_are_refused_in_words(site: Site, fields: dict[str, Any], detail: str) -> None:
    answer = await site.client.http.post("/schedules", json={**MINUTELY, **fields})
    assert problem(answer, 422, "VALIDATION_ERROR") == detail


async def test_a_name_is_given_once(site: Site) -> None:
    await site.create()
    other = await site.create(name="other")
    taken = "Schedule with name 'every minute' already exists"
    answer = await site.client.http.post("/schedules", json=MINUTELY)
    assert problem(answer, 409, "CONFLICT") == taken
    answer = await site.client.http.patch(f"/schedules/{other['id']}", json={"name": "every minute"})
    assert problem(answer, 409, "CONFLICT") == taken


async def test_a_change_moves_the_next_instant_only_if_times_change(site: Site) -> None:
    schedule = await site.create()
    path = f"/schedules/{schedule['id']}"
    assert await site.ask("PATCH", path, {}) == schedule
    site.at(10)
    changed = await site.ask("PATCH", path, {"description": "d", "payload": {"message": "new"}})
    assert changed == {
        **schedule,
        "description": "d",
        "payload": {"message": "new"},
        "updated_at": int(clock.now()),
    }
    assert (await site.ask("PATCH", path, {"description": None}))["description"] is None
    moved = await site.ask("PATCH", path, {"cron_expr": "*/5 * * * *"})
    assert moved["next_run_at"] % 300 == 0
    assert (await site.ask("PATCH", path, {"enabled": False}))["next_run_at"] is None
    assert problem(await site.client.http.patch(path, json={"cron_expr": "x"}), 422, "VALIDATION_ERROR") == (
        "Invalid cron expression: x"
    )
    assert wrong_fields(await site.client.http.patch(path, json={"name": None})) == [("body", "name")]
    assert wrong_fields(await site.client.http.patch(path, json={"payload": None})) == [("body", "payload", "message")]


async def test_a_disabled_schedule_has_no_next_instant_and_is_not_triggered(site: Site) -> None:
    schedule = await site.create()
    path = f"/schedules/{schedule['id']}"
    for _ in range(2):
        state = await site.ask("POST", f"{path}/disable")
        assert (state["enabled"], state["next_run_at"]) == (False, None)
        assert set(state) == {"id", "name", "enabled", "next_run_at", "updated_at"}
    answer = await site.client.http.post(f"{path}/trigger")
    assert problem(answer, 409, "CONFLICT") == "Schedule is disabled"
    await site.look(200)
    assert await site.firings(schedule) == []
    enabled = await site.ask("POST", f"{path}/enable")
    assert enabled["next_run_at"] == site.minute(3)


async def test_what_is_unknown_is_not_found(site: Site) -> None:
    schedule, other = await site.create(), await site.create(name="other")
    firing = await site.ask("POST", f"/schedules/{other['id']}/trigger")
    for method, path in [
        *[("GET", "/schedules/nope"), ("PATCH", "/schedules/nope"), ("DELETE", "/schedules/nope")],
        *[("POST", f"/schedules/nope/{action}") for action in ("enable", "disable", "trigger")],
        *[("GET", "/schedules/nope/runs"), ("GET", "/schedules/nope/next")],
    ]:
        answer = await site.client.http.request(method, path, json={"name": "q"} if method == "PATCH" else None)
        assert problem(answer, 404, "NOT_FOUND") == "Schedule not found"
    for run_id in ("nope", firing["id"]):
        answer = await site.client.http.get(f"/schedules/{schedule['id']}/runs/{run_id}")
        assert problem(answer, 404, "NOT_FOUND") == "Schedule run not found"


async def test_a_deleted_schedule_is_gone_with_its_firings(site: Site) -> None:
    schedule = await site.create()
    await site.look(31)
    await site.firings(schedule)
    await site.ask("DELETE", f"/schedules/{schedule['id']}")
    answer = await site.client.http.delete(f"/schedules/{schedule['id']}")
    assert problem(answer, 404, "NOT_FOUND") == "Schedule not found"
    await site.look(200)
    assert (await site.ask("GET", "/schedules"))["data"] == []


async def test_the_next_instants_can_be_asked_for(site: Site) -> None:
    schedule = await site.create(name="oslo", cron_expr="30 2 31 10 *", timezone="Europe/Oslo")
    answer = await site.ask("GET", f"/schedules/{schedule['id']}/next?n=2")
    assert answer["timezone"] == "Europe/Oslo"
    assert answer["data"][0]["local"][4:].startswith("-10-31T02:30:00+0")
    assert len(answer["data"]) == 2


# Firing


async def test_an_instant_fires_once_and_its_run_tells_the_status(site: Site) -> None:
    schedule = await site.create()
    await site.look(29)
    assert await site.firings(schedule) == []
    await site.look(31)
    await site.look(32)
    (firing,) = await site.firings(schedule)
    assert (firing["status"], firing["trigger"], firing["scheduled_for"]) == ("success", "cron", site.minute(0))
    assert (firing["attempt"], firing["status_code"], firing["error"]) == (1, 200, None)
    assert firing["input"] == {"input_content": "from a schedule"}
    assert firing["output"] == {"content": "Echo: from a schedule", "content_type": "str"}
    assert firing["session_id"] == f"schedule:{schedule['id']}"
    assert await site.ask("GET", f"/schedules/{schedule['id']}/runs/{firing['id']}") == firing
    assert (await site.ask("GET", f"/schedules/{schedule['id']}"))["next_run_at"] == site.minute(1)
    await site.look(91)
    assert [one["scheduled_for"] for one in await site.firings(schedule)] == [site.minute(0), site.minute(1)]


async def test_a_clock_that_goes_back_fires_nothing_twice(site: Site) -> None:
    schedule = await site.create()
    await site.look(91)
    before = await site.firings(schedule)
    site.at(20)
    for action in ("disable", "enable"):
        await site.ask("POST", f"/schedules/{schedule['id']}/{action}")
    await site.look(31)
    await site.look(91)
    assert await site.firings(schedule) == before
    assert (await site.ask("GET", f"/schedules/{schedule['id']}"))["next_run_at"] == site.minute(2)


async def test_instants_that_were_missed_leave_a_row_each(site: Site) -> None:
    once, every = await site.create(), await site.create(name="every", on_missed="all", overlap="parallel")
    await site.look(300)
    rows = [(one["scheduled_for"], one["status"], one["trigger"], one["error"]) for one in await site.firings(once)]
    minutes = [site.minute(number) for number in range(5)]
    assert sorted(rows) == [
        *((minute, "skipped", "catch_up", "missed") for minute in minutes[:4]),
        (minutes[4], "success", "cron", None),
    ]
    rows = [(one["scheduled_for"], one["status"], one["trigger"], one["error"]) for one in await site.firings(every)]
    assert sorted(rows) == [
        *((minute, "success", "catch_up", None) for minute in minutes[:4]),
        (minutes[4], "success", "cron", None),
    ]


async def test_missed_instants_fire_after_all_if_a_person_says_so(site: Site) -> None:
    schedule = await site.create(on_missed="skip", overlap="parallel")
    await site.look(300)
    body = {"start": site.minute(1), "end": site.minute(9)}
    answer = await site.ask("POST", f"/schedules/{schedule['id']}/backfill", body)
    assert [one["at"] for one in answer["data"]] == [site.minute(number) for number in (1, 2, 3)]
    assert (await site.ask("POST", f"/schedules/{schedule['id']}/backfill", body))["data"] == []
    await site.look(301)
    firings = {one["scheduled_for"]: one["status"] for one in await site.firings(schedule)}
    assert firings == {
        site.minute(0): "skipped",
        **{site.minute(number): "success" for number in (1, 2, 3, 4)},
    }
    wide = await site.client.http.post(f"/schedules/{schedule['id']}/backfill", json={"start": 0, "end": 1e10})
    assert problem(wide, 422, "VALIDATION_ERROR") == "There are more than 100 instants; choose a shorter range."


async def test_a_skipped_instant_that_is_made_up_forgets_why_it_was_skipped(site: Site) -> None:
    hold = site.client.model.hold("wait")
    schedule = await site.create(overlap="skip", payload={"message": "wait"})
    await site.look(31)
    await hold.reached.wait()
    await site.look(91)
    skipped = (await site.ask("GET", f"/schedules/{schedule['id']}/runs"))["data"][0]
    assert (skipped["status"], skipped["status_code"]) == ("skipped", 409)
    hold.release()
    await site.firings(schedule)
    again = site.client.model.hold("wait")
    body = {"start": site.minute(1), "end": site.minute(1) + 1}
    await site.ask("POST", f"/schedules/{schedule['id']}/backfill", body)
    await site.look(92)
    await again.reached.wait()
    firings = (await site.ask("GET", f"/schedules/{schedule['id']}/runs"))["data"]
    made_up = next(one for one in firings if one["scheduled_for"] == site.minute(1))
    assert (made_up["status"], made_up["status_code"]) == ("running", None)
    again.release()
    await site.firings(schedule)


async def test_a_schedule_for_one_time_fires_and_is_over(site: Site) -> None:
    schedule = await site.create(cron_expr=None, at=site.minute(0) + 5)
    assert (schedule["cron_expr"], schedule["next_run_at"]) == (None, site.minute(0) + 5)
    await site.look(40)
    (firing,) = await site.firings(schedule)
    assert firing["scheduled_for"] == site.minute(0) + 5
    after = await site.ask("GET", f"/schedules/{schedule['id']}")
    assert (after["enabled"], after["next_run_at"]) == (False, None)
    path = f"/schedules/{schedule['id']}"
    for answer in (
        await site.client.http.post(f"{path}/enable"),
        await site.client.http.patch(path, json={"enabled": True}),
    ):
        assert problem(answer, 409, "CONFLICT") == "The schedule has no instant in the future."


@pytest.mark.parametrize(
    ("overlap", "statuses"),
    [
        ("skip", ["success", "skipped"]),
        ("enqueue", ["success", "success"]),
        ("interrupt", ["cancelled", "success"]),
        ("parallel", ["success", "success"]),
    ],
)
async def test_a_firing_during_another_ones_run_does_as_it_is_told(
    site: Site, overlap: str, statuses: list[str]
) -> None:
    hold = site.model.hold("wait")
    schedule = await site.create(overlap=overlap, payload={"message": "wait"})
    await site.look(31)
    await hold.reached.wait()
    await site.look(91)
    states = [one["status"] for one in (await site.ask("GET", f"/schedules/{schedule['id']}/runs"))["data"]]
    assert "running" in states
    site.model.release()
    firings = await site.firings(schedule)
    assert [firing["status"] for firing in firings] == statuses
    if overlap == "skip":
        assert firings[1]["error"].startswith("overlap: The session is busy with run")


async def test_runs_share_a_session_or_have_their_own_or_the_one_of_the_payload(site: Site) -> None:
    new = await site.create(name="new", session="new")
    named = await site.create(name="given", payload={"message": "x", "session_id": "mine"})
    await site.look(31)
    await site.look(91)
    sessions = [firing["session_id"] for firing in await site.firings(new)]
    assert len(set(sessions)) == 2
    assert [firing["session_id"] for firing in await site.firings(named)] == ["mine", "mine"]


async def test_a_run_that_fails_is_continued_later_and_each_try_is_a_row(site: Site) -> None:
    hold = site.model.hold("wait")
    schedule = await site.create(payload={"message": "wait [[ERROR 500]]"}, max_retries=1, retry_delay_seconds=120)
    await site.look(31)
    hold.release()  # not before: this look must not see the failure
    (first,) = await site.firings(schedule)
    assert (first["status"], first["error"]) == ("failed", "Run failed with status ERROR")
    site.at(32)
    await site.ask("PATCH", f"/schedules/{schedule['id']}", {"cron_expr": "0 0 1 1 *"})
    await site.look(33)
    await site.look(34)
    firings = (await site.ask("GET", f"/schedules/{schedule['id']}/runs"))["data"]
    assert [(one["attempt"], one["status"], one["scheduled_for"]) for one in firings] == [
        (2, "running", site.minute(0)),
        (1, "failed", site.minute(0)),
    ]
    retry = await site.run(firings[0]["run_id"])
    assert (retry.forked_from, retry.not_before) == (first["run_id"], clock.now() - 3 + 120)
    site.at(200)
    await site.client.server.worker.upkeep.once()
    assert [one["status"] for one in await site.firings(schedule)] == ["failed", "failed"]
    await site.look(201)
    assert len(await site.firings(schedule)) == 2, "it was the last try"


async def test_a_retry_that_was_refused_is_followed_by_one_that_continues_the_run(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with with_tokens(serve, monkeypatch, schedule_scope_days=1 / 1440) as site:
        site.headers = TOKENS.bearer("ada", *WRITER)
        fails = {"payload": {"message": "wait [[ERROR 500]]"}, "max_retries": 2, "retry_delay_seconds": 5}
        schedule = await site.create(cron_expr="0 0 1 1 *", **fails)
        hold = site.model.hold("wait")
        first = await site.ask("POST", f"/schedules/{schedule['id']}/trigger")
        await hold.reached.wait()
        hold.release()
        await site.firings(schedule)
        await site.look(70)  # the scopes have lapsed
        refused = (await site.firings(schedule))[-1]
        assert (refused["attempt"], refused["status_code"], refused["run_id"]) == (2, 403, None)
        await site.ask("PATCH", f"/schedules/{schedule['id']}", {"description": "still wanted"})
        await site.look(76)
        last = (await site.firings(schedule))[-1]
        assert (last["attempt"], (await site.run(last["run_id"])).forked_from) == (3, first["run_id"])


async def test_the_only_instant_of_a_schedule_is_retried_too(site: Site) -> None:
    hold = site.model.hold("wait")
    fails = {"payload": {"message": "wait [[ERROR 500]]"}, "max_retries": 1, "retry_delay_seconds": 5}
    schedule = await site.create(cron_expr=None, at=site.minute(0), **fails)
    await site.look(31)
    hold.release()  # not before: this look must not see the failure
    assert [one["status"] for one in await site.firings(schedule)] == ["failed"]
    await site.look(32)
    assert (await site.ask("GET", f"/schedules/{schedule['id']}"))["enabled"] is False
    site.at(60)
    await site.client.server.worker.upkeep.once()
    firings = await site.firings(schedule)
    assert [(one["attempt"], one["status"]) for one in firings] == [(1, "failed"), (2, "failed")]


async def test_a_schedule_that_a_person_disables_is_not_retried(site: Site) -> None:
    hold = site.model.hold("wait")
    schedule = await site.create(payload={"message": "wait [[ERROR 500]]"}, max_retries=1)
    await site.look(31)
    await site.ask("POST", f"/schedules/{schedule['id']}/disable")
    hold.release()
    failed = await site.firings(schedule)
    await site.look(32)
    assert await site.firings(schedule) == failed
    assert [one["status"] for one in failed] == ["failed"]


async def test_a_firing_whose_run_is_refused_fails_in_words_and_the_schedule_goes_on(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(upkeep_seconds=3600, queue_depth=1, concurrency=1) as client:
        site = Site(client, monkeypatch)
        hold = site.model.hold("wait")
        await client.begin("wait", session_id="s1")
        await hold.reached.wait()
        waiting = await client.begin("two", session_id="s1")
        schedule = await site.create(max_retries=1, retry_delay_seconds=5)
        await site.look(31)
        (first,) = (await site.ask("GET", f"/schedules/{schedule['id']}/runs"))["data"]
        assert (first["status"], first["status_code"], first["run_id"]) == ("failed", 429, None)
        assert first["error"] == "1 runs are already waiting; try again later."
        site.model.release()
        await client.ended(waiting)
        await site.look(37)
        firings = await site.firings(schedule)
        assert [(one["attempt"], one["status"]) for one in firings] == [(1, "failed"), (2, "success")]
        await site.look(91)
        assert len(await site.firings(schedule)) == 3


async def test_a_retry_waits_for_room_among_the_waiting_runs(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(upkeep_seconds=3600, queue_depth=1, concurrency=1) as client:
        site = Site(client, monkeypatch)
        schedule = await site.create(payload={"message": "[[ERROR 500]]"}, max_retries=1, retry_delay_seconds=5)
        site.at(1)
        await site.ask("POST", f"/schedules/{schedule['id']}/trigger?wait=60")
        hold = site.model.hold("wait")
        await client.begin("wait", session_id="s1")
        await hold.reached.wait()
        waiting = await client.begin("two", session_id="s1")
        await site.look(2)
        assert [one["attempt"] for one in (await site.ask("GET", f"/schedules/{schedule['id']}/runs"))["data"]] == [1]
        site.model.release()
        await client.ended(waiting)
        await site.look(3)
        assert [one["attempt"] for one in (await site.ask("GET", f"/schedules/{schedule['id']}/runs"))["data"]] == [
            2,
            1,
        ]


async def test_a_trigger_answers_at_once_and_is_no_instant(site: Site) -> None:
    hold = site.model.hold("from")
    schedule = await site.create()
    path = f"/schedules/{schedule['id']}"
    firing = await site.ask("POST", f"{path}/trigger")
    assert (firing["status"], firing["trigger"], firing["scheduled_for"]) == ("running", "manual", None)
    assert (firing["completed_at"], firing["status_code"]) == (None, None)
    await hold.reached.wait()
    site.model.release()
    waited = await site.ask("POST", f"{path}/trigger?wait=60")
    assert (waited["status"], waited["output"]["content"]) == ("success", "Echo: from a schedule")
    assert (await site.ask("GET", path))["next_run_at"] == schedule["next_run_at"]
    assert len(await site.firings(schedule)) == 2


@pytest.mark.parametrize("fields", [{}, {"endpoint": "/health", "method": "GET", "payload": None}])
async def test_a_trigger_that_is_sent_again_fires_once(site: Site, fields: dict[str, Any]) -> None:
    schedule, headers = await site.create(**fields), {"idempotency-key": "k"}
    path = f"/schedules/{schedule['id']}"
    answers = [await site.client.http.post(f"{path}/trigger", headers=headers) for _ in range(2)]
    await site.ask("PATCH", path, {"description": "changed", "enabled": False})
    answers.append(await site.client.http.post(f"{path}/trigger", headers=headers))
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert [answer.headers.get("idempotency-replayed") for answer in answers] == [None, "true", "true"]
    assert len(await site.firings(schedule)) == 1


async def test_triggers_under_one_key_at_the_same_time_fire_once(site: Site) -> None:
    schedule = await site.create()
    path, headers = f"/schedules/{schedule['id']}/trigger", {"idempotency-key": "k"}
    answers = await asyncio.gather(*(site.ask("POST", path, **headers) for _ in range(5)))
    assert len({answer["id"] for answer in answers}) == 1
    assert len(await site.firings(schedule)) == 1


async def test_a_key_of_another_trigger_is_refused_and_fires_nothing(site: Site) -> None:
    first, second = await site.create(), await site.create(name="other", max_retries=1)
    headers = {"idempotency-key": "k"}
    await site.ask("POST", f"/schedules/{first['id']}/trigger", **headers)
    answer = await site.client.http.post(f"/schedules/{second['id']}/trigger", headers=headers)
    assert "Idempotency-Key" in problem(answer, 409, "CONFLICT")
    assert await site.firings(second) == []
    await site.client.run(to="agents/solo-agent", headers={"idempotency-key": "run"})
    run = await site.ask("POST", f"/schedules/{second['id']}/trigger?wait=60", **{"idempotency-key": "run"})
    assert run["status"] == "success", "a key belongs to its operation"


async def test_a_session_that_another_user_has_made_of_a_schedules_id_stays_without_its_runs(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with with_tokens(serve, monkeypatch) as site:
        admin, ada, bob = (
            TOKENS.bearer(*who) for who in (("root", "agent_os:admin"), ("ada", *WRITER), ("bob", *WRITER))
        )
        for owner in (ada, admin):
            site.headers = owner
            schedule = await site.create(name=f"of {owner is ada}", overlap="skip")
            await site.client.run("mine", to="agents/solo-agent", session_id=f"schedule:{schedule['id']}", headers=bob)
            hold = site.model.hold("from")
            site.at(0)
            first = await site.ask("POST", f"/schedules/{schedule['id']}/trigger")
            await hold.reached.wait()
            skipped = await site.ask("POST", f"/schedules/{schedule['id']}/trigger")
            assert (first["status"], skipped["status"]) == ("running", "skipped")
            site.model.release()
            await site.firings(schedule)
            second = await site.ask("POST", f"/schedules/{schedule['id']}/trigger?wait=60")
            assert second["status"] == "success"
            assert first["session_id"] == second["session_id"] != f"schedule:{schedule['id']}"
            assert (await site.run(first["run_id"])).owner == schedule["owner"]
            runs = await site.ask("GET", f"/agents/solo-agent/runs?session_id=schedule:{schedule['id']}", **bob)
            assert len(runs) == 1


async def test_a_schedule_that_is_created_again_under_its_key_is_there_once(site: Site) -> None:
    body = {**MINUTELY, "cron_expr": None, "at": site.minute(1)}
    answers, headers = [], {"idempotency-key": "k"}
    for seconds in (0, 0, 3600):  # the last one after its only instant
        site.at(seconds)
        answers.append(await site.client.http.post("/schedules", json=body, headers=headers))
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert [answer.headers.get("idempotency-replayed") for answer in answers] == [None, "true", "true"]
    other = await site.client.http.post("/schedules", json={**body, "name": "other"}, headers=headers)
    assert (other.status_code, "Idempotency-Key" in other.json()["detail"]) == (409, True)
    assert (await site.ask("GET", "/schedules"))["meta"]["total_count"] == 1


async def test_a_trigger_of_the_command_line_is_started_by_a_server(site: Site) -> None:
    schedule = await site.create()
    firing = Firing(id="f1", schedule_id=schedule["id"], created_at=0.0, trigger=Trigger.MANUAL, look_at=0.0)
    await site.client.server.database.write(lambda tx: store.add_firing(tx, firing))
    await site.look(1)
    await site.look(2)
    (fired,) = await site.firings(schedule)
    assert (fired["id"], fired["status"], fired["trigger"]) == ("f1", "success", "manual")


async def test_health_may_be_scheduled_and_starts_no_run(site: Site) -> None:
    schedule = await site.create(endpoint="/health", method="GET", payload=None)
    await site.look(31)
    (firing,) = await site.firings(schedule)
    assert (firing["status"], firing["status_code"], firing["run_id"]) == ("success", 200, None)


@pytest.mark.parametrize("message", ["hello", "[[ERROR 500]]"])
async def test_a_firing_outlives_its_run_and_its_instant_does_not_fire_again(site: Site, message: str) -> None:
    schedule = await site.create(payload={"message": message})
    await site.look(31)
    (before,) = await site.firings(schedule)
    await site.ask("DELETE", f"/sessions/{before['session_id']}")
    await site.client.server.worker.upkeep.deletions.once()
    (after,) = await site.firings(schedule)
    assert after == {**before, **dict.fromkeys(("run_id", "session_id", "completed_at", "input", "output"))}
    body = {"start": site.minute(0), "end": site.minute(0)}
    assert (await site.ask("POST", f"/schedules/{schedule['id']}/backfill", body))["data"] == []
    await site.look(32)
    assert await site.firings(schedule) == [after]


async def test_a_backfill_reaches_as_far_back_as_firings_are_kept(site: Site) -> None:
    schedule = await site.create(cron_expr="0 0 1 * *")
    body = {"start": clock.now() - 70 * 86_400, "end": clock.now()}
    answer = await site.client.http.post(f"/schedules/{schedule['id']}/backfill", json=body)
    assert problem(answer, 422, "VALIDATION_ERROR") == ("Firings are kept for 31 days; choose a later start.")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("POST", "/disable", None), ("PATCH", "", {"enabled": False}), ("PATCH", "", {"cron_expr": "0 0 1 1 *"})],
)
async def test_instants_that_passed_before_a_change_leave_a_row_each(
    site: Site, method: str, path: str, body: dict[str, Any] | None
) -> None:
    schedule = await site.create()
    site.at(100)
    await site.ask(method, f"/schedules/{schedule['id']}{path}", body)
    await site.look(101)
    rows = [(one["scheduled_for"], one["status"], one["error"]) for one in await site.firings(schedule)]
    assert rows == [(site.minute(number), "skipped", "changed") for number in (0, 1)]


async def test_long_firings_are_rendered_beside_other_requests(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = await site.create()
    await site.look(31)
    (firing,) = await site.firings(schedule)
    short = await site.ask("GET", f"/schedules/{schedule['id']}/runs")
    threads: list[int] = []

    def noting(value: Firing, scopes: Any) -> Any:
        threads.append(threading.get_ident())
        return firing_object(value, scopes)

    monkeypatch.setattr("musterd.features.schedules.api.firing_object", noting)
    monkeypatch.setattr("musterd.core.long_json.LONG_BYTES", 0)
    assert await site.ask("GET", f"/schedules/{schedule['id']}/runs") == short
    assert await site.ask("GET", f"/schedules/{schedule['id']}/runs/{firing['id']}") == firing
    assert len(threads) == 2
    assert threading.get_ident() not in threads


# Rights


@contextlib.asynccontextmanager
async def with_tokens(serve: Serve, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> AsyncIterator[Site]:
    async with serve(upkeep_seconds=3600, **JWT, **settings) as client:
        yield Site(client, monkeypatch)


async def test_a_schedule_needs_the_right_to_run_its_component(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async with with_tokens(serve, monkeypatch) as site:
        headers = TOKENS.bearer("ada", "schedules:write")
        answer = await site.client.http.post("/schedules", json=YEARLY, headers=headers)
        assert "agents:run" in problem(answer, 403, "FORBIDDEN")
        headers = TOKENS.bearer("ada", "schedules:write", "agents:solo-agent:run")
        assert (await site.client.http.post("/schedules", json=YEARLY, headers=headers)).status_code == 201


async def test_a_schedule_is_its_owners_and_so_are_its_runs(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async with with_tokens(serve, monkeypatch) as site:
        site.headers = TOKENS.bearer("ada", *WRITER)
        schedule = await site.create()
        assert schedule["owner"] == "ada"
        await site.look(31)
        (firing,) = await site.firings(schedule)
        run = await site.run(firing["run_id"])
        assert (run.owner, run.user_id) == ("ada", "ada")
        site.headers = TOKENS.bearer("bob", *WRITER)
        assert (await site.ask("GET", "/schedules"))["data"] == []
        for path in ("", "/runs", "/next", f"/runs/{firing['id']}"):
            answer = await site.client.http.get(f"/schedules/{schedule['id']}{path}", headers=site.headers)
            problem(answer, 404, "NOT_FOUND")
        await site.create()  # names are per owner


async def test_readers_see_neither_the_payload_nor_the_answers(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async with with_tokens(serve, monkeypatch) as site:
        site.headers = TOKENS.bearer("ada", *WRITER)
        secret = {"message": "x", "dependencies": {"token": "s3cret"}}
        schedule = await site.create(payload=secret)
        assert schedule["payload"] == secret
        await site.look(31)
        await site.firings(schedule)
        site.headers = TOKENS.bearer("ada", "schedules:read")
        seen = await site.ask("GET", f"/schedules/{schedule['id']}")
        assert seen["payload"] == {"message": "***", "dependencies": "***"}
        (firing,) = (await site.ask("GET", f"/schedules/{schedule['id']}/runs"))["data"]
        assert (firing["status"], firing["input"], firing["output"]) == ("success", None, None)


async def test_the_scopes_of_a_token_can_be_made_to_lapse(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async with with_tokens(serve, monkeypatch, schedule_scope_days=1 / 1440) as site:
        site.headers = TOKENS.bearer("ada", *WRITER)
        schedule = await site.create()
        await site.look(31)
        await site.look(91)
        statuses = [(one["status"], one["status_code"]) for one in await site.firings(schedule)]
        assert statuses == [("success", 200), ("failed", 403)]
        await site.ask("PATCH", f"/schedules/{schedule['id']}", {"description": "still wanted"})
        await site.look(150)
        assert (await site.firings(schedule))[-1]["status"] == "success"
        await site.look(211)
        assert (await site.firings(schedule))[-1]["status"] == "failed"
        await site.ask("PATCH", f"/schedules/{schedule['id']}", {"description": "still wanted"})  # as it is
        await site.look(270)
        assert (await site.firings(schedule))[-1]["status"] == "success"


async def test_a_revoked_account_stops_its_schedules(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async with with_tokens(serve, monkeypatch) as site:
        admin = TOKENS.bearer("root", "agent_os:admin")
        scopes = [{"scope": scope} for scope in WRITER]
        account = await site.ask("POST", "/service-accounts", {"name": "cron", "scopes": scopes}, **admin)
        site.headers = {"authorization": f"Bearer {account['token']}"}
        schedule = await site.create()
        await site.look(31)
        await site.firings(schedule)
        await site.ask("DELETE", f"/service-accounts/{account['id']}", **admin)
        await site.look(91)
        site.headers = admin
        first, second = await site.firings(schedule)
        assert (first["status"], second["status"]) == ("success", "failed")
        assert second["error"] == "The service account of this schedule was revoked, or its token has expired."


async def test_a_schedule_of_an_open_server_stops_once_the_server_asks_for_a_key(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_process(app_on(database, upkeep_seconds=3600)) as client:
        schedule = await Site(client, monkeypatch).create()
    async with in_process(app_on(database, upkeep_seconds=3600, security_key="k")) as client:
        site = Site(client, monkeypatch)
        site.headers = {"authorization": "Bearer k"}
        await site.look(31)
        (firing,) = await site.firings(schedule)
        assert (firing["status"], firing["status_code"]) == ("failed", 403)


# Declared in code


def declared(*schedules: Schedule, database: Path, agent: Agent) -> Any:
    settings = settings_for(database, upkeep_seconds=3600)
    return create_app(agents=[agent], schedules=schedules, settings=settings)


async def test_a_declared_schedule_is_served_and_changes_with_the_code_alone(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = Agent(id="solo-agent", model="scripted")
    first = Schedule("morning", cron="0 7 * * *", timezone="Europe/Oslo", run=agent, message="good morning")
    async with in_process(declared(first, database=database, agent=agent)) as client:
        site = Site(client, monkeypatch)
        (schedule,) = (await site.ask("GET", "/schedules"))["data"]
        assert (schedule["name"], schedule["is_declared"], schedule["timezone"]) == ("morning", True, "Europe/Oslo")
        for method in ("PATCH", "DELETE"):
            answer = await client.http.request(method, f"/schedules/{schedule['id']}", json={"name": "evening"})
            assert "declared in code" in problem(answer, 409, "CONFLICT")
        await site.ask("POST", f"/schedules/{schedule['id']}/disable")
    changed = Schedule("morning", cron="0 8 * * *", run=agent, message="good morning")
    other = Schedule("minutely", cron="* * * * *", run=agent, message="tick")
    async with in_process(declared(changed, other, database=database, agent=agent)) as client:
        site = Site(client, monkeypatch)
        schedules = {one["name"]: one for one in (await site.ask("GET", "/schedules"))["data"]}
        assert set(schedules) == {"morning", "minutely"}
        assert (schedules["morning"]["cron_expr"], schedules["morning"]["enabled"]) == ("0 8 * * *", False)
        await site.look(31)
        (firing,) = await site.firings(schedules["minutely"])
        assert firing["output"]["content"] == "Echo: tick"
    async with in_process(declared(other, database=database, agent=agent)) as client:
        assert [one["name"] for one in (await client.get("/schedules"))["data"]] == ["minutely"]


async def test_a_deploy_that_changes_times_leaves_a_row_for_each_instant_that_passed(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = Agent(id="solo-agent", model="scripted")
    before, after = [Schedule("tick", cron=cron, run=agent, message="x") for cron in ("* * * * *", "0 0 1 1 *")]
    async with in_process(declared(before, database=database, agent=agent)) as client:
        (schedule,) = (await client.get("/schedules"))["data"]
    first = schedule["next_run_at"]
    monkeypatch.setattr(clock, "now", lambda: first + 90.0)
    async with in_process(declared(after, database=database, agent=agent)) as client:
        site = Site(client, monkeypatch)
        rows = [(one["scheduled_for"], one["status"], one["error"]) for one in await site.firings(schedule)]
    assert rows == [(first, "skipped", "changed"), (first + 60, "skipped", "changed")]


async def test_a_paused_run_is_a_paused_firing_that_goes_on_when_it_is_decided(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @tool(requires_confirmation=True)
    def delete_file(path: str) -> str:
        """Delete a file."""
        return f"deleted {path}"

    served = Sample([], [Agent(id="solo-agent", model="scripted", tools=[delete_file])])
    async with in_process(app_on(database, served=served, upkeep_seconds=3600)) as client:
        site = Site(client, monkeypatch)
        schedule = await site.create(payload={"message": '[[TOOL delete_file {"path": "/x"}]]'})
        await site.look(31)
        (firing,) = await site.firings(schedule)
        assert (firing["status"], firing["completed_at"]) == ("paused", None)
        (requirement,) = firing["requirements"]
        assert requirement["tool_execution"]["tool_name"] == "delete_file"
        data = {
            "session_id": firing["session_id"],
            "stream": False,
            "requirements": [{**requirement, "confirmation": True}],
        }
        await site.ask("POST", f"/agents/solo-agent/runs/{firing['run_id']}/continue", data)
        (firing,) = await site.firings(schedule)
        assert (firing["status"], firing["requirements"]) == ("success", None)


async def test_a_declaration_takes_over_the_schedule_of_its_name(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = Agent(id="solo-agent", model="scripted")
    async with in_process(declared(database=database, agent=agent)) as client:
        made = await Site(client, monkeypatch).create()
    tick = Schedule("every minute", cron="@hourly", run=agent, message="tick")
    async with in_process(declared(tick, database=database, agent=agent)) as client:
        (schedule,) = (await client.get("/schedules"))["data"]
        assert (schedule["id"], schedule["is_declared"], schedule["cron_expr"]) == (made["id"], True, "@hourly")


@pytest.mark.parametrize("is_disabled", [False, True])
async def test_a_declared_schedule_that_is_over_goes_on_at_a_new_time(
    database: Path, monkeypatch: pytest.MonkeyPatch, is_disabled: bool
) -> None:
    agent = Agent(id="solo-agent", model="scripted")
    first, second = [Schedule("once", at=f"20{year}-01-01T00:00", run=agent, message="x") for year in (98, 99)]
    async with in_process(declared(first, database=database, agent=agent)) as client:
        site = Site(client, monkeypatch)
        (schedule,) = (await site.ask("GET", "/schedules"))["data"]
        if is_disabled:
            await site.ask("POST", f"/schedules/{schedule['id']}/disable")
        monkeypatch.setattr(clock, "now", lambda: schedule["next_run_at"] + 1.0)
        await client.server.service(ScheduleService).fire_due()
        await site.firings(schedule)
    async with in_process(declared(second, database=database, agent=agent)) as client:
        (after,) = (await client.get("/schedules"))["data"]
        assert after["enabled"] is not is_disabled


async def test_a_schedule_that_is_over_goes_on_at_a_new_time(site: Site) -> None:
    schedule = await site.create(cron_expr=None, at=site.minute(0))
    await site.look(40)
    await site.firings(schedule)
    after = await site.ask("PATCH", f"/schedules/{schedule['id']}", {"at": site.minute(5)})
    assert (after["enabled"], after["next_run_at"]) == (True, site.minute(5))


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        ({"run_id": "r1"}, "Each run has an id of its own"),
        ({"timeout_seconds": 60}, "Set timeout_seconds of the schedule"),
        ({"on_busy": "parallel"}, "Set overlap of the schedule"),
        ({"delay_seconds": 7200}, "delay_seconds"),
        ({"images": "none"}, "payload.images"),
        ({"stream_events": "x"}, "payload.stream_events"),
    ],
)
async def test_a_declared_payload_that_starts_no_run_stops_the_start(
    database: Path, payload: dict[str, Any], problem: str
) -> None:
    agent = Agent(id="solo-agent", model="scripted")
    tick = Schedule("tick", cron="@hourly", run=agent, message="x", payload=payload)
    with pytest.raises(StartError, match=rf"^schedule 'tick': .*{problem}.* — change its message or payload$"):
        async with in_process(declared(tick, database=database, agent=agent)):
            pass


async def test_a_declared_schedule_of_a_component_that_is_gone_can_be_deleted(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, other = (Agent(id=name, model="scripted") for name in ("solo-agent", "other"))
    tick = Schedule("tick", cron="@hourly", run=agent, message="x")
    async with in_process(declared(tick, database=database, agent=agent)) as client:
        (schedule,) = (await client.get("/schedules"))["data"]
    async with in_process(declared(database=database, agent=other)) as client:
        await Site(client, monkeypatch).ask("DELETE", f"/schedules/{schedule['id']}")
        assert (await client.get("/schedules"))["data"] == []


async def test_a_process_that_starts_first_leaves_the_instants_of_others_to_them(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, other = (Agent(id=name, model="scripted") for name in ("solo-agent", "other"))
    hourly = Schedule("tick", cron="@hourly", run=agent, message="x")
    async with in_process(declared(hourly, database=database, agent=agent)) as client:
        (schedule,) = (await client.get("/schedules"))["data"]
    path = f"/schedules/{schedule['id']}/runs"
    async with in_process(declared(database=database, agent=other)) as client:
        site = Site(client, monkeypatch)
        monkeypatch.setattr(clock, "now", lambda: schedule["next_run_at"] + 600.0)
        await client.server.service(ScheduleService).fire_due()
        assert (await site.ask("GET", path))["data"] == []
        started_at = clock.monotonic()
        monkeypatch.setattr(clock, "monotonic", lambda: started_at + 61.0)
        await client.server.service(ScheduleService).fire_due()
        (firing,) = (await site.ask("GET", path))["data"]
        assert (firing["status"], firing["run_id"]) == ("failed", None)


async def test_servers_that_start_at_the_same_time_declare_the_same(database_url: str) -> None:
    agent = Agent(id="solo-agent", model="scripted")
    tick = Schedule("tick", cron="@hourly", run=agent, message="tick")
    servers = [
        create_app(agents=[agent], schedules=[tick], settings=Settings(db=database_url)).state.server for _ in range(3)
    ]
    async with contextlib.AsyncExitStack() as stack:
        await asyncio.gather(*(stack.enter_async_context(server.running()) for server in servers))
        stored = await servers[0].database.scan(lambda tx: store.named(tx, "tick"))
    assert len(stored) == 1
