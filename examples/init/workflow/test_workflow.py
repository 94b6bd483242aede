"""Runs the workflow without a network: on the scripted model, with a database of its own."""

import json
import os

os.environ["MODEL"] = "scripted"  # before the workflow is imported

import pytest
from starlette.testclient import TestClient
from workflow import article

from musterd import Settings, create_app


@pytest.mark.parametrize(("is_confirmed", "status"), [(True, "COMPLETED"), (False, "CANCELLED")])
def test_the_article_is_published_with_a_persons_consent(tmp_path, is_confirmed, status):
    app = create_app(workflows=[article], settings=Settings(db=f"sqlite:///{tmp_path}/test.db", security_key=""))
    with TestClient(app, base_url="http://localhost") as client:
        form = {"message": "The kettle", "stream": "false"}
        run = client.post("/workflows/article/runs", data=form).json()
        assert run["status"] == "PAUSED"
        (question,) = run["step_requirements"]
        decision = json.dumps([{"id": question["id"], "confirmed": is_confirmed}])
        form = {"session_id": run["session_id"], "stream": "false", "step_requirements": decision}
        run = client.post(f"/workflows/article/runs/{run['run_id']}/continue", data=form).json()
    assert run["status"] == status
    assert run["content"].startswith("Published:") is is_confirmed
