"""What the server says about itself: home, health, card, configuration, models, teams, agents, docs."""

from typing import Any

import pytest
from dirty_equals import IsStr

import musterd
from tests.support.app import Serve
from tests.support.http import ServerClient, problem

WEATHER_TOOL = {
    "name": "get_weather",
    "description": "Get the weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "Name of the city."}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
MODEL = {"name": "Scripted", "model": "scripted", "provider": "Scripted"}
WRITER = {
    "id": "writer-agent",
    "name": "Writer Agent",
    "db_id": "musterd-db",
    "role": "Writes text",
    "model": MODEL,
    "sessions": {"session_table": "sessions"},
    "is_component": False,
}


async def test_home(serve: Serve) -> None:
    async with serve(os_name="Desk", os_id="desk-1") as client:
        assert await client.get("/") == {"name": "Desk", "id": "desk-1", "version": musterd.__version__}


async def test_a_browser_is_sent_on(client: ServerClient) -> None:
    answer = await client.http.get("/", headers={"accept": "text/html,*/*"})
    assert (answer.status_code, answer.headers["location"]) == (307, "ui/")


async def test_health(client: ServerClient) -> None:
    health = await client.get("/health")
    assert health == {"status": "ok", "instantiated_at": IsStr(regex=r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")}
    assert await client.get("/health") == health


def domain(*tables: str) -> dict[str, Any]:
    """Where a kind of records is."""
    database = {"db_id": "musterd-db", "domain_config": {"display_name": "musterd-db"}}
    return {"dbs": [{**database, "tables": list(tables)} if tables else database]}


async def test_config(serve: Serve) -> None:
    async with serve(os_id="desk-1", os_description="A desk") as client:
        config = await client.get("/config")
    teams = config.pop("teams")
    assert config == {
        "os_id": "desk-1",
        "name": "musterd",
        "description": "A desk",
        "available_models": [],
        "os_database": "musterd-db",
        "databases": ["musterd-db"],
        "session": domain("sessions"),
        "metrics": domain("daily_metrics"),
        "memory": domain("memories"),
        "evals": domain("evals"),
        "traces": domain(),
        "agents": [
            {"id": "weather-agent", "name": "Weather Agent", "db_id": "musterd-db"},
            {"id": "solo-agent", "name": "Solo Agent", "db_id": "musterd-db"},
        ],
        "workflows": [],
        "interfaces": [],
    }
    assert teams[0] == {
        "id": "demo-team",
        "name": "Demo Team",
        "description": "A demo team",
        "db_id": "musterd-db",
        "mode": "coordinate",
    }
    assert teams[-1]["mode"] == "route"


async def test_models(client: ServerClient) -> None:
    assert await client.get("/models") == [{"id": "scripted", "provider": "Scripted"}]


async def test_info(client: ServerClient) -> None:
    assert await client.get("/info") == {
        "os_id": "musterd",
        "name": "musterd",
        "os_version": musterd.__version__,
        "agno_version": "2.5.6",
        "agent_count": 2,
        "team_count": 8,
        "workflow_count": 0,
        "mcp": {"enabled": False, "path": None, "oauth": None, "tool_run_endpoint": False},
        "auth_mode": "none",
        "user_isolation": False,
    }


async def test_a_team(client: ServerClient) -> None:
    team = await client.get("/teams/demo-team")
    tools = team.pop("tools")["tools"]
    weather = team["members"][0].pop("tools")["tools"]
    assert team == {
        "id": "demo-team",
        "name": "Demo Team",
        "db_id": "musterd-db",
        "description": "A demo team",
        "mode": "coordinate",
        "model": MODEL,
        "sessions": {"session_table": "sessions"},
        "system_message": {"description": "A demo team", "instructions": ["Be brief"]},
        "streaming": {"stream_member_events": True},
        "members": [
            {
                "id": "weather-agent",
                "name": "Weather Agent",
                "db_id": "musterd-db",
                "role": "Reports the weather",
                "model": MODEL,
                "sessions": {"session_table": "sessions"},
                "is_component": False,
            },
            WRITER,
        ],
        "is_component": False,
    }
    assert tools[0] == weather[0] == WEATHER_TOOL
    assert tools[-1]["name"] == "delegate_task_to_member"
    assert set(tools[-1]["parameters"]["properties"]) == {"member_id", "task"}


async def test_an_agent(client: ServerClient) -> None:
    agent = await client.get("/agents/weather-agent")
    assert agent == {
        "id": "weather-agent",
        "name": "Weather Agent",
        "db_id": "musterd-db",
        "role": "Reports the weather",
        "model": MODEL,
        "tools": {"tools": [WEATHER_TOOL]},
        "sessions": {"session_table": "sessions"},
        "is_component": False,
    }


async def test_a_nested_team(client: ServerClient) -> None:
    (inner,) = (await client.get("/teams/outer-team"))["members"]
    assert (inner["id"], inner["mode"], inner["model"]) == ("inner-team", "coordinate", MODEL)
    assert [member["id"] for member in inner["members"]] == ["n-writer-agent"]


async def test_lists_hold_the_same(client: ServerClient) -> None:
    for kind in ("teams", "agents"):
        components = await client.get(f"/{kind}")
        assert isinstance(components, list)
        for item in components:
            assert await client.get(f"/{kind}/{item['id']}") == item
            assert item["id"]
            assert item["name"]
            assert item["db_id"]
            assert set(item["model"]) == {"name", "model", "provider"}


@pytest.mark.parametrize(("path", "words"), [("/teams/nope", "Team not found"), ("/agents/nope", "Agent not found")])
async def test_what_is_not_found(client: ServerClient, path: str, words: str) -> None:
    assert problem(await client.http.get(path), 404, "NOT_FOUND") == words


async def test_a_trailing_slash_is_forgiven(client: ServerClient) -> None:
    answer = await client.http.get("/teams/", follow_redirects=True)
    assert answer.json() == await client.get("/teams")
    answer = await client.post(to="teams//demo-team")
    assert answer.status_code == 404
    answer = await client.http.post("/teams/a%2Fb/runs/?x=1&y=%0d%0a")
    assert (answer.status_code, answer.headers["location"]) == (307, "/teams/a%2Fb/runs?x=1&y=%0d%0a")


@pytest.mark.parametrize("path", ["//evil.example/teams/", "/teams//", "/nope/", "//", "/teams/%2e%2e/", "/./teams/"])
async def test_a_slash_leads_to_no_other_place(serve: Serve, path: str) -> None:
    async with serve(is_loopback=False) as client:
        answer = await client.http.request("GET", path, headers={"host": "evil.example"})
        assert "evil.example" not in answer.headers.get("location", "")
        assert not answer.headers.get("location", "/").startswith("//")


async def test_a_get_with_a_content_type(client: ServerClient) -> None:
    """One real client sends it with every GET."""
    answer = await client.http.get("/teams", headers={"content-type": "application/json"})
    assert answer.status_code == 200


async def test_docs_may_be_turned_off(serve: Serve) -> None:
    paths = ("/docs", "/redoc", "/openapi.json")
    async with serve() as client:
        assert [(await client.http.get(path)).status_code for path in paths] == [200] * 3
    async with serve(docs_enabled=False) as client:
        for path in paths:
            problem(await client.http.get(path), 404, "NOT_FOUND")
        home: Any = await client.http.get("/", headers={"accept": "text/html"})
        assert home.headers["location"] == "ui/"
