"""Runs the agent without a network: its model is scripted, and each test has a database of its own."""

from knowledge import handbook

from musterd.testing import TestClient


def test_an_answer_names_its_source():
    with TestClient(handbook) as client:
        document = {"name": "parking", "text_content": "Damaged bicycles are parked in the yard."}
        content = client.http.post("/knowledge/content", data=document).json()
        status = client.http.get(f"/knowledge/content/{content['id']}/status", params={"wait": 30}).json()
        assert status["status"] == "completed"
        run = client.run(handbook, "Where are damaged bicycles parked?")
    assert run.status == "COMPLETED"
    assert "in the yard" in run.content
    assert "parking" in [source["name"] for search in run.raw["references"] for source in search["references"]]
