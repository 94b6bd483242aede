"""What a server answers, as JSON that is safe to hand on."""

from typing import Any

import pytest

from musterd import MCPServer, Settings
from musterd.mcp.limits import Limits
from musterd.mcp.results import (
    LIST_BYTES,
    SKIPPED_TOOLS,
    UnusableResult,
    as_one_text,
    definitions_of,
    problems_of,
    readable_tools,
)

LIMITS = Limits.of(Settings())
ANY: dict[str, Any] = {"type": "object"}
GROWING = {f"d{place}": {"allOf": [{"$ref": f"#/$defs/d{place + 1}"}] * 2} for place in range(40)}
"""References that unfold without end."""


def listed(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "inputSchema": ANY, **more}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def test_tools_have_names_that_models_can_call_and_say_what_is_safe() -> None:
    server = MCPServer(command="x", exclude_tools=["hidden"], retry_safe_tools=["put"], tool_name_prefix="desk")
    definitions = definitions_of(
        [
            listed("a.b/c", description="Look.", annotations={"readOnlyHint": True}),
            listed("put", title="Put"),
            listed("post", annotations={"idempotentHint": False, "readOnlyHint": False}),
            listed("hidden"),
            listed("x" * 80),
        ],
        server,
    )
    assert [(tool["name"], tool["description"], tool["retry_safe"]) for tool in definitions] == [
        ("desk_a_b_c", "Look.", True),
        ("desk_put", "Put", True),
        ("desk_post", "", False),
        (f"desk_{'x' * 59}", "", False),
    ]
    assert definitions[0]["tool"] == "a.b/c"
    assert definitions[0]["parameters"] == {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("tool", "problem"),
    [
        (5, "number 2 of its list: it has no name"),
        ({"inputSchema": ANY}, "number 2 of its list: it has no name"),
        ({"name": "bad"}, "bad: it has no inputSchema"),
        (listed("bad", inputSchema={"type": "string"}), "bad: its inputSchema is not of type object"),
        (listed("bad", inputSchema={**ANY, "properties": 5}), "bad: its inputSchema is not a JSON schema"),
        (
            listed("bad", inputSchema={**ANY, "properties": {"a": {"type": "nonsense"}}}),
            "bad: its inputSchema is not a JSON schema",
        ),
        (listed("bad", inputSchema=nested(60)), "bad: its definition is nested deeper than 100 levels"),
        (listed("bad", description="\ud800"), "bad: its definition contains text that is not Unicode"),
        (listed("b\ud800"), "b�: its definition contains text that is not Unicode"),
        (
            listed("bad", inputSchema={**ANY, "default": float("inf")}),
            "bad: its definition contains a number that is not valid in JSON",
        ),
        (
            listed("bad", inputSchema={**ANY, "$ref": "#/$defs/d0", "$defs": {**GROWING, "d40": {}}}),
            "bad: its inputSchema should have at most 20000 parts after its references are resolved",
        ),
        (listed("bad", description="x" * 70_000), "bad: its definition is longer than 65536 bytes"),
    ],
)
def test_a_tool_that_cannot_be_used_costs_itself_alone(tool: Any, problem: str) -> None:
    page = readable_tools({"tools": [listed("one"), tool, listed("two")], "_meta": {"a": 1}}, LIMITS)
    assert [one["name"] for one in page["tools"]] == ["one", "two"]
    assert page["_meta"]["a"] == 1
    (said,) = problems_of(page["_meta"][SKIPPED_TOOLS], MCPServer(command="x"))
    assert said.startswith(problem)


def test_nothing_is_said_of_tools_that_do_not_count() -> None:
    skipped = [{"name": "bad", "problem": "it has no inputSchema"}]
    assert problems_of(skipped, MCPServer(command="x", exclude_tools=["bad"])) == []
    assert problems_of(skipped, MCPServer(command="x", include_tools=["good"])) == []
    assert problems_of(skipped, MCPServer(command="x", include_tools=[])) == []


