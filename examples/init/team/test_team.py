"""Runs the team without a network: on the scripted model, with a database of its own."""

import os

os.environ["MODEL"] = "scripted"  # before the team is imported

from starlette.testclient import TestClient
from team import desk

from musterd import Settings, create_app


def test_the_weather_agent_knows_the_weather(tmp_path):
    app = create_app(teams=[desk], settings=Settings(db=f"sqlite:///{tmp_path}/test.db", security_key=""))
    with TestClient(app, base_url="http://localhost") as client:
        form = {"message": "What is the weather in Oslo?", "stream": "false"}
        run = client.post("/teams/desk/runs", data=form).json()
    assert run["status"] == "COMPLETED"
    assert "Sunny in Oslo" in run["content"]
    assert [call["tool_args"]["member_id"] for call in run["tools"]] == ["weather"]
