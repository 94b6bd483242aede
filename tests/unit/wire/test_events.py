"""Events: names and fields of the peer, in its order, and the two fields that are ours."""

import json
from typing import Any

import pytest

from musterd.core.events import Event, EventKind
from musterd.core.states import RunState
from musterd.core.user_memories import UserMemory
from musterd.wire.events import AGENT_NAMES, EventRenderer, RunIdentity, event_name, is_content_only, member_ids
from musterd.wire.workflow_events import NAMES as WORKFLOW_NAMES
from tests.unit.wire import samples

INNER_ID = "ce5d0b55-5c34-483e-81e5-e5becf66c07f"
DEEP_ID = "be808858-5506-44d9-9108-8b793f911ac4"
TEAM_HEAD = {
    "team_id": "demo-team",
    "team_name": "Demo Team",
    "run_id": samples.ROOT_ID,
    "session_id": "s-sync",
    "nested_depth": 0,
}
AGENT_HEAD = {
    "agent_id": "weather-agent",
    "agent_name": "Weather Agent",
    "run_id": samples.MEMBER_ID,
    "parent_run_id": samples.ROOT_ID,
    "session_id": "s-sync",
    "nested_depth": 1,
}
MODEL = {"model": "fake-model", "model_provider": "OpenAI"}
STARTED = samples.weather_call(is_error=None, result=None, started_at=None, seconds=None)
USAGE = {"input_tokens": 10, "output_tokens": 5, "cache_read_tokens": 2}
COUNTS = {
    "input_tokens": 10,
    "output_tokens": 5,
    "total_tokens": 15,
    "time_to_first_token": 0.0053,
    "reasoning_tokens": 0,
    "cache_read_tokens": 2,
    "cache_write_tokens": 0,
}
NOT_RUN = {
    "tool_call_id": "call_29_0",
    "tool_name": "get_weather",
    "tool_args": {"city": "Paris"},
    "tool_call_error": None,
    "result": None,
    "metrics": None,
    "child_run_id": None,
    "stop_after_tool_call": False,
    "created_at": 1795596892,
    **samples.tool_nulls(),
}
METRICS = {"start_time": samples.AT, "end_time": samples.AT + 0.0036304, "duration": 0.0036304}
FINISHED = {**NOT_RUN, "tool_call_error": False, "result": "Sunny in Paris", "metrics": METRICS}
SUPERSEDED = [{"run_id": samples.ROOT_ID, "path": "t0/m", "from_event_index": 3}]
CONFIRM = {**NOT_RUN, "requires_confirmation": True, "approval_id": "req-1"}
REQUIREMENT = {
    "id": "req-1",
    "created_at": "2026-11-25T08:54:52.250000+00:00",
    "tool_execution": CONFIRM,
    "kind": "unknown_outcome",
    "started_at": 1795596890.5,
}

