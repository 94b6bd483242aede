"""Daily usage: counted on request, and stored once a day is over."""

import pytest
from dirty_equals import IsStr

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.features.usage.service import UsageService
from tests.support.http import ServerClient, problem, wrong_fields
from tests.support.store import Records

IS_TIME = IsStr(regex=r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
DAY_SECONDS = 86400
NOON = 20_000 * DAY_SECONDS + DAY_SECONDS / 2
TODAY, TOMORROW = "2024-10-04", "2024-10-05"


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that it is: the last of the list."""
    times = [NOON]
    monkeypatch.setattr(clock, "now", lambda: times[-1])
    return times


async def test_today_is_counted_when_it_is_asked_for(client: ServerClient, times: list[float]) -> None:
    assert await client.get("/metrics") == {"metrics": [], "updated_at": None}
    await client.run("Ask. [[DELEGATE writer-agent: x]]", session_id="s1", user_id="ada")
    await client.run("hello", to="agents/solo-agent", session_id="s2", user_id="bob")
    usage = await client.get("/metrics")
    assert usage == {
        "metrics": [
            {
                "id": TODAY,
                "agent_runs_count": 1,
                "agent_sessions_count": 1,
                "team_runs_count": 1,
                "team_sessions_count": 1,
                "workflow_runs_count": 0,
                "workflow_sessions_count": 0,
                "users_count": 2,
                "token_metrics": {
                    "input_tokens": 40,
                    "output_tokens": 20,
                    "total_tokens": 60,
                    "audio_total_tokens": 0,
                    "audio_input_tokens": 0,
                    "audio_output_tokens": 0,
                    "cache_read_tokens": 0,
                    "cache_write_tokens": 0,
                    "reasoning_tokens": 0,
                },
                "model_metrics": [{"model_id": "scripted", "model_provider": "Scripted", "count": 3}],
                "date": f"{TODAY}T00:00:00Z",
                "created_at": IS_TIME,
                "updated_at": IS_TIME,
            }
        ],
        "updated_at": IS_TIME,
    }
    assert (await client.http.post("/metrics/refresh")).json() == usage["metrics"]


async def test_a_day_that_is_over_outlives_its_sessions(client: ServerClient, times: list[float]) -> None:
    await client.run("hello", session_id="s1")
    await client.run("hello", session_id="s2")
    await client.http.delete("/sessions/s1")
    times.append(NOON + DAY_SECONDS)
    await client.run("hello", session_id="s3")
    both = (await client.get("/metrics"))["metrics"]
    assert [(day["id"], day["team_runs_count"]) for day in both] == [(TODAY, 2), (TOMORROW, 1)]
    await client.http.delete("/sessions/s2")
    times.append(NOON + 3 * DAY_SECONDS)
    again = (await client.get("/metrics"))["metrics"]
    assert [day["team_runs_count"] for day in again] == [2, 1]
    assert again[0] == both[0], "it was kept, and is not counted again"
    assert [day["id"] for day in (await client.get("/metrics", starting_date=TOMORROW))["metrics"]] == [TOMORROW]
    assert [day["id"] for day in (await client.get("/metrics", ending_date=TODAY))["metrics"]] == [TODAY]
    assert (await client.http.post("/metrics/refresh")).json() == [], "nothing is left to be counted"


async def test_a_day_that_has_just_ended_is_not_kept_yet(client: ServerClient, times: list[float]) -> None:
    await client.run("hello", session_id="s1")
    midnight = NOON + DAY_SECONDS / 2
    for at, is_kept in ((midnight + 1, False), (midnight + 300, True)):
        times.append(at)
        assert [day["id"] for day in (await client.get("/metrics"))["metrics"]] == [TODAY]
        assert ((await client.http.post("/metrics/refresh")).json() == []) is is_kept


async def test_a_user_gets_the_figures_of_its_own_runs(client: ServerClient, times: list[float]) -> None:
    ada, boss = Caller(user_id="ada", label="ada"), Caller(user_id="boss", label="boss", is_admin=True)
    await client.run("hello")
    usage = client.server.service(UsageService)
    assert await usage.days(None, None, ada) == []
    (day,) = await usage.days(None, None, boss)
    assert day.figures.runs == {"team": 1}


async def test_a_users_request_keeps_a_day_that_is_over_for_all(client: ServerClient, times: list[float]) -> None:
    for session_id in ("s1", "s2"):
        await client.run("hello", session_id=session_id)
    await Records(client.server.database).execute("UPDATE runs SET owner = 'ada' WHERE session_id = 's1'")
    times.append(NOON + 2 * DAY_SECONDS)
    usage = client.server.service(UsageService)
    (day,) = await usage.days(None, None, Caller(user_id="ada", label="ada"))
    assert day.figures.runs == {"team": 1}
    boss = Caller(user_id="boss", label="boss", is_admin=True)
    assert await usage.refresh(boss) == [], "nothing is left to be counted"
    (day,) = await usage.days(None, None, boss)
    assert day.figures.runs == {"team": 2}


async def test_figures_are_counted_in_the_background(client: ServerClient, times: list[float]) -> None:
    status = "/metrics/refresh/status"
    assert await client.get(status) == {"status": "idle", "started_at": None, "finished_at": None, "error": None}
    await client.run("hello")
    answer = await client.http.post("/metrics/refresh", params={"background": "true"})
    assert (answer.status_code, answer.json()["status"]) == (202, "started")
    refreshing = client.server.service(UsageService)._refreshing
    assert refreshing is not None
    await refreshing
    assert await client.get(status) == {
        "status": "completed",
        "started_at": IS_TIME,
        "finished_at": IS_TIME,
        "error": None,
    }


async def test_what_is_wrong_with_a_query_is_said(client: ServerClient) -> None:
    answer = await client.http.get("/metrics", params={"starting_date": "1.1.2026", "ending_date": "0001-01-01"})
    assert wrong_fields(answer) == [("query", "starting_date"), ("query", "ending_date")]
    answer = await client.http.get("/metrics", params={"starting_date": TOMORROW, "ending_date": TODAY})
    assert wrong_fields(answer) == [("query", "ending_date")]
    assert wrong_fields(await client.http.post("/metrics/refresh?background=maybe")) == [("query", "background")]
    problem(await client.http.get("/metrics", params={"db_id": "other"}), 404, "NOT_FOUND")
