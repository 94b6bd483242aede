"""Runs the agent without a network: on the scripted model, with a database of its own."""

import os

os.environ["MODEL"] = "scripted"  # before the agent is imported

from knowledge import handbook
from starlette.testclient import TestClient

from musterd import Settings, create_app


def test_an_answer_names_its_source(tmp_path):
    app = create_app(agents=[handbook], settings=Settings(db=f"sqlite:///{tmp_path}/test.db", security_key=""))
    with TestClient(app, base_url="http://localhost") as client:
        document = {"name": "parking", "text_content": "Damaged bicycles are parked in the yard."}
        content = client.post("/knowledge/content", data=document).json()
        status = client.get(f"/knowledge/content/{content['id']}/status", params={"wait": 30}).json()
        assert status["status"] == "completed"
        form = {"message": "Where are damaged bicycles parked?", "stream": "false"}
        run = client.post("/agents/handbook/runs", data=form).json()
    assert run["status"] == "COMPLETED"
    assert "in the yard" in run["content"]
    assert "parking" in [source["name"] for search in run["references"] for source in search["references"]]