COUNTED = {"iteration": 1, "max_iterations": 10}
TABLE: list[tuple[EventKind, dict[str, Any], str, dict[str, Any]]] = [
    (EventKind.RUN_STARTED, MODEL, "RunStarted", MODEL),
    *[
        (kind, {"hook": "look", "input": "hi"}, name, {"pre_hook_name": "look", "run_input": {"input_content": "hi"}})
        for kind, name in (
            (EventKind.PRE_HOOK_STARTED, "PreHookStarted"),
            (EventKind.PRE_HOOK_COMPLETED, "PreHookCompleted"),
        )
    ],
    (EventKind.POST_HOOK_STARTED, {"hook": "look"}, "PostHookStarted", {"post_hook_name": "look"}),
    (EventKind.POST_HOOK_COMPLETED, {"hook": "look"}, "PostHookCompleted", {"post_hook_name": "look"}),
    (EventKind.MODEL_REQUEST_STARTED, MODEL, "ModelRequestStarted", MODEL),
    (EventKind.MODEL_LOADING_STARTED, MODEL, "ModelLoadingStarted", MODEL),
    (EventKind.MODEL_LOADING_COMPLETED, MODEL, "ModelLoadingCompleted", MODEL),
    (
        EventKind.MODEL_PROMPT_PROGRESS,
        {**MODEL, "read_tokens": 64, "prompt_tokens": 200},
        "ModelPromptProgress",
        {**MODEL, "read_tokens": 64, "prompt_tokens": 200},
    ),
    (EventKind.SESSION_SUMMARY_STARTED, {}, "SessionSummaryStarted", {}),
    (
        EventKind.SESSION_SUMMARY_COMPLETED,
        {"session_summary": {"summary": "A talk.", "topics": ["talk"], "as_of": 1.5}},
        "SessionSummaryCompleted",
        {"session_summary": {"summary": "A talk.", "topics": ["talk"], "updated_at": "1970-01-01T00:00:01.500000Z"}},
    ),
    (EventKind.MEMORY_UPDATE_STARTED, {}, "MemoryUpdateStarted", {}),
    (
        EventKind.MEMORY_UPDATE_COMPLETED,
        {
            "memories": [UserMemory(memory_id="m", memory="Lives in Oslo", created_at=1.5, updated_at=2.5).as_json()],
            "user_id": "ada",
            "updated": ["m"],
            "error": {"code": "model_error", "message": "No answer."},
        },
        "MemoryUpdateCompleted",
        {
            "memories": [
                {
                    "memory_id": "m",
                    "memory": "Lives in Oslo",
                    "topics": [],
                    "created_at": "1970-01-01T00:00:01",
                    "updated_at": "1970-01-01T00:00:02",
                    "user_id": "ada",
                }
            ],
            "updated": ["m"],
            "error": "No answer.",
            "error_type": "model_error",
        },
    ),
    (
        EventKind.MODEL_REQUEST_RETRIED,
        {"try": 1, "wait_seconds": 0.5, "reason": "503"},
        "ModelRequestRetried",
        {"try": 1, "wait_seconds": 0.5, "reason": "503"},
    ),
    (
        EventKind.MODEL_REQUEST_COMPLETED,
        {**MODEL, "usage": USAGE, "first_token_seconds": 0.0053},
        "ModelRequestCompleted",
        {**MODEL, **COUNTS},
    ),
    (EventKind.TOOL_CALL_STARTED, {"tool": STARTED.as_json()}, "ToolCallStarted", {"tool": NOT_RUN}),
    (
        EventKind.TOOL_CALL_COMPLETED,
        {"tool": samples.weather_call().as_json()},
        "ToolCallCompleted",
        {"content": "get_weather(city=Paris) completed in 0.0036s. ", "tool": FINISHED},
    ),
    (
        EventKind.TOOL_CALL_ERROR,
        {"tool": samples.weather_call(is_error=True, result="boom 1").as_json()},
        "ToolCallError",
        {"error": "boom 1", "tool": {**FINISHED, "tool_call_error": True, "result": "boom 1"}},
    ),
    (EventKind.CONTENT_COMPLETED, {}, "RunContentCompleted", {}),
    (
        EventKind.INTERMEDIATE_CONTENT,
        {"text": "so", "reasoning": "hm"},
        "RunIntermediateContent",
        {"content": "so", "content_type": "str", "reasoning_content": "hm"},
    ),
    (EventKind.REASONING_STARTED, {}, "ReasoningStarted", {}),
    (EventKind.REASONING_CONTENT_DELTA, {"reasoning": "hm"}, "ReasoningContentDelta", {"reasoning_content": "hm"}),
    (
        EventKind.REASONING_STEP,
        {"content": {"title": "t"}, "content_type": "ReasoningStep", "reasoning_content": "## t\n"},
        "ReasoningStep",
        {"content": {"title": "t"}, "content_type": "ReasoningStep", "reasoning_content": "## t\n"},
    ),
    (
        EventKind.REASONING_COMPLETED,
        {"content": {"reasoning_steps": []}, "content_type": "ReasoningSteps"},
        "ReasoningCompleted",
        {"content": {"reasoning_steps": []}, "content_type": "ReasoningSteps"},
    ),
    (EventKind.PARSER_MODEL_RESPONSE_STARTED, {}, "ParserModelResponseStarted", {}),
    (EventKind.PARSER_MODEL_RESPONSE_COMPLETED, {}, "ParserModelResponseCompleted", {}),
    (EventKind.OUTPUT_MODEL_RESPONSE_STARTED, {}, "OutputModelResponseStarted", {}),
    (EventKind.OUTPUT_MODEL_RESPONSE_COMPLETED, {}, "OutputModelResponseCompleted", {}),
    (EventKind.COMPRESSION_STARTED, {}, "CompressionStarted", {}),
    (
        EventKind.COMPRESSION_COMPLETED,
        {"tool_results_compressed": 3, "original_size": 900, "compressed_size": 90},
        "CompressionCompleted",
        {"tool_results_compressed": 3, "original_size": 900, "compressed_size": 90},
    ),
    (
        EventKind.RUN_COMPLETED,
        {"output": samples.output("Done", session_state={"a": 1}).as_json(), "members": []},
        "RunCompleted",
        {"content": "Done", "content_type": "str", "session_state": {"a": 1}, "metrics": samples.metrics()},
    ),
    (
        EventKind.RUN_ERROR,
        {
            "content": "fake model error 500",
            "error": {"code": "model_error", "message": "m", "retryable": True},
        },
        "RunError",
        {"content": "fake model error 500", "error_type": "model_error"},
    ),
    (EventKind.RUN_CANCELLED, {"reason": "enough"}, "RunCancelled", {"reason": "enough"}),
    (
        EventKind.RUN_PAUSED,
        {"content": "Team run paused.", "requirements": [samples.requirement().as_json()]},
        "RunPaused",
        {
            "content": "Team run paused.",
            "tools": [CONFIRM],
            "requirements": [REQUIREMENT],
            "tools_requiring_confirmation": [CONFIRM],
        },
    ),
    (
        EventKind.RUN_CONTINUED,
        {"attempt": 2, "reason": "recovered", "superseded": SUPERSEDED},
        "RunContinued",
        {"attempt": 2, "reason": "recovered", "superseded": SUPERSEDED},
    ),
    (EventKind.MESSAGE_RECEIVED, {"text": "Be brief"}, "MessageReceived", {"content": "Be brief"}),
    (EventKind.TASK_ITERATION_STARTED, COUNTED, "TaskIterationStarted", COUNTED),
    (
        EventKind.TASK_ITERATION_COMPLETED,
        {**COUNTED, "task_summary": "None."},
        "TaskIterationCompleted",
        {**COUNTED, "task_summary": "None."},
    ),
    (
        EventKind.TASK_STATE_UPDATED,
        {"task_summary": "None.", "goal_complete": False, "tasks": []},
        "TaskStateUpdated",
        {"task_summary": "None.", "goal_complete": False, "tasks": []},
    ),
    (
        EventKind.TASK_CREATED,
        {"task_id": "t", "title": "One", "assignee": None, "dependencies": []},
        "TaskCreated",
        {"task_id": "t", "title": "One", "dependencies": []},
    ),
    (
        EventKind.TASK_UPDATED,
        {"task_id": "t", "status": "completed", "previous_status": "pending", "result": "Done"},
        "TaskUpdated",
        {"task_id": "t", "status": "completed", "previous_status": "pending", "result": "Done"},
    ),
]


