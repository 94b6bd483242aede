"""Runs and conversations for the tests of the wire: the peer's transcripts as our records hold them."""

import json
from datetime import UTC, datetime
from typing import Any, cast

from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.usage import RequestUsage

from musterd.core.records import Input, Output, RunRow, RunView, ToolCall, Usage
from musterd.core.requirements import Requirement, RequirementKind
from musterd.core.states import RunState

AT = 1795596892.25
WHEN = datetime.fromtimestamp(AT, UTC)
ROOT_ID = "d491998a-97f3-4dd3-ab42-43244defd9be"
MEMBER_ID = "cce11c37-9b08-4df2-a469-2e2bc975f66e"
TASK = "weather in Paris and more than 26 characters"
DELEGATION = {"member_id": "weather-agent", "task": TASK}


def as_read(answer: object) -> dict[str, Any]:
    """An answer as a client reads it: any JSON object."""
    return cast(dict[str, Any], answer)


def dumped(*messages: ModelMessage) -> list[dict[str, Any]]:
    """The messages as a run's record holds them."""
    stored: list[dict[str, Any]] = json.loads(ModelMessagesTypeAdapter.dump_json(list(messages)))
    return stored


def prompt(text: str, instructions: str | None = None) -> ModelRequest:
    """The request that opens a conversation."""
    parts = [UserPromptPart(text, timestamp=WHEN)]
    return ModelRequest(parts=parts, instructions=instructions, timestamp=WHEN)


def answer(*parts: TextPart | ToolCallPart, first: float | None = None) -> ModelResponse:
    """A model's response of 10 and 5 tokens that took half a second."""
    ours = {"seconds": 0.5} if first is None else {"seconds": 0.5, "first_token_seconds": first}
    usage = RequestUsage(input_tokens=10, output_tokens=5)
    return ModelResponse(parts=list(parts), usage=usage, timestamp=WHEN, metadata={"musterd": ours})


def tool_result(name: str, content: str, call_id: str) -> ModelRequest:
    """The request that carries a tool's result."""
    return ModelRequest(parts=[ToolReturnPart(name, content, call_id, timestamp=WHEN)], timestamp=WHEN)


def row(state: RunState = RunState.COMPLETED, **changes: Any) -> RunRow:
    """The row of a root run of demo-team."""
    fields: dict[str, Any] = {
        "run_id": ROOT_ID,
        "root_id": ROOT_ID,
        "parent_id": None,
        "session_id": "s-sync",
        "user_id": "u1",
        "component_kind": "team",
        "component_id": "demo-team",
        "component_name": "Demo Team",
        "model": "fake-model",
        "model_provider": "OpenAI",
        "state": state,
        "attempt": 1,
        "created_at": AT,
    }
    return RunRow(**{**fields, **changes})


def member_row(**changes: Any) -> RunRow:
    """The row of weather-agent's run inside it."""
    fields: dict[str, Any] = {
        "run_id": MEMBER_ID,
        "parent_id": ROOT_ID,
        "component_kind": "agent",
        "component_id": "weather-agent",
        "component_name": "Weather Agent",
        "attempt": 0,
    }
    return row(**{**fields, **changes})


def output(content: Any, times: int = 1, **changes: Any) -> Output:
    """What a run of so many model calls produced."""
    usage = Usage(input_tokens=10 * times, output_tokens=5 * times)
    return Output(content=content, usage=usage, first_token_seconds=0.125, seconds=0.5, **changes)


def metrics(times: int = 1) -> dict[str, Any]:
    """The metrics that :func:`output` shows."""
    counts = {"input_tokens": 10 * times, "output_tokens": 5 * times, "total_tokens": 15 * times}
    share = {**counts, "id": "fake-model", "provider": "OpenAI"}
    return {**counts, "time_to_first_token": 0.125, "duration": 0.5, "details": {"model": [share]}}


def plain_view(state: RunState = RunState.COMPLETED, **changes: Any) -> RunView:
    """A run without delegation: hello, Echo: hello."""
    view = RunView(row=row(state, **changes), input=Input(message="hello"))
    if state.is_final:
        view.output = output("Echo: hello")
        view.messages = dumped(prompt("hello", "You coordinate."), answer(TextPart("Echo: hello"), first=0.125))
    return view


def weather_call(**changes: Any) -> ToolCall:
    """The member's finished tool call."""
    fields: dict[str, Any] = {
        "id": "call_29_0",
        "name": "get_weather",
        "args": {"city": "Paris"},
        "created_at": AT,
        "is_error": False,
        "result": "Sunny in Paris",
        "started_at": AT,
        "seconds": 0.0036304,
    }
    return ToolCall(**{**fields, **changes})


def delegation_call(**changes: Any) -> ToolCall:
    """The leader's finished delegation."""
    fields: dict[str, Any] = {
        "id": "call_28_0",
        "name": "delegate_task_to_member",
        "args": DELEGATION,
        "result": "Done: Sunny in Paris",
        "seconds": 0.25,
        "child_run_id": MEMBER_ID,
    }
    return weather_call(**{**fields, **changes})


def requirement(**changes: Any) -> Requirement:
    """A call that was cut off, and waits for a person."""
    values: dict[str, Any] = {
        "id": "req-1",
        "kind": RequirementKind.UNKNOWN_OUTCOME,
        "path": "t0/c0",
        "tool": weather_call(is_error=None, result=None, started_at=None, seconds=None),
        "run_id": ROOT_ID,
        "component_kind": "agent",
        "component_id": "weather-agent",
        "component_name": "Weather Agent",
        "created_at": AT,
        "started_at": 1795596890.5,
    }
    return Requirement(**{**values, **changes})


def member_view() -> RunView:
    """weather-agent's run: one tool call, one answer."""
    return RunView(
        row=member_row(),
        input=Input(message=TASK),
        output=output("Done: Sunny in Paris", 2, tools=[weather_call()]),
        messages=dumped(
            prompt(TASK, "<your_role>\nReports the weather\n</your_role>"),
            answer(ToolCallPart("get_weather", {"city": "Paris"}, "call_29_0")),
            tool_result("get_weather", "Sunny in Paris", "call_29_0"),
            answer(TextPart("Done: Sunny in Paris"), first=0.125),
        ),
    )


def delegating_view() -> RunView:
    """demo-team's run that delegated to weather-agent, its member nested."""
    return RunView(
        row=row(),
        input=Input(message="What is the weather?"),
        output=output("Done: Done: Sunny in Paris", 2, tools=[delegation_call()]),
        messages=dumped(
            prompt("What is the weather?", "You coordinate."),
            answer(ToolCallPart("delegate_task_to_member", DELEGATION, "call_28_0")),
            tool_result("delegate_task_to_member", "Done: Sunny in Paris", "call_28_0"),
            answer(TextPart("Done: Done: Sunny in Paris"), first=0.125),
        ),
        members=[member_view()],
    )


def tool_nulls() -> dict[str, None]:
    """The keys of a tool object that nobody decided."""
    names = (
        "requires_confirmation confirmed confirmation_note requires_user_input user_input_schema "
        "user_feedback_schema answered external_execution_required external_execution_silent approval_type "
        "approval_id"
    )
    return dict.fromkeys(names.split())
