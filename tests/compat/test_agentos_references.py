"""AgentOSClient 2.5.6 reads the references of runs, and sends filters."""

from __future__ import annotations

import json

from tests.support.client_drivers import Driver

SEARCH = '[[TOOL search_knowledge_base {"query": "birds"}]]'


def test_references_are_typed(agentos: Driver, session_id: str) -> None:
    run = agentos.run_agent("librarian-agent", SEARCH, session_id=session_id)
    (entry,) = run["references"]
    assert (entry["$type"], entry["query"]) == ("MessageReferences", "birds")
    assert [document["name"] for document in entry["references"]] == ["sea", "land"]
    stored = agentos.get_session_run(session_id, run["run_id"])
    assert [entry["query"] for entry in stored["references"]] == ["birds"]
    assert agentos.complaints() == []


def test_filters_are_read(agentos: Driver) -> None:
    run = agentos.run_agent("librarian-agent", SEARCH, knowledge_filters=json.dumps({"shelf": "sea"}))
    assert [document["name"] for document in run["references"][0]["references"]] == ["sea"]


def test_the_end_of_a_stream_has_the_references(agentos: Driver) -> None:
    events = agentos.run_agent_stream("librarian-agent", SEARCH)
    (completed,) = [event for event in events if event["event"] == "RunCompleted"]
    assert completed["references"][0]["query"] == "birds"
    assert agentos.complaints() == []