def renderer() -> EventRenderer:
    inner = samples.row(run_id=INNER_ID, parent_id=samples.ROOT_ID, component_id="inner-team")
    deep = samples.member_row(run_id=DEEP_ID, parent_id=INNER_ID)
    rows = [samples.row(), samples.member_row(), inner, deep]
    return EventRenderer("s-sync", {row.run_id: RunIdentity.of(row) for row in rows})


@pytest.mark.parametrize(("run_id", "prefix"), [(samples.ROOT_ID, "Team"), (samples.MEMBER_ID, "")])
@pytest.mark.parametrize(("kind", "data", "name", "body"), TABLE, ids=[row[0] for row in TABLE])
def test_each_kind(
    kind: EventKind, data: dict[str, Any], name: str, body: dict[str, Any], run_id: str, prefix: str
) -> None:
    head = TEAM_HEAD if prefix else AGENT_HEAD
    for requirement in data.get("requirements", ()):
        requirement["run_id"] = run_id  # its own: it need not say whose
    expected = {"created_at": 1795596892, "event": prefix + name, **head, **body, "at": samples.AT, "event_index": 4}
    assert renderer().render(Event(kind, run_id, samples.AT, data), 4) == (prefix + name, expected)
    rendered = renderer().render(Event(kind, run_id, samples.AT, data), 4)[1]
    assert list(rendered) == list(expected)
    assert json.loads(json.dumps(rendered, allow_nan=False)) == rendered
    assert "data" not in rendered


