"""Teams, agents, models and the server's card, as clients list them."""

from typing import Any

from musterd.declare import Agent, Component, Registry, Team, tool
from musterd.models.names import ModelInfo, describe
from musterd.wire.components import (
    DB_ID,
    ServerCard,
    component_item,
    config,
    health,
    home,
    info,
    model_items,
)

CARD = ServerCard(os_id="demo-os", name="musterd", description="demo", version="0.1.0", started_at=1795596890.047019)


@tool
def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return city


def words(component: Component) -> ModelInfo:
    return describe(component.model)


def registry(**team: Any) -> Registry:
    weather = Agent(id="weather-agent", name="Weather Agent", role="Reports the weather", tools=[get_weather])
    writer = Agent(id="writer-agent", name="Writer Agent", role="Writes text", model="openai-chat:gpt-5-mini")
    inner = Team(id="inner-team", name="Inner Team", members=[writer])
    fields: dict[str, Any] = {"id": "demo-team", "name": "Demo Team", "model": "openai-chat:gpt-5"}
    return Registry.of([Team(members=[weather, inner], **{**fields, **team})], [writer])


def test_instructions_that_a_function_gives_are_not_shown() -> None:
    team = registry(description="A demo team", instructions=lambda: "Be brief").teams["demo-team"]
    assert component_item(team, words)["system_message"] == {"description": "A demo team"}


def test_a_team() -> None:
    team = registry(description="A demo team", instructions=["Be brief"], tools=[get_weather]).teams["demo-team"]
    rendered: Any = component_item(team, words)
    assert list(rendered) == [
        "id",
        "name",
        "db_id",
        "description",
        "mode",
        "model",
        "tools",
        "sessions",
        "system_message",
        "streaming",
        "members",
        "is_component",
    ]
    assert (rendered["id"], rendered["name"], rendered["db_id"]) == ("demo-team", "Demo Team", DB_ID)
    assert (rendered["mode"], rendered["is_component"]) == ("coordinate", False)
    assert rendered["model"] == {"name": "OpenAIChat", "model": "gpt-5", "provider": "OpenAI"}
    assert [item["name"] for item in rendered["tools"]["tools"]] == ["get_weather", "delegate_task_to_member"]
    own, delegate = rendered["tools"]["tools"]
    assert set(own) == {"name", "description", "parameters"}
    assert own["parameters"]["required"] == ["city"]
    assert delegate["parameters"]["required"] == ["member_id", "task"]
    assert rendered["system_message"] == {"description": "A demo team", "instructions": ["Be brief"]}
    assert rendered["streaming"] == {"stream_member_events": True}


def test_members_are_nested_with_their_leaders_model() -> None:
    team: Any = component_item(registry().teams["demo-team"], words)
    weather, inner = team["members"]
    assert list(weather) == ["id", "name", "db_id", "role", "model", "tools", "sessions", "is_component"]
    assert weather["role"] == "Reports the weather"
    assert weather["model"]["model"] == "gpt-5"
    assert [member["id"] for member in inner["members"]] == ["writer-agent"]
    assert "tools" not in inner["members"][0]


def test_an_agent_alone() -> None:
    item: Any = component_item(registry().agents["writer-agent"], words)
    assert list(item) == ["id", "name", "db_id", "role", "model", "sessions", "is_component"]


def test_what_an_agent_says_of_itself_is_shown() -> None:
    agent = Agent(id="greeter", model="openai-chat:gpt-5", description="Greets people", introduction="Hello!")
    item: Any = component_item(Registry.of(agents=[agent]).agents["greeter"], words)
    assert (item["description"], item["introduction"]) == ("Greets people", "Hello!")
    assert item["system_message"] == {"description": "Greets people"}


def test_models_are_told_once() -> None:
    offered = registry()
    items = model_items([*offered.teams.values(), *offered.agents.values()], words)
    assert items == [{"id": "gpt-5", "provider": "OpenAI"}, {"id": "gpt-5-mini", "provider": "OpenAI"}]


def test_config() -> None:
    offered = registry(description="A demo team")
    item: Any = config(CARD, list(offered.teams.values()), list(offered.agents.values()), [])
    assert item["teams"] == [
        {
            "id": "demo-team",
            "name": "Demo Team",
            "description": "A demo team",
            "db_id": DB_ID,
            "mode": "coordinate",
        }
    ]
    assert item["agents"] == [{"id": "writer-agent", "name": "Writer Agent", "db_id": DB_ID}]
    assert (item["os_id"], item["databases"], item["workflows"]) == ("demo-os", [DB_ID], [])
    assert item["session"]["dbs"][0]["db_id"] == DB_ID


def test_the_card() -> None:
    assert home(CARD) == {"name": "musterd", "id": "demo-os", "version": "0.1.0"}
    assert health(CARD) == {"status": "ok", "instantiated_at": "2026-11-25T08:54:50.047019Z"}
    assert info(CARD, teams=1, agents=2, workflows=3) == {
        "os_id": "demo-os",
        "name": "musterd",
        "os_version": "0.1.0",
        "agno_version": "2.5.6",
        "agent_count": 2,
        "team_count": 1,
        "workflow_count": 3,
        "mcp": {"enabled": False, "path": None, "oauth": None, "tool_run_endpoint": False},
        "auth_mode": "none",
        "user_isolation": False,
    }
