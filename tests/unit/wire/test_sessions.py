"""Sessions: items, pages, details in both shapes."""

from collections.abc import Sequence
from typing import Any, cast

from musterd.core.records import RunView, SessionRow
from musterd.core.requirements import RequirementKind
from musterd.core.run_summaries import SessionOverview, SummarizedRun
from musterd.core.states import RunState
from musterd.models.names import ModelInfo
from musterd.wire.sessions import session_detail, session_item, session_page
from tests.unit.wire import samples

MODEL = ModelInfo(name="OpenAILike", model="fake-model", provider="OpenAI")
COUNTS = {"input_tokens": 50, "output_tokens": 25, "total_tokens": 75}


def session(**changes: Any) -> SessionRow:
    fields: dict[str, Any] = {
        "session_id": "s-sync",
        "owner": None,
        "user_id": "u1",
        "component_kind": "team",
        "component_id": "demo-team",
        "name": None,
        "first_message": "hello",
        "state": {},
        "metadata": None,
        "next_seq": 3,
        "created_at": samples.AT,
        "updated_at": samples.AT + 1,
    }
    return SessionRow(**{**fields, **changes})


def detail(row: SessionRow, runs: Sequence[RunView], **options: Any) -> dict[str, Any]:
    return cast(dict[str, Any], session_detail(row, runs, **options))


def overview(row: SessionRow, last_run: SummarizedRun | None = None, **figures: Any) -> SessionOverview:
    state = None if last_run is None else last_run.state
    return SessionOverview(row, state, last_run, **figures)


def summarized(state: RunState, **changes: Any) -> SummarizedRun:
    values: dict[str, Any] = dict.fromkeys(SummarizedRun.__slots__)
    return SummarizedRun(**{**values, "component_name": "Demo Team", "state": state, "waiting": 0, **changes})


def test_an_item_is_named_after_its_first_message() -> None:
    assert session_item(overview(session())) == {
        "session_id": "s-sync",
        "session_name": "hello",
        "session_state": {},
        "created_at": "2026-11-25T08:54:52Z",
        "updated_at": "2026-11-25T08:54:53Z",
        "status": None,
        "run_count": 0,
        "waiting": 0,
        "total_tokens": 0,
        "total_cost": None,
        "last_answer": None,
        "component_name": None,
        "component_kind": "team",
        "component_id": "demo-team",
    }
    assert session_item(overview(session(name="renamed")))["session_name"] == "renamed"
    assert session_item(overview(session(name="")))["session_name"] == ""


def test_an_item_shows_its_last_run() -> None:
    last = summarized(RunState.COMPLETED, answer="18 degrees")
    item = session_item(overview(session(), last, run_count=3, waiting=2, tokens=41, cost=0.1 + 0.2))
    assert (item["status"], item["component_name"], item["last_answer"]) == ("COMPLETED", "Demo Team", "18 degrees")
    assert (item["run_count"], item["waiting"], item["total_tokens"], item["total_cost"]) == (3, 2, 41, 0.3)
    queued = session_item(overview(session(), summarized(RunState.QUEUED), run_count=1))
    assert (queued["status"], queued["last_answer"]) == ("PENDING", None)
    question = samples.requirement(kind=RequirementKind.CONFIRMATION)
    paused = session_item(overview(session(), summarized(RunState.PAUSED, waiting=1, question=question)))
    assert (paused["status"], paused["last_answer"]) == ("PAUSED", "May Weather Agent call get_weather?")
    paused = session_item(overview(session(), summarized(RunState.PAUSED, waiting=3, question=question)))
    assert paused["last_answer"] == "May Weather Agent call get_weather? (and 2 more)"


def test_a_page() -> None:
    page = session_page([overview(session())], 38, page=1, limit=3)
    meta = {"page": 1, "limit": 3, "total_pages": 13, "total_count": 38, "search_time_ms": 0.0}
    assert page == {"data": [session_item(overview(session()))], "meta": meta}
    assert session_page([], 0, page=1, limit=20)["meta"]["total_pages"] == 0


def test_a_teams_session() -> None:
    other = samples.delegating_view()
    other.row.run_id = "other"
    other.members[0].row.parent_id = "other"
    item = detail(session(), [samples.plain_view(), other], model=MODEL)
    chat = item.pop("chat_history")
    assert item == {
        "session_id": "s-sync",
        "session_name": "hello",
        "user_id": "u1",
        "team_id": "demo-team",
        "session_state": {},
        "metrics": {**COUNTS, "details": {"model": [{**COUNTS, "id": "fake-model", "provider": "OpenAI"}]}},
        "team_data": {
            "name": "Demo Team",
            "team_id": "demo-team",
            "model": {"id": "fake-model", "provider": "OpenAI", "name": "OpenAILike"},
        },
        "created_at": "2026-11-25T08:54:52Z",
        "updated_at": "2026-11-25T08:54:53Z",
        "total_tokens": 75,
    }
    assert [message["role"] for message in chat] == ["user", "assistant", "user", "assistant", "assistant"]
    assert [message.get("content") for message in chat] == [
        "hello",
        "Echo: hello",
        "What is the weather?",
        None,
        "Done: Done: Sunny in Paris",
    ]


def test_a_teams_session_asked_as_an_agents() -> None:
    item = detail(session(), [samples.plain_view()], kind="agent")
    assert list(item) == [
        "user_id",
        "agent_session_id",
        "session_id",
        "session_name",
        "session_state",
        "total_tokens",
        "metrics",
        "chat_history",
        "created_at",
        "updated_at",
    ]


def test_an_agents_session() -> None:
    view = samples.member_view()
    view.row.parent_id = None
    row = session(component_kind="agent", component_id="weather-agent")
    item = detail(row, [view], model=MODEL)
    assert item["agent_id"] == "weather-agent"
    assert item["agent_data"] == {
        "name": "Weather Agent",
        "agent_id": "weather-agent",
        "model": {"id": "fake-model", "provider": "OpenAI", "name": "OpenAILike"},
    }


def test_a_session_without_runs() -> None:
    row = session(name="made", state={"x": 1}, metadata={"m": 1})
    assert detail(row, []) == {
        "session_id": "s-sync",
        "session_name": "made",
        "user_id": "u1",
        "team_id": "demo-team",
        "session_state": {"x": 1},
        "metrics": {},
        "metadata": {"m": 1},
        "chat_history": [],
        "created_at": "2026-11-25T08:54:52Z",
        "updated_at": "2026-11-25T08:54:53Z",
    }
    minimal = detail(session(component_id="", user_id=None, first_message=""), [])
    assert {"team_id", "user_id", "team_data"} & set(minimal) == set()
    assert minimal["session_name"] == ""


def test_nulls_stay_after_a_change() -> None:
    item = detail(session(), [], with_nulls=True)
    assert (item["session_summary"], item["metadata"], item["total_tokens"]) == (None, None, None)


def test_what_failed_or_goes_on_is_no_chat() -> None:
    views = [samples.plain_view(state, run_id=state) for state in RunState]
    chat = detail(session(), views)["chat_history"]
    assert len(chat) == 4  # COMPLETED and CANCELLED, two messages each


def test_earlier_messages_are_told_once() -> None:
    view = samples.plain_view()
    history = samples.prompt("before")
    history.metadata = {"musterd": {"from_history": True}}
    view.messages = [*samples.dumped(history), *(view.messages or [])]
    chat = detail(session(), [view])["chat_history"]
    assert [message["content"] for message in chat] == ["hello", "Echo: hello"]
