"""The toolkit ``schedules``: what agents may schedule, for whom, and with whose rights it fires."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from musterd import Agent, Schedule, SchedulerTools, Settings, create_app
from musterd.core import clock
from musterd.features.schedules.records import Definition
from musterd.features.schedules.service import ScheduleService
from tests.support.app import Sample, app_on, in_process, settings_for
from tests.support.http import ServerClient
from tests.support.tokens import SECRET, Issuer

JWT: dict[str, Any] = {"jwt_verification_key": SECRET, "jwt_algorithms": "HS256"}
TOKENS = Issuer(algorithm="HS256", key=SECRET)
AGENT = "agents/planner"
REPORT = {"name": "report", "message": "Write the report.", "cron": "0 7 * * *", "timezone": "Europe/Oslo"}
MINUTELY = {**REPORT, "cron": "* * * * *"}
SCOPES = ("agents:run", "agents:read")


def planner(**options: Any) -> Agent:
    kit = SchedulerTools(**options) if options else "schedules"
    return Agent(id="planner", model="scripted", tools=[kit])


@contextlib.asynccontextmanager
async def serving(database: Path, *, asks: bool = False, **settings: Any) -> AsyncIterator[ServerClient]:
    agent = planner() if asks else planner(requires_confirmation_tools=[])
    served = Sample([], [agent])
    async with in_process(app_on(database, served=served, upkeep_seconds=3600, **settings)) as client:
        yield client


async def called(client: ServerClient, tool: str, arguments: Any = None, **fields: Any) -> Any:
    """The result of a call that the agent makes in a run of its own."""
    run = await client.run(f"[[TOOL {tool} {json.dumps(arguments or {})}]]", AGENT, **fields)
    (call,) = run["tools"]
    return call["result"] if call["tool_call_error"] else parsed(call["result"])


def parsed(result: str) -> Any:
    try:
        return json.loads(result)
    except ValueError:
        return result


async def names(client: ServerClient, **fields: Any) -> list[str]:
    """The names of the schedules that the agent lists."""
    return [one["name"] for one in (await called(client, "list_schedules", **fields))["schedules"]]


async def fired(client: ServerClient, schedule_id: str, monkeypatch: pytest.MonkeyPatch, **headers: str) -> Any:
    """What became of the next instant of a schedule, after its run has ended."""
    due_at = (await client.http.get(f"/schedules/{schedule_id}", headers=headers)).json()["next_run_at"]
    monkeypatch.setattr(clock, "now", lambda: due_at + 1.0)
    return await fire(client, schedule_id, **headers)


async def fire(client: ServerClient, schedule_id: str, **headers: str) -> Any:
    """The last firing of a schedule, after what is due has fired."""
    path = f"/schedules/{schedule_id}"
    await client.server.service(ScheduleService).fire_due()
    (firing,) = (await client.http.get(f"{path}/runs?limit=1", headers=headers)).json()["data"]
    if firing["run_id"] is not None:
        query = f"?session_id={firing['session_id']}&wait=60"
        answer = await client.http.get(f"/{AGENT}/runs/{firing['run_id']}{query}", headers=headers)
        assert answer.is_success, answer.text
        (firing,) = (await client.http.get(f"{path}/runs?limit=1", headers=headers)).json()["data"]
    return firing


async def test_a_person_confirms_what_an_agent_schedules_and_it_fires(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(database, asks=True) as client:
        run = await client.run(f"[[TOOL create_schedule {json.dumps(REPORT)}]]", AGENT)
        assert run["status"] == "PAUSED"
        assert (await client.get("/schedules"))["data"] == []
        tools = json.dumps([{**run["tools"][0], "confirmed": True}])
        data = {"session_id": run["session_id"], "stream": "false", "tools": tools}
        answer = (await client.http.post(f"/{AGENT}/runs/{run['run_id']}/continue", data=data)).json()
        created = json.loads(answer["tools"][0]["result"])
        (schedule,) = (await client.get("/schedules"))["data"]
        assert created == {
            "schedule_id": schedule["id"],
            "name": "report",
            "message": "Write the report.",
            "cron": "0 7 * * *",
            "timezone": "Europe/Oslo",
            "enabled": True,
            "next_time": created["next_time"],
        }
        assert created["next_time"][10:19] == "T07:00:00"
        assert (schedule["endpoint"], schedule["payload"]) == (f"/{AGENT}/runs", {"message": "Write the report."})
        firing = await fired(client, schedule["id"], monkeypatch)
        assert (firing["status"], firing["output"]["content"]) == ("success", "Echo: Write the report.")


async def test_an_agent_lists_disables_enables_and_deletes(database: Path) -> None:
    async with serving(database) as client:
        created = await called(client, "create_schedule", REPORT)
        once = {"name": "once", "message": "Call Ana.", "at": "2099-01-31T09:00", "description": "a call"}
        await called(client, "create_schedule", once)
        listed = await called(client, "list_schedules")
        assert [one["name"] for one in listed["schedules"]] == ["once", "report"]
        assert listed["schedules"][0]["at"] == "2099-01-31T09:00:00+00:00"
        assert listed["schedules"][1] == created
        same = {"schedule_id": created["schedule_id"]}
        assert not (await called(client, "disable_schedule", same))["enabled"]
        assert await called(client, "enable_schedule", same) == created
        await called(client, "delete_schedule", same)
        assert await names(client) == ["once"]
        assert "no schedule" in await called(client, "delete_schedule", same), "deleting it again changes nothing"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cron": "every day"}, "Invalid cron expression: every day"),
        ({"timezone": "Mars/One"}, "Invalid timezone: Mars/One"),
        ({"at": "2099-01-31T09:00"}, "Set either cron_expr or at"),
        ({"cron": None}, "cron_expr: Field required"),
        ({"cron": None, "at": "2001-01-31T09:00"}, "no instant in the future"),
        ({"name": "-"}, "Input should begin with a letter"),
        ({"message": ""}, "message"),
    ],
)
async def test_the_model_reads_what_is_wrong(database: Path, changes: dict[str, Any], words: str) -> None:
    async with serving(database) as client:
        assert words in await called(client, "create_schedule", {**REPORT, **changes})
        assert await names(client) == []


async def test_a_name_is_taken_once(database: Path) -> None:
    async with serving(database) as client:
        await called(client, "create_schedule", REPORT)
        assert "already exists" in await called(client, "create_schedule", REPORT)


async def test_a_repeated_call_gets_its_schedule_though_its_only_time_has_passed(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(database) as client:
        run = await client.run("hello", AGENT)
        schedules = await client.server.service(ScheduleService).of_run(run["run_id"])
        at = clock.now() + 60
        once = Definition(endpoint=schedules.endpoint, at=at, payload={"message": "x"})
        created = await schedules.create("s1", "once", once)
        monkeypatch.setattr(clock, "now", lambda: at + 1)
        assert await schedules.create("s1", "once", once) == created


async def test_users_that_requests_name_have_their_own_schedules(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(database, security_key="k") as client:
        client.http.headers["authorization"] = "Bearer k"
        created = await called(client, "create_schedule", REPORT, user_id="ana")
        assert await names(client, user_id="ana") == ["report"]
        assert await names(client, user_id="bob") == await names(client) == []
        same = {"schedule_id": created["schedule_id"]}
        for tool in ("disable_schedule", "enable_schedule"):
            assert await called(client, tool, same, user_id="bob") == "Schedule not found"
        await called(client, "delete_schedule", same, user_id="bob")
        assert await names(client, user_id="ana") == ["report"]
        firing = await fired(client, created["schedule_id"], monkeypatch)
        run = await client.get(f"/{AGENT}/runs/{firing['run_id']}", session_id=firing["session_id"])
        assert run["user_id"] == "ana"


async def test_a_schedule_of_an_agent_has_the_rights_of_its_user_only(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(database, **JWT) as client:
        ana, bob = TOKENS.bearer("ana", *SCOPES), TOKENS.bearer("bob", *SCOPES)
        created = await called(client, "create_schedule", MINUTELY, headers=ana)
        assert await names(client, headers=ana) == ["report"]
        assert await names(client, headers=bob) == []
        same = {"schedule_id": created["schedule_id"]}
        assert await called(client, "disable_schedule", same, headers=bob) == "Schedule not found"
        reader = TOKENS.bearer("ana", *SCOPES, "schedules:read")
        stored = (await client.http.get(f"/schedules/{created['schedule_id']}", headers=reader)).json()
        assert stored["owner"] == "ana"
        firing = await fired(client, created["schedule_id"], monkeypatch, **reader)
        assert firing["status"] == "success"


async def test_rights_that_lapse_are_not_renewed_by_a_schedule_of_a_schedule(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(database, **JWT, schedule_scope_days=150 / 86_400) as client:
        ana = TOKENS.bearer("ana", *SCOPES, "schedules:read", "schedules:write")
        message = f"[[TOOL create_schedule {json.dumps({**MINUTELY, 'name': 'inner'})}]]"
        outer = {"cron_expr": "* * * * *", "endpoint": f"/{AGENT}/runs", "payload": {"message": message}}
        began = clock.now()
        created = (await client.http.post("/schedules", json={"name": "outer", **outer}, headers=ana)).json()
        assert (await fired(client, created["id"], monkeypatch, **ana))["status"] == "success"
        listed = (await client.http.get("/schedules", headers=ana)).json()["data"]
        (made,) = [one for one in listed if one["name"] == "inner"]
        monkeypatch.setattr(clock, "now", lambda: began + 160)
        firing = await fire(client, made["id"], **ana)
        assert (firing["status"], firing["status_code"]) == ("failed", 403)


async def test_a_revoked_account_stops_what_its_agents_have_scheduled(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(database, **JWT) as client:
        admin = TOKENS.bearer("root", "agent_os:admin")
        body = {"name": "cron", "scopes": [{"scope": "agents:run"}]}
        account = (await client.http.post("/service-accounts", json=body, headers=admin)).json()
        headers = {"authorization": f"Bearer {account['token']}"}
        created = await called(client, "create_schedule", MINUTELY, headers=headers)
        assert (await fired(client, created["schedule_id"], monkeypatch, **admin))["status"] == "success"
        await client.http.delete(f"/service-accounts/{account['id']}", headers=admin)
        firing = await fired(client, created["schedule_id"], monkeypatch, **admin)
        assert firing["error"] == "The service account of this schedule was revoked, or its token has expired."


async def test_a_run_of_nobody_schedules_nothing_where_users_have_tokens(database: Path) -> None:
    agent = planner(requires_confirmation_tools=[])
    listing = Schedule("listing", cron="0 0 1 1 *", run=agent, message="[[TOOL list_schedules {}]]")
    settings: Settings = settings_for(database, upkeep_seconds=3600, **JWT)
    async with in_process(create_app(agents=[agent], schedules=[listing], settings=settings)) as client:
        admin = TOKENS.bearer("root", "agent_os:admin")
        (declared,) = (await client.http.get("/schedules", headers=admin)).json()["data"]
        path = f"/schedules/{declared['id']}/trigger?wait=60"
        triggered = (await client.http.post(path, headers=admin)).json()
        assert "listing" in triggered["output"]["content"], "it acts as the schedule that started it"
