"""AgentOSClient 2.5.6 asks what is served; and each of its methods is tried, or has a reason why not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.client_drivers import ClientFailed, Driver

if TYPE_CHECKING:
    from tests.support.process import Process

NOT_SERVED = {
    "eval": "evaluations are not served",
}


def tried() -> set[str]:
    """The client's methods that a test of this folder calls."""
    texts = [path.read_text() for path in Path(__file__).parent.glob("test_agentos_*.py")]
    return {name for text in texts for name in re.findall(r'\bagentos\.(?:begin\(\s*")?(\w+)', text)}


def test_every_method_is_tried_or_has_a_reason(agentos: Driver) -> None:
    methods = agentos.methods()
    left_out = {name for name in methods if any(word in name for word in NOT_SERVED)}
    assert len(methods) > 60
    assert sorted(set(methods) - left_out - tried()) == []


@pytest.mark.parametrize("call", [("get_knowledge_config",), ("list_eval_runs",)])
def test_what_is_not_served_is_not_found(agentos: Driver, call: tuple[str]) -> None:
    with pytest.raises(ClientFailed) as failed:
        agentos.ask(*call)
    assert (failed.value.kind, failed.value.status) == ("HTTPStatusError", 404)


@pytest.mark.parametrize("method", ["get_config", "aget_config"])
def test_config(agentos: Driver, method: str) -> None:
    config = agentos.get_config() if method == "get_config" else agentos.aget_config()
    assert config["$type"] == "ConfigResponse"
    assert config["os_id"]
    assert config["databases"] == [config["os_database"]]
    assert {agent["id"]: agent["description"] for agent in config["agents"]}["solo-agent"] == "Works alone"
    assert {team["id"]: team["mode"] for team in config["teams"]}["demo-team"] == "coordinate"
    assert config["interfaces"] == []


def test_the_config_of_a_gateway(agentos: Driver) -> None:
    """An AgentOS that serves a team and an agent of this server builds its own config from this server's."""
    answer = agentos.gateway("GET", "/config")
    assert answer["status"] == 200, answer["text"]
    config = json.loads(answer["text"])
    assert ([team["id"] for team in config["teams"]], [agent["id"] for agent in config["agents"]]) == (
        ["demo-team"],
        ["solo-agent"],
    )
    assert config["databases"] == ["musterd-db"]
    for domain in ("session", "metrics", "memory", "evals"):
        (database,) = config[domain]["dbs"]
        assert database["tables"], domain


@pytest.mark.parametrize("owner", ["teams/demo-team", "agents/solo-agent"])
def test_a_run_through_a_gateway(agentos: Driver, owner: str) -> None:
    answer = agentos.gateway("POST", f"/{owner}/runs", {"message": "[[SAY hello]]", "stream": "false"})
    assert (answer["status"], json.loads(answer["text"])["content"]) == (200, "hello"), answer["text"]
    answer = agentos.gateway("POST", f"/{owner}/runs", {"message": "[[SAY hello]]", "stream": "true"})
    assert answer["status"] == 200
    assert "RunCompleted" in answer["text"]


def test_models(agentos: Driver) -> None:
    assert agentos.get_models() == [{"$type": "Model", "id": "scripted", "provider": "Scripted"}]


def test_agents(agentos: Driver) -> None:
    agents = {agent["id"]: agent for agent in agentos.list_agents()}
    assert agents["solo-agent"]["$type"] == "AgentSummaryResponse"
    assert agents["solo-agent"]["name"] == "Solo Agent"
    assert all(agent["db_id"] for agent in agents.values())


def test_an_agent(agentos: Driver) -> None:
    agent = agentos.get_agent("solo-agent")
    assert agent == agentos.aget_agent("solo-agent")
    assert (agent["$type"], agent["name"]) == ("AgentResponse", "Solo Agent")
    assert agent["model"] == {
        "$type": "ModelResponse",
        "name": "Scripted",
        "model": "scripted",
        "provider": "Scripted",
    }
    tools = {tool["name"]: tool for tool in agent["tools"]["tools"]}
    assert tools["get_weather"]["parameters"]["required"] == ["city"]
    assert tools["send_mail"]["requires_confirmation"] is True
    assert tools["browse"]["external_execution"] is True


def test_teams(agentos: Driver) -> None:
    teams = {team["id"]: team for team in agentos.list_teams()}
    assert teams["demo-team"]["$type"] == "TeamSummaryResponse"
    assert teams["demo-team"]["name"] == "Demo Team"
    assert teams["demo-team"]["mode"] == "coordinate"
    assert all(team["db_id"] for team in teams.values())


def test_a_team(agentos: Driver) -> None:
    team = agentos.get_team("demo-team")
    assert team == agentos.aget_team("demo-team")
    assert (team["$type"], team["name"], team["mode"]) == ("TeamResponse", "Demo Team", "coordinate")
    assert [(member["$type"], member["id"]) for member in team["members"]] == [
        ("AgentResponse", "weather-agent"),
        ("AgentResponse", "writer-agent"),
    ]
    assert team["members"][0]["role"] == "Reports the weather"
    assert team["system_message"]["instructions"] == ["Be brief"]


@pytest.mark.parametrize(
    ("method", "words"),
    [("get_agent", "Agent not found"), ("aget_team", "Team not found"), ("get_team", "Team not found")],
)
def test_an_unknown_one_is_an_error_with_words(agentos: Driver, method: str, words: str) -> None:
    with pytest.raises(ClientFailed) as failed:
        agentos.ask(method, "nobody")
    assert (failed.value.kind, failed.value.status) == ("HTTPStatusError", 404)
    assert failed.value.body["detail"] == words
    assert failed.value.body["error_code"] == "NOT_FOUND"


@pytest.mark.needs("POST /databases/{db_id}/migrate")
def test_a_migration_of_the_database(agentos: Driver) -> None:
    (database,) = agentos.get_config()["databases"]
    agentos.migrate_database(database)
    with pytest.raises(ClientFailed) as failed:
        agentos.migrate_database("no-such-db")
    assert failed.value.status == 404


def test_home_and_health_answer_what_clients_look_for(server: Process) -> None:
    assert set(server.http.get("/").json()) >= {"name", "id", "version"}
    health = server.http.get("/health").json()
    assert health["status"] == "ok"
    assert health["instantiated_at"]