def test_a_requirement_of_a_member_says_whose_it_is() -> None:
    requirement = samples.requirement(run_id=samples.MEMBER_ID, component_kind="agent", component_id="weather-agent")
    data = {"content": "Team run paused.", "requirements": [requirement.as_json()]}
    rendered = renderer().render(Event(EventKind.RUN_PAUSED, samples.ROOT_ID, samples.AT, data), 4)[1]
    assert rendered["requirements"] == [
        {
            **REQUIREMENT,
            "member_agent_id": "weather-agent",
            "member_agent_name": "Weather Agent",
            "member_run_id": samples.MEMBER_ID,
        }
    ]


@pytest.mark.parametrize(
    ("run_id", "name", "of_agent"),
    [(samples.ROOT_ID, "TeamRunContent", {}), (samples.MEMBER_ID, "RunContent", {"workflow_agent": False})],
)
def test_a_structured_answer(run_id: str, name: str, of_agent: dict[str, bool]) -> None:
    event = Event(EventKind.ANSWER, run_id, samples.AT, {"content": {"n": 1}, "content_type": "Number"})
    rendered_name, rendered = renderer().render(event, 4)
    head = AGENT_HEAD if of_agent else TEAM_HEAD
    body = {"content": {"n": 1}, **of_agent, "content_type": "Number", "at": samples.AT, "event_index": 4}
    assert (rendered_name, rendered) == (name, {"created_at": 1795596892, "event": name, **head, **body})


def test_deltas_of_a_leader_and_of_a_member() -> None:
    leader = Event(EventKind.CONTENT, samples.ROOT_ID, samples.AT, {"text": "Echo: "})
    member = Event(EventKind.CONTENT, samples.MEMBER_ID, samples.AT, {"text": "", "reasoning": "hm"})
    body: dict[str, Any] = {"content": "Echo: ", "content_type": "str", "reasoning_content": ""}
    name, rendered = renderer().render(leader, 2)
    assert name == "TeamRunContent"
    assert list(rendered.items()) == list(
        {"created_at": 1795596892, "event": name, **TEAM_HEAD, **body, "at": samples.AT, "event_index": 2}.items()
    )
    body = {"content": "", "workflow_agent": False, "content_type": "str", "reasoning_content": "hm"}
    name, rendered = renderer().render(member, 3)
    assert name == "RunContent"
    assert list(rendered.items()) == list(
        {"created_at": 1795596892, "event": name, **AGENT_HEAD, **body, "at": samples.AT, "event_index": 3}.items()
    )


def test_every_kind_is_in_the_table_and_named() -> None:
    as_they_are = {kind for kind in EventKind if kind.name.startswith("TASK_")} | {EventKind.CUSTOM}
    assert {row[0] for row in TABLE} | {EventKind.CONTENT, EventKind.ANSWER} | as_they_are == set(AGENT_NAMES)
    names = {event_name(kind, component) for kind in AGENT_NAMES for component in ("team", "agent")}
    assert len(names) == 2 * len(AGENT_NAMES) - 3, "a tool's own event has one name, and an answer that of its text"
    assert set(AGENT_NAMES) | set(WORKFLOW_NAMES) == set(EventKind)
    as_others = {
        EventKind.WORKFLOW_CALLED: "WorkflowStarted",
        EventKind.STEP_CONTENT: "RunContent",
        EventKind.ANSWER: "RunContent",
    }
    names = {event_name(kind, "workflow") for kind in EventKind if kind not in as_others}
    assert len(names) == len(EventKind) - len(as_others)
    assert {kind: event_name(kind, "workflow") for kind in as_others} == as_others


def test_what_a_tool_tells_has_the_peers_name_in_every_run() -> None:
    data = {"tool_call_id": "c1", "tool_name": "load", "content": "half", "percent": 50}
    for run_id, head in ((samples.ROOT_ID, TEAM_HEAD), (samples.MEMBER_ID, AGENT_HEAD)):
        name, rendered = renderer().render(Event(EventKind.CUSTOM, run_id, samples.AT, data), 4)
        assert rendered == {
            "created_at": 1795596892,
            "event": "CustomEvent",
            **head,
            **data,
            "at": samples.AT,
            "event_index": 4,
        }
        assert name == "CustomEvent"


def test_depth_follows_the_tree() -> None:
    depths = [renderer().head(run_id)["nested_depth"] for run_id in (samples.ROOT_ID, INNER_ID, DEEP_ID)]
    assert depths == [0, 1, 2]


def test_an_unknown_run_is_not_guessed() -> None:
    with pytest.raises(KeyError):
        renderer().render(Event(EventKind.CONTENT, "nobody", 0.0, {"text": ""}), 0)


