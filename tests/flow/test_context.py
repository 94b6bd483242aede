"""What a request says of the context, and what a session shows of it."""

from musterd import Agent, SessionSummaryManager
from tests.support.app import Sample, Serve
from tests.support.held_model import HeldModel
from tests.support.http import House, problem

SUMMARY = '[[SAY {"summary": "They talked of Rome.", "topics": ["Rome"]}]]'


def system_of(house: House) -> str:
    message = house.model.asked()[0]
    assert message["role"] == "system"
    return str(message["content"])


async def test_a_request_has_the_model_shown_state_and_dependencies(house: House) -> None:
    values = {"session_state": '{"name": "Ada"}', "dependencies": '{"tone": "kind"}'}
    await house.run("one", add_session_state_to_context="true", add_dependencies_to_context="true", **values)
    assert '<session_state>\n{\n  "name": "Ada"\n}\n</session_state>' in system_of(house)
    assert '<dependencies>\n{\n  "tone": "kind"\n}\n</dependencies>' in system_of(house)
    await house.run("one", **values)
    assert "Ada" not in system_of(house)


async def test_a_request_says_how_much_history_is_shown(house: House) -> None:
    for message in ("one", "two"):
        await house.run(message, session_id="s1")
    await house.run("three", session_id="s1", add_history_to_context="true", num_history_runs="1")
    assert [message["content"] for message in house.model.asked()[1:]] == ["two", "Echo: two", "three"]
    await house.run("four", session_id="s1", add_history_to_context="true", num_history_messages="1")
    assert [message["content"] for message in house.model.asked()[1:]] == ["Echo: three", "four"]
    for wrong in ({"num_history_runs": "-1"}, {"num_history_messages": "many"}):
        problem(await house.post("five", **wrong), 422, "VALIDATION_ERROR")


async def test_a_session_shows_its_summary_and_its_metrics(serve: Serve) -> None:
    model = HeldModel()
    manager = SessionSummaryManager(summary_request_message=SUMMARY)
    agents = [Agent(id="solo", model=model, session_summary_manager=manager, introduction="Good morning.")]
    async with serve(model=model, served=Sample([], agents)) as house:
        told = await house.stream("Rome", to="agents/solo", session_id="s1")
        shown = await house.get("/sessions/s1", type="agent")
    summary = told.one("SessionSummaryCompleted")["session_summary"]
    assert (summary["summary"], summary["topics"]) == ("They talked of Rome.", ["Rome"])
    assert told.names[-3:] == ["SessionSummaryStarted", "SessionSummaryCompleted", "RunCompleted"]
    assert shown["session_summary"] == summary
    assert shown["metrics"]["total_tokens"] == 30, "the summary's tokens are counted"
    assert [(message["role"], message["content"]) for message in shown["chat_history"]] == [
        ("assistant", "Good morning."),
        ("user", "Rome"),
        ("assistant", "Echo: Rome"),
    ]
