"""Requests that are meant to hurt: each is refused in words, and costs little."""

import json
from typing import Any

import pytest

from musterd.core import schema_costs
from tests.support.app import Serve
from tests.support.http import ServerClient, problem, wrong_fields

RUNS = "/teams/demo-team/runs"


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "http://[foo]:1", "null", "//127.0.0.1", "ftp://test"])
async def test_an_origin_that_is_none_may_not_write(client: ServerClient, origin: str) -> None:
    answer = await client.http.post(RUNS, data={"message": "hi"}, headers={"origin": origin})
    problem(answer, 403, "FORBIDDEN")


@pytest.mark.parametrize("charset", ["undefined", "punycode"])
async def test_a_charset_that_decodes_nothing_is_refused(client: ServerClient, charset: str) -> None:
    body = b'--B\r\nContent-Disposition: form-data; name="message"\r\n\r\n\xff\xfe\r\n--B--\r\n'
    headers = {"content-type": f"multipart/form-data; boundary=B; charset={charset}"}
    assert (await client.http.post(RUNS, content=body, headers=headers)).status_code in (400, 422)


async def test_a_schema_that_unfolds_without_end_is_refused(client: ServerClient) -> None:
    parts: dict[str, object] = {f"a{i}": {"anyOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(24)}
    schema = {"$ref": "#/$defs/a0", "$defs": {**parts, "a24": {"type": "string"}}}
    answer = await client.post("[[SAY 1]]", stream="false", output_schema=json.dumps(schema))
    assert answer.status_code == 422
    assert "20000 parts" in problem(answer, 422, "VALIDATION_ERROR")


def grown(reference: str, **more: Any) -> dict[str, Any]:
    """A schema that unfolds without end, by references of one form."""
    parts = [{"anyOf": [{"$ref": reference.format(i + 1)}] * 2, "$anchor": f"a{i}"} for i in range(24)]
    return {"$ref": reference.format(0), "$defs": {"parts": {"anyOf": [*parts, {"$anchor": "a24"}]}}, **more}


@pytest.mark.parametrize(
    "schema",
    [
        grown("#/$defs/parts/anyOf/{}"),
        grown("#/%24defs/parts/anyOf/{}"),
        grown("#a{}"),
        {"properties": {"a": grown("#/$defs/parts/anyOf/{}", **{"$id": "x:y"})}, "$defs": {"parts": {"anyOf": [{}]}}},
        {"$ref": "#/$defs/0", "$defs": {str(i): {"$ref": f"#/$defs/{i + 1}"} for i in range(3000)}},
    ],
    ids=["items of lists", "escaped", "names", "a schema of its own", "a long chain"],
)
async def test_however_its_references_are_written(client: ServerClient, schema: dict[str, Any]) -> None:
    answer = await client.post("[[SAY 1]]", stream="false", output_schema=json.dumps(schema))
    assert wrong_fields(answer) == [("body", "output_schema")]


async def test_a_schema_is_looked_at_no_longer_than_it_may_be(
    client: ServerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A place has as many names as its letters can be escaped: nothing is read again for each of them."""
    looked_at: list[str] = []
    look = schema_costs._resolve

    def noted(schema: Any, reference: str) -> Any:
        looked_at.append(reference)
        return look(schema, reference)

    monkeypatch.setattr(schema_costs, "_resolve", noted)
    names = [
        "".join(f"%{ord(sign):x}" if way >> n & 1 else sign for n, sign in enumerate("abcdefgh")) for way in range(256)
    ]
    schema = {"allOf": [{"$ref": f"#/$defs/{name}"} for name in names], "$defs": {"abcdefgh": {"enum": [0] * 15_000}}}
    answer = await client.post("[[SAY 1]]", stream="false", output_schema=json.dumps(schema))
    assert wrong_fields(answer) == [("body", "output_schema")]
    assert len(looked_at) == 2


async def test_a_schema_may_refer_to_itself(client: ServerClient) -> None:
    tree = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}
    schema = {"$ref": "#/$defs/tree", "$defs": {"tree": tree}}
    done = await client.post('[[SAY {"kids": [{"kids": []}]}]]', stream="false", output_schema=json.dumps(schema))
    assert done.json()["content"] == {"kids": [{"kids": []}]}


@pytest.mark.parametrize("pattern", [r"(?=(a+))\1b", "(?<!a)b", r"(a)\1", "a{1000}{1000}", "("])
async def test_a_pattern_that_takes_hours_is_refused(client: ServerClient, pattern: str) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}}
    answer = await client.post('[[SAY {"a": "a"}]]', stream="false", output_schema=json.dumps(schema))
    assert wrong_fields(answer) == [("body", "output_schema")]


async def test_a_pattern_of_a_schema_takes_no_longer_for_its_text(client: ServerClient) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
    said = json.dumps({"a": "a" * 100_000})
    done = await client.post(f"[[SAY {said}]]", stream="false", output_schema=json.dumps(schema))
    assert done.json()["status"] == "COMPLETED"


@pytest.mark.parametrize(
    ("pattern", "number"), [(r"^\p{L}{1,50}$", 3), (r"^[a-z]{1,60}$", 200)], ids=["of all letters", "long ones"]
)
async def test_patterns_that_take_long_to_compile_are_refused(client: ServerClient, pattern: str, number: int) -> None:
    fields = {f"a{place}": {"pattern": f"{pattern}{place}"} for place in range(number)}
    answer = await client.post("[[SAY {}]]", stream="false", output_schema=json.dumps({"properties": fields}))
    assert "fewer or shorter patterns" in problem(answer, 422, "VALIDATION_ERROR")


async def test_an_answer_that_may_match_in_many_ways_is_checked_at_once(client: ServerClient) -> None:
    """Two ways at each of 60 levels: looking at each would take longer than anyone lives."""
    way = {"properties": {"a": {"$ref": "#"}}}
    schema = {"type": "object", "anyOf": [way, way]}
    answer: object = {}
    wrong: object = 1
    for _ in range(60):
        answer, wrong = {"a": answer}, {"a": wrong}
    done = await client.post(f"[[SAY {json.dumps(answer)}]]", stream="false", output_schema=json.dumps(schema))
    assert done.json()["content"] == answer
    done = await client.post(f"[[SAY {json.dumps(wrong)}]]", stream="false", output_schema=json.dumps(schema))
    assert done.json()["error"]["code"] == "output_invalid"


async def test_many_wrong_items_make_a_short_answer(client: ServerClient) -> None:
    answer = await client.post(images=json.dumps([{}] * 100))
    assert len(answer.json()["errors"]) == 20
    answer = await client.post(images=json.dumps([{"url": "http://a"}] * 101))
    assert wrong_fields(answer) == [("body", "images")]


async def test_fields_of_a_json_body_have_one_limit_together(client: ServerClient) -> None:
    state = {"text": ["x" * 1000] * 1200}
    answer = await client.http.post(RUNS, json={"message": "hi", "stream": False, "session_state": state})
    assert "1024KB" in problem(answer, 400, "BAD_REQUEST")
    images = [{"url": "http://a"}]
    answer = await client.http.post(RUNS, json={"message": "hi", "images": images, "session_state": state})
    assert "1024KB" in problem(answer, 400, "BAD_REQUEST")


async def test_a_session_does_not_grow_by_its_requests_without_end(serve: Serve) -> None:
    async with serve(state_bytes=2000) as client:
        states = [json.dumps({f"key{number}": "x" * 800}) for number in range(3)]
        done = [await client.run(session_id="s1", session_state=state) for state in states]
        assert [one["status"] for one in done] == ["COMPLETED", "COMPLETED", "ERROR"]
        assert done[2]["error"]["code"] == "state_too_large"
        assert list((await client.get("/sessions/s1", type="team"))["session_state"]) == ["key0", "key1"]
        assert (await client.run(session_id="s1"))["status"] == "COMPLETED"
        many = json.dumps({f"key{number}": 1 for number in range(100)})
        assert (await client.run(session_id="s2", session_state=many))["status"] == "COMPLETED"


async def test_the_state_of_a_session_has_so_many_values(client: ServerClient) -> None:
    """Each call of a tool gets a copy of them."""
    run = await client.run(session_state=json.dumps({"lists": [[]] * 99_990}))
    assert run["status"] == "COMPLETED"
    run = await client.run(session_state=json.dumps({"lists": [[]] * 100_000}))
    assert run["error"]["code"] == "state_too_large"
    assert "100,000 values" in run["error"]["message"]


@pytest.mark.parametrize(
    "path",
    [
        "/teams/%00",
        "/teams/%ff%fe",
        "/teams/%c0%ae%c0%ae/runs",  # overlong dots
        "/teams/..%2f..%2fetc%2fpasswd",
        "/teams/%2e%2e/agents",
        "/teams//demo-team",
        "/teams/demo-team%2fruns",
        "/teams/%zz%",
        "/sessions/" + "x" * 5000,
        "/sessions/%0d%0aSet-Cookie:%20x",
        "/approvals/%f0%9f%92%a9",
    ],
)
async def test_a_path_that_leads_nowhere(client: ServerClient, path: str) -> None:
    answer = await client.http.get(path)
    assert answer.status_code in (404, 422), answer.text
    assert set(answer.json()) >= {"detail", "error_code", "request_id"}
    assert "set-cookie" not in answer.headers


async def test_queries_that_go_on(client: ServerClient) -> None:
    assert (await client.http.get("/sessions?" + "&".join(f"p{n}={n}" for n in range(5000)))).status_code == 200
    assert (await client.http.get("/sessions?" + "limit=1&" * 7000)).status_code == 200
    for query in ("limit=%zz", "limit=1e400", "limit=" + "9" * 5000, "page=-1", "limit=%F1%99%A1", "type=%00"):
        assert (await client.http.get(f"/sessions?{query}")).status_code == 422
