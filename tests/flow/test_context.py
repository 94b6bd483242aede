"""What a request says of the context, and what a session shows of it."""

from musterd import Agent, SessionSummaryManager
from tests.support.app import Sample, Serve
from tests.support.held_model import HeldModel
from tests.support.http import ServerClient, problem

SUMMARY = '[[SAY {"summary": "They talked of Rome.", "topics": ["Rome"]}]]'


def system_of(client: ServerClient) -> str:
    message = client.model.conversation()[0]
    assert message["role"] == "system"
    return str(message["content"])


async def test_a_request_has_the_model_shown_state_and_dependencies(client: ServerClient) -> None:
    values = {"session_state": '{"name": "Ada"}', "dependencies": '{"tone": "kind"}'}
    await client.run("one", add_session_state_to_context="true", add_dependencies_to_context="true", **values)
    assert '<session_state>\n{\n  "name": "Ada"\n}\n</session_state>' in system_of(client)
    assert '<dependencies>\n{\n  "tone": "kind"\n}\n</dependencies>' in system_of(client)
    await client.run("one", **values)
    assert "Ada" not in system_of(client)


async def test_a_request_says_how_much_history_is_shown(client: ServerClient) -> None:
    for message in ("one", "two"):
        await client.run(message, session_id="s1")
    await client.run("three", session_id="s1", add_history_to_context="true", num_history_runs="1")
    assert [message["content"] for message in client.model.conversation()[1:]] == ["two", "Echo: two", "three"]
    await client.run("four", session_id="s1", add_history_to_context="true", num_history_messages="1")
    assert [message["content"] for message in client.model.conversation()[1:]] == ["Echo: three", "four"]
    for wrong in ({"num_history_runs": "-1"}, {"num_history_messages": "many"}):
        problem(await client.post("five", **wrong), 422, "VALIDATION_ERROR")


async def test_a_session_shows_its_summary_and_its_metrics(serve: Serve) -> None:
    model = HeldModel()
    manager = SessionSummaryManager(summary_request_message=SUMMARY)
    agents = [Agent(id="solo", model=model, session_summary_manager=manager, introduction="Good morning.")]
    async with serve(model=model, served=Sample([], agents)) as client:
        stream = await client.stream("Rome", to="agents/solo", session_id="s1")
        session = await client.get("/sessions/s1", type="agent")
    summary = stream.one("SessionSummaryCompleted")["session_summary"]
    assert (summary["summary"], summary["topics"]) == ("They talked of Rome.", ["Rome"])
    assert stream.names[-3:] == ["SessionSummaryStarted", "SessionSummaryCompleted", "RunCompleted"]
    assert session["session_summary"] == summary
    assert session["metrics"]["total_tokens"] == 30, "the summary's tokens are counted"
    assert [(message["role"], message["content"]) for message in session["chat_history"]] == [
        ("assistant", "Good morning."),
        ("user", "Rome"),
        ("assistant", "Echo: Rome"),
    ]


async def test_the_state_of_a_request_is_merged_into_that_of_the_session_at_any_depth(client: ServerClient) -> None:
    first = '{"cart": {"owner": {"name": "Ada", "age": 36}, "items": ["tea"]}, "visits": 1}'
    await client.run("one", session_id="s1", session_state=first)
    second = '{"cart": {"owner": {"age": 37}, "items": ["milk"], "paid": true}, "place": {"city": "Oslo"}}'
    run = await client.run("two", session_id="s1", session_state=second)
    session = await client.get("/sessions/s1", type="team")
    assert (
        run["session_state"]
        == session["session_state"]
        == {
            "cart": {"owner": {"name": "Ada", "age": 37}, "items": ["milk"], "paid": True},
            "visits": 1,
            "place": {"city": "Oslo"},
        }
    )
