"""What a server says, in the house's words."""

from typing import Any

import pytest
from mcp.types import CallToolResult, Tool, ToolAnnotations

from musterd import MCPServer
from musterd.mcp.results import definitions_of, text_of


def listed(name: str, **said: Any) -> Tool:
    return Tool(name=name, input_schema={"type": "object"}, **said)


def test_tools_have_names_that_models_can_call_and_say_what_is_safe() -> None:
    server = MCPServer(command="x", exclude_tools=["hidden"], retry_safe_tools=["put"], tool_name_prefix="desk")
    found = definitions_of(
        [
            listed("a.b/c", description="Look.", annotations=ToolAnnotations(read_only_hint=True)),
            listed("put", title="Put"),
            listed("post", annotations=ToolAnnotations(idempotent_hint=False, read_only_hint=False)),
            listed("hidden"),
            listed("x" * 80),
        ],
        server,
    )
    assert [(tool["name"], tool["description"], tool["retry_safe"]) for tool in found] == [
        ("desk_a_b_c", "Look.", True),
        ("desk_put", "Put", True),
        ("desk_post", "", False),
        (f"desk_{'x' * 59}", "", False),
    ]
    assert found[0]["tool"] == "a.b/c"
    assert found[0]["parameters"] == {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("content", "more", "text"),
    [
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], {}, "a\nb"),
        ([], {"structuredContent": {"ü": 1}}, '{"ü": 1}'),
        ([{"type": "image", "data": "AA==", "mimeType": "image/png"}], {}, "[image, image/png]"),
        ([{"type": "resource", "resource": {"uri": "file:///a", "text": "inside"}}], {}, "inside"),
        ([{"type": "resource", "resource": {"uri": "file:///a", "blob": "AA=="}}], {}, "[data: file:///a]"),
        ([{"type": "resource_link", "uri": "file:///a", "name": "A"}], {}, "[A: file:///a]"),
        ([], {}, ""),
    ],
)
def test_results_are_text(content: list[dict[str, Any]], more: dict[str, Any], text: str) -> None:
    assert text_of(CallToolResult.model_validate({"content": content, **more})) == (text, False)


def test_a_result_may_be_an_error() -> None:
    result = CallToolResult.model_validate({"content": [{"type": "text", "text": "no"}], "isError": True})
    assert text_of(result) == ("no", True)