def test_members_are_known_from_their_start() -> None:
    growing = EventRenderer("s-sync", {samples.ROOT_ID: RunIdentity.of(samples.row())})
    start = {
        **MODEL,
        "component_kind": "agent",
        "component_id": "weather-agent",
        "component_name": "Weather Agent",
        "parent_id": samples.ROOT_ID,
    }
    event = Event(EventKind.RUN_STARTED, samples.MEMBER_ID, samples.AT, start)
    _, rendered = growing.render(event, 1)
    body = {**AGENT_HEAD, **MODEL, "at": samples.AT, "event_index": 1}
    assert rendered == {"created_at": 1795596892, "event": "RunStarted", **body}
    assert growing.identity(samples.MEMBER_ID) == RunIdentity.of(samples.member_row())


def test_members_that_started_earlier_can_be_told() -> None:
    growing = EventRenderer("s-sync", {samples.ROOT_ID: RunIdentity.of(samples.row())})
    growing.learn({samples.MEMBER_ID: RunIdentity.of(samples.member_row())})
    name, _ = growing.render(Event(EventKind.CONTENT_COMPLETED, samples.MEMBER_ID, 0.0), 1)
    assert name == "RunContentCompleted"


def test_the_end_of_a_delegating_run_carries_its_members_outputs() -> None:
    data = {"output": samples.output("Done", 2).as_json(), "members": [samples.MEMBER_ID]}
    event = Event(EventKind.RUN_COMPLETED, samples.ROOT_ID, samples.AT, data)
    assert member_ids(event) == [samples.MEMBER_ID]
    _, rendered = renderer().render(event, 9, [samples.member_view()])
    assert list(rendered)[-6:] == ["content", "content_type", "member_responses", "metrics", "at", "event_index"]
    (member,) = rendered["member_responses"]
    assert member["agent_id"] == "weather-agent"
    assert member["content"] == "Done: Sunny in Paris"
    assert member["parent_run_id"] == samples.ROOT_ID
    assert [message["role"] for message in member["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    _, without = renderer().render(event, 9)
    assert "member_responses" not in without


def test_other_events_carry_no_members() -> None:
    assert member_ids(Event(EventKind.CONTENT, samples.ROOT_ID, 0.0, {"members": ["x"]})) == []
    data = {"output": samples.output("Done").as_json()}
    assert member_ids(Event(EventKind.RUN_COMPLETED, samples.ROOT_ID, 0.0, data)) == []


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (EventKind.RUN_ERROR, {"content": "The run failed."}),
        (EventKind.RUN_CANCELLED, {"reason": f"Run {samples.ROOT_ID} was cancelled"}),
        (EventKind.RUN_PAUSED, {"content": "", "tools": [], "requirements": []}),
        (EventKind.RUN_CONTINUED, {"superseded": []}),
    ],
)
def test_ends_without_details_still_say_something(kind: EventKind, expected: dict[str, Any]) -> None:
    _, rendered = renderer().render(Event(kind, samples.ROOT_ID, 0.0), 1)
    assert expected.items() <= rendered.items()


def test_content_only_streams_show_text_members_and_the_end() -> None:
    root = {kind for kind in EventKind if is_content_only(Event(kind, samples.ROOT_ID, 0.0), samples.ROOT_ID)}
    assert root == {
        EventKind.CONTENT,
        EventKind.ANSWER,
        EventKind.RUN_COMPLETED,
        EventKind.RUN_ERROR,
        EventKind.RUN_CANCELLED,
        EventKind.RUN_PAUSED,
    }
    assert all(is_content_only(Event(kind, samples.MEMBER_ID, 0.0), samples.ROOT_ID) for kind in EventKind)


def test_the_error_event_of_a_run_is_the_streamed_one_without_our_fields() -> None:
    from musterd.wire.runs import error_event

    error = {"code": "model_error", "message": "m", "retryable": True}
    view = samples.plain_view(RunState.ERROR, ended_at=samples.AT)
    view.output = samples.output(None, error=error)
    event = Event(EventKind.RUN_ERROR, samples.ROOT_ID, samples.AT, {"content": "m", "error": error})
    _, streamed = renderer().render(event, 1)
    assert error_event(view) == {
        name: item for name, item in streamed.items() if name not in ("nested_depth", "at", "event_index")
    }
