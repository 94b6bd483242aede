"""Tool calls: the object with all its keys, and the line that sums one up."""

from typing import Any

import pytest

from musterd.wire.tools import tool_line, tool_object
from tests.unit.wire import samples


def test_a_call_that_has_not_run_keeps_its_nulls() -> None:
    call = samples.weather_call(is_error=None, result=None, started_at=None, seconds=None)
    rendered = tool_object(call)
    expected = {
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
    assert rendered == expected
    assert list(rendered) == list(expected)


@pytest.mark.parametrize(
    ("name", "args", "line"),
    [
        ("get_weather", {"city": "Paris"}, "get_weather(city=Paris) completed in 0.0036s. "),
        ("list_tasks", {}, "list_tasks() completed in 0.0036s. "),
        (
            "delegate_task_to_member",
            {"member_id": "inner-team", "task": "do [[DELEGATE n-writer-agent: x]]"},
            "delegate_task_to_member(member_id=inner-team, task=...) completed in 0.0036s. ",
        ),
        ("sleep", {"seconds": 1.5, "why": None}, "sleep(seconds=1.5, why=None) completed in 0.0036s. "),
    ],
)
def test_the_line(name: str, args: dict[str, Any], line: str) -> None:
    assert tool_line(samples.weather_call(name=name, args=args)) == line
