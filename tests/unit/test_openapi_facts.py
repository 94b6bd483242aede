"""The comparison of documents sees what a client would stumble over."""

from copy import deepcopy
from typing import Any

import pytest

from tests.support.openapi_facts import differences, operations

BEFORE: dict[str, Any] = {
    "paths": {
        "/x": {
            "post": {
                "operationId": "x",
                "summary": "X",
                "parameters": [{"name": "q", "in": "query", "schema": {"type": "string", "default": "a"}}],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Asked"}}}},
                "responses": {
                    "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Node"}}}}
                },
            }
        }
    },
    "components": {
        "schemas": {
            "Asked": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
            "Node": {
                "type": "object",
                "properties": {
                    "id": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                    "below": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}},
                },
            },
        }
    },
}
NODE, ASKED = ("components", "schemas", "Node", "properties"), ("components", "schemas", "Asked")


def changed(place: tuple[str, ...], value: Any) -> list[str]:
    """What differs once ``value`` stands at ``place``."""
    after = deepcopy(BEFORE)
    holder: Any = after
    for name in place[:-1]:
        holder = holder[int(name)] if isinstance(holder, list) else holder[name]
    holder[place[-1]] = value
    return list(differences(operations(BEFORE)["x"], operations(after)["x"]))


def test_words_are_no_difference() -> None:
    assert changed((*ASKED, "description"), "what is asked") == []


@pytest.mark.parametrize(
    "place, value, difference",
    [
        (("paths", "/x", "post", "summary"), "Y", "summary: X > Y"),
        ((*NODE, "id"), {"type": "string"}, "200 application/json .id: null|string > string (says more)"),
        ((*NODE, "id"), {"type": "integer"}, "200 application/json .id: null|string > integer"),
        (
            (*NODE, "more"),
            {"type": "object", "properties": {"a": {}}},
            "200 application/json .more: - > object (says more)",
        ),
        ((*NODE, "below", "items"), {"type": "string"}, "200 application/json .below[]: itself > string"),
        ((*ASKED, "required"), [], "body application/json .a: string required > string (takes more)"),
        ((*ASKED, "properties"), {}, "body application/json .a: string required > -"),
        (("paths", "/x", "post", "parameters"), [], "query.q: string = a > -"),
        (
            ("paths", "/x", "post", "parameters", "0", "schema", "enum"),
            ["a"],
            "query.q: string = a > string of a = a",
        ),
    ],
)
def test_what_a_client_would_notice_is_one(place: tuple[str, ...], value: Any, difference: str) -> None:
    assert changed(place, value) == [difference]
