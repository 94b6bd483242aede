"""Options of the prompt and the session: what a declaration refuses, in words that say what to do."""

from typing import Any

import pytest

from musterd import Agent, MemoryManager, SessionSummaryManager
from musterd.core.errors import DeclarationError
from musterd.declare import Registry


def lookup(number: int) -> int:
    return number


def update_session_state(number: int) -> int:
    return number


@pytest.mark.parametrize(
    "options, says",
    [
        (
            {"instructions": lambda context: "x"},
            "the function in instructions has the unknown parameter 'context' — use only",
        ),
        ({"system_message": lookup}, "the function in system_message has the unknown parameter 'number'"),
        ({"dependencies": {"x": lookup}}, "the function in dependencies['x'] has the unknown parameter 'number'"),
        ({"system_message": 3}, "'system_message' is 3 — use a string or a function that returns one"),
        ({"timezone_identifier": "Mars/Base"}, "unknown time zone 'Mars/Base' — use an IANA name"),
        ({"timezone_identifier": "../etc"}, "unknown time zone '../etc'"),
        (
            {"additional_input": ["x", {"role": "tool", "content": "y"}]},
            "'additional_input' is a list — use a list",
        ),
        ({"num_history_messages": 0}, "'num_history_messages' is 0 — use a whole number, 1 or more"),
        ({"session_summary_manager": "x"}, "'session_summary_manager' is 'x' — use a SessionSummaryManager(…)"),
        ({"learning": object()}, "'learning' is a object — use True or False; a MemoryManager(…) says what to learn"),
        ({"memory_manager": "x"}, "'memory_manager' is 'x' — use a MemoryManager(…)"),
        (
            {"enable_agentic_state": True, "tools": [update_session_state]},
            "the tool name 'update_session_state' is reserved by musterd",
        ),
    ],
)
def test_what_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        Agent(id="a", **options)
    assert says in caught.value.message


def test_a_summarys_options_are_checked() -> None:
    with pytest.raises(DeclarationError, match="SessionSummaryManager: 'model' is a int"):
        SessionSummaryManager(model=3)  # type: ignore[arg-type]
    with pytest.raises(DeclarationError, match="'summary_request_message' is a NoneType"):
        SessionSummaryManager(summary_request_message=None)  # type: ignore[arg-type]


def test_a_memory_managers_options_are_checked() -> None:
    for options, says in (
        ({"model": 3}, "this memory manager: 'model' is 3"),
        ({"db": object()}, "has no field 'db' — remove it: musterd keeps memories in its own database"),
        ({"delete_memory": True}, "did you mean 'delete_memories'?"),
        ({"profile_fields": ["company"]}, "'profile_fields' is a list — use a dict of at most 20 names"),
        ({"profile_fields": {"Home town": "x"}}, "'profile_fields' is a dict — use a dict of at most 20 names"),
        ({"profile_fields": {"company": 1}}, "'profile_fields' is a dict — use a dict of at most 20 names"),
    ):
        with pytest.raises(DeclarationError) as caught:
            MemoryManager(**options)
        assert says in caught.value.message
    assert MemoryManager(debug_mode=True).delete_memories is False  # type: ignore[call-arg]


def test_the_name_of_a_tool_is_free_where_the_option_is_not_used() -> None:
    assert Agent(id="a", tools=[update_session_state]).tools


def test_functions_may_take_defaults_and_whatever_is_there() -> None:
    def instructions(run_context: Any, *rest: Any, style: str = "kind", **more: Any) -> str:
        return style

    assert Agent(id="a", instructions=instructions).instructions is instructions


def test_a_function_counts_by_its_name_in_the_definition() -> None:
    def hashed(**options: Any) -> str:
        return Registry.of(agents=[Agent(id="a", model="m", **options)]).agents["a"].definition_hash

    assert hashed(instructions=lookup_nothing) == hashed(instructions=lookup_nothing)
    assert hashed(instructions=lookup_nothing) != hashed(instructions="x")
    assert hashed(markdown=True) != hashed()
    assert hashed(additional_input=["a"]) != hashed(additional_input=["b"])


def lookup_nothing() -> str:
    return "nothing"