@pytest.mark.parametrize(
    ("options", "selected"),
    [
        ({}, ["one", "two"]),
        ({"include_tools": ["two"]}, ["two"]),
        ({"include_tools": []}, []),
        ({"exclude_tools": []}, ["one", "two"]),
        ({"exclude_tools": ["two"]}, ["one"]),
    ],
)
def test_a_declaration_selects_tools_by_name(options: dict[str, Any], selected: list[str]) -> None:
    definitions = definitions_of([listed("one"), listed("two")], MCPServer(command="x", **options))
    assert [definition["name"] for definition in definitions] == selected


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {"items": [ANY]}}},
        {"properties": {"a": {"type": "array", "items": [ANY]}}},  # draft 7, and does not say so
        {"$schema": "https://json-schema.org/draft/2099-01/schema", "properties": {"a": ANY}},
        {"$schema": "http://127.0.0.1:1/fetched", "properties": {"a": ANY}},
        nested(45),
        {"properties": {"a": {"$ref": "https://example.org/other.json"}}},
        {"properties": {"a": {"pattern": r"^(?!\.)\w+$"}}},
        {"properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}},
    ],
)
def test_schemas_of_several_drafts_can_be_used(schema: dict[str, Any]) -> None:
    page = readable_tools({"tools": [listed("one", inputSchema=schema)]}, LIMITS)
    assert page["_meta"][SKIPPED_TOOLS] == []
    assert page["tools"][0]["inputSchema"] == {**ANY, **schema}


def test_what_is_not_used_of_a_tool_is_dropped() -> None:
    tool = listed("one", description=5, annotations="no", icons=[{}], outputSchema={"pattern": "(a+)+$"})
    page = readable_tools({"tools": [tool]}, LIMITS)
    assert page["tools"] == [listed("one")]


def test_copies_of_references_count_as_bytes_of_the_list() -> None:
    schema = {**ANY, "$ref": "#/$defs/d30", "$defs": {**GROWING, "d40": {}}}
    page = readable_tools({"tools": [listed(f"t{number}", inputSchema=schema) for number in range(20)]}, LIMITS)
    assert page["_meta"][SKIPPED_TOOLS] == []
    assert page["_meta"][LIST_BYTES] > LIMITS.message_bytes


def test_a_server_may_have_so_many_tools() -> None:
    tools = [listed(f"t{number}") for number in range(LIMITS.tools + 1)]
    assert len(readable_tools({"tools": tools[1:]}, LIMITS)["tools"]) == LIMITS.tools
    with pytest.raises(UnusableResult, match=r"more than 500 \(MUSTERD_MCP_TOOLS\)"):
        readable_tools({"tools": tools}, LIMITS)


@pytest.mark.parametrize(
    ("content", "more", "text"),
    [
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], {}, "a\nb"),
        ([{"type": "text", "text": "a\ud800\x00b"}], {}, "a?b"),
        ([], {"structuredContent": {"ü": 1}}, '{"ü": 1}'),
        ([{"type": "text", "text": ""}], {"structuredContent": {"ü": 1}}, '{"ü": 1}'),
        ([{"type": "text", "text": "a"}], {"structuredContent": {"ü": 1}}, "a"),
        ([{"type": "image", "data": "AA==", "mimeType": "image/png"}], {}, "[image, image/png]"),
        ([{"type": "resource", "resource": {"uri": "file:///a", "text": "inside"}}], {}, "inside"),
        ([{"type": "resource", "resource": {"uri": "file:///a", "blob": "AA=="}}], {}, "[data: file:///a]"),
        ([{"type": "resource_link", "uri": "file:///a", "name": "A"}], {}, "[A: file:///a]"),
        ([], {}, ""),
        (None, {"structuredContent": [1]}, "[1]"),
    ],
)
def test_results_are_one_text(content: Any, more: dict[str, Any], text: str) -> None:
    joined = as_one_text({"content": content, "isError": True, **more}, LIMITS)
    assert joined == {"content": [{"type": "text", "text": text}], "isError": True}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([{"type": "text", "text": "a"}] * 1001, r"1001 blocks, more than 1000 \(MUSTERD_MCP_BLOCKS\)"),
        ([{"type": "text", "text": "a"}, {"type": "text"}], "its block 2 is not of a type that the protocol defines"),
        ([5], "its block 1 is not of a type"),
        ([{"type": "text", "text": 5}], "its block 1 is not of a type"),
        ([{"type": "resource", "resource": {"text": "a", "uri": 1}}, {"type": "resource"}], "its block 2 is not of"),
        ("text", "its content is not a list"),
    ],
)
def test_results_that_cannot_be_used_say_why(content: Any, says: str) -> None:
    with pytest.raises(UnusableResult, match=says):
        as_one_text({"content": content}, LIMITS)
