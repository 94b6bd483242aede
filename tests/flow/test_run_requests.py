"""What a request that starts a run may say, in three forms of body, and what is refused field by field."""

import json
import re
from typing import Any

import pytest

from musterd.http.routes import operations
from tests.support.http import ServerClient, problem, wrong_fields

RUNS = "/teams/demo-team/runs"
FORM = {"content-type": "application/x-www-form-urlencoded"}
NUL, LONE = "a\x00b", "\ud800"


async def send(client: ServerClient, body: bytes, content_type: str | None) -> Any:
    headers = {} if content_type is None else {"content-type": content_type}
    return await client.http.post(RUNS, content=body, headers=headers)


async def send_json(client: ServerClient, **fields: Any) -> Any:
    return await client.http.post(RUNS, json={"message": "hello", "stream": False, **fields})


# --- the three forms ----------------------------------------------------------------------------------


async def test_multipart(client: ServerClient) -> None:
    answer = await client.post("hello", stream="false", files={"none": ("", b"")})
    assert answer.request.headers["content-type"].startswith("multipart/form-data")
    assert answer.json()["content"] == "Echo: hello"


async def test_urlencoded(client: ServerClient) -> None:
    answer = await client.post("a+b & ü", stream="false")
    assert answer.request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert answer.json()["input"] == {"input_content": "a+b & ü"}


async def test_json_with_native_types(client: ServerClient) -> None:
    answer = await send_json(client, session_state={"a": [1, None]}, session_id="s1", metadata={"k": "v"})
    done = answer.json()
    assert answer.status_code == 200
    assert (done["session_id"], done["session_state"], done["metadata"]) == ("s1", {"a": [1, None]}, {"k": "v"})


async def test_json_with_the_texts_of_a_form(client: ServerClient) -> None:
    answer = await client.http.post(RUNS, json={"message": "hi", "stream": "False", "session_state": '{"a": 1}'})
    assert answer.json()["session_state"] == {"a": 1}


async def test_json_ignores_parameters_of_its_type(client: ServerClient) -> None:
    body = json.dumps({"message": "hi", "stream": False}).encode()
    assert (await send(client, body, "Application/JSON; charset=utf-8")).status_code == 200


async def test_the_message_is_kept_as_it_came(client: ServerClient) -> None:
    message = "  two\nlines\t\U0001f600 <b> [[SAY x]] \u2028 "
    done = await client.run(message)
    assert done["input"]["input_content"] == message
    assert [text["content"] for text in done["messages"] if text["role"] == "user"] == [message]


# --- the message --------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", ["", " ", "\n\t "])
async def test_a_message_must_say_something(client: ServerClient, message: str) -> None:
    assert wrong_fields(await client.post(message, stream="false")) == [("body", "message")]
    assert wrong_fields(await send_json(client, message=message)) == [("body", "message")]


async def test_a_message_is_required(client: ServerClient) -> None:
    answer = await client.http.post(RUNS, data={"stream": "false"})
    assert wrong_fields(answer) == [("body", "message")]
    assert answer.json()["errors"][0] == {
        "type": "missing",
        "loc": ["body", "message"],
        "msg": "Field required",
        "input": None,
    }


@pytest.mark.parametrize("message", [None, 7, ["hello"], {"text": "hello"}, True])
async def test_a_message_is_a_text(client: ServerClient, message: Any) -> None:
    assert wrong_fields(await send_json(client, message=message)) == [("body", "message")]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", None),
        (b"message=hi", "text/plain"),
        (b"--abc\r\nnonsense", "multipart/form-data; boundary=abc"),
        (b"", "application/x-www-form-urlencoded"),
        (b"{}", "application/json"),
    ],
    ids=["no body", "text/plain", "malformed multipart", "empty form", "empty object"],
)
async def test_a_body_without_a_message(client: ServerClient, body: bytes, content_type: str | None) -> None:
    answer = await send(client, body, content_type)
    assert answer.status_code in (400, 422)
    if answer.status_code == 422:
        assert wrong_fields(answer) == [("body", "message")]
    else:
        problem(answer, 400, "BAD_REQUEST")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1]", b'"hi"', b"null", b"\xff\xfe", b'{"message": NaN}', b"[" * 100_000]
)
async def test_a_json_body_that_is_no_object(client: ServerClient, body: bytes) -> None:
    assert wrong_fields(await send(client, body, "application/json")) == [("body",)]


# --- switches and numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["false", "False", "FALSE", "0", "off", "no", "N", "f"])
async def test_no_in_any_case(client: ServerClient, word: str) -> None:
    assert (await client.post(stream=word)).headers["content-type"] == "application/json"


@pytest.mark.parametrize("word", ["true", "True", "1", "on", "YES", "y", "T", ""])
async def test_yes_in_any_case_and_by_default(client: ServerClient, word: str) -> None:
    assert (await client.post(stream=word)).headers["content-type"] == "text/event-stream; charset=utf-8"


@pytest.mark.parametrize("name", ["stream", "background", "monitor", "stream_events", "add_history_to_context"])
async def test_a_switch_takes_nothing_else(client: ServerClient, name: str) -> None:
    answer = await client.post(**{"stream": "false", name: "banana"})
    assert wrong_fields(answer) == [("body", name)]
    assert answer.json()["errors"][0]["type"] == "bool_parsing"
    assert answer.json()["errors"][0]["input"] == "banana"


@pytest.mark.parametrize(
    ("version", "kind"),
    [("x", "int_parsing"), ("1.5", "int_parsing"), ("NaN", "int_parsing"), ("9" * 50, "less_than_equal")],
)
async def test_a_version_is_a_whole_number(client: ServerClient, version: str, kind: str) -> None:
    answer = await client.post(stream="false", version=version)
    assert wrong_fields(answer) == [("body", "version")]
    assert answer.json()["errors"][0]["type"] == kind


async def test_a_version_that_is_one_changes_nothing(client: ServerClient) -> None:
    assert (await client.run(version="3"))["status"] == "COMPLETED"


@pytest.mark.parametrize(
    "name", ["input", "background_tasks", "yield_run_output", "debug_mode", "foo", "kwargs", "request"]
)
async def test_unknown_names_are_ignored(client: ServerClient, name: str) -> None:
    assert (await client.run(**{name: "x"}))["content"] == "Echo: hello"
    assert (await send_json(client, **{name: {"x": 1}})).status_code == 200


async def test_everything_that_is_wrong_is_told_at_once(client: ServerClient) -> None:
    answer = await client.post("", stream="banana", version="x", session_state="[1]")
    places = {("body", name) for name in ("message", "stream", "version", "session_state")}
    assert set(wrong_fields(answer)) == places
    assert all(name in answer.json()["detail"] for _, name in places)


# --- JSON in fields -----------------------------------------------------------------------------------

OBJECTS = ["session_state", "dependencies", "metadata", "knowledge_filters", "output_schema"]


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize(
    "text",
    ["{bad", "[1]", '"x"', "7", "true", '{"a": NaN}', '{"a": -Infinity}', '{"a": "\\u0000"}', '{"a": "\\ud800"}'],
)
async def test_an_object_field_takes_an_object(client: ServerClient, name: str, text: str) -> None:
    assert wrong_fields(await client.post(**{"stream": "false", name: text})) == [("body", name)]


@pytest.mark.parametrize("name", OBJECTS)
async def test_an_object_field_is_not_nested_too_deeply(client: ServerClient, name: str) -> None:
    for depth in (150, 20_000):
        text = '{"a":' * depth + "1" + "}" * depth
        assert wrong_fields(await client.post(**{"stream": "false", name: text})) == [("body", name)]


@pytest.mark.parametrize("text", ["", "null"])
async def test_an_object_field_may_be_empty(client: ServerClient, text: str) -> None:
    done = await client.run(**dict.fromkeys(OBJECTS, text))
    assert done["content_type"] == "str"
    assert not {"session_state", "metadata"} & set(done)


async def test_a_number_beyond_floats_is_refused_in_json_fields(client: ServerClient) -> None:
    assert wrong_fields(await client.post(stream="false", session_state='{"a": 1e999}')) == [("body", "session_state")]


# --- texts and identifiers ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["message", "session_id", "user_id", "run_id"])
async def test_no_nul_in_a_text(client: ServerClient, name: str) -> None:
    assert wrong_fields(await client.post(**{"message": "hi", "stream": "false", name: NUL})) == [("body", name)]
    assert wrong_fields(await send_json(client, **{name: NUL})) == [("body", name)]


@pytest.mark.parametrize("name", ["message", "session_id", "user_id", "run_id"])
async def test_no_lone_surrogate_in_a_text(client: ServerClient, name: str) -> None:
    body = json.dumps({"message": "hi", "stream": False, name: LONE}).encode()
    assert wrong_fields(await send(client, body, "application/json")) == [("body", name)]


@pytest.mark.parametrize("name", ["message", "session_id", "user_id", "run_id", "session_state"])
@pytest.mark.parametrize("raw", [b"\xff", b"\xed\xa0\x80"], ids=["no UTF-8", "surrogate"])
async def test_a_text_of_a_form_is_utf_8(client: ServerClient, name: str, raw: bytes) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    fields = {b"message": b"hi", b"stream": b"false", name.encode(): raw}
    multipart = b"".join(part % pair for pair in fields.items()) + b"--b--\r\n"
    answers = [
        await send(client, multipart, "multipart/form-data; boundary=b"),
        await send(
            client, b"message=hi&stream=false&%s=%s" % (name.encode(), raw), "application/x-www-form-urlencoded"
        ),
        await client.http.post(
            RUNS, content=f"message=hi&{name}=" + "".join(f"%{byte:02x}" for byte in raw), headers=FORM
        ),
    ]
    assert [wrong_fields(answer) for answer in answers] == [[("body", name)]] * 3


async def test_a_text_that_was_not_escaped_is_read_as_utf_8(client: ServerClient) -> None:
    answer = await send(client, "message=ü+a%2Bb\u20ac&stream=false".encode(), FORM["content-type"])
    assert answer.json()["input"]["input_content"] == "ü a+b\u20ac"


@pytest.mark.parametrize("name", ["session_id", "user_id", "run_id"])
@pytest.mark.parametrize("text", ["x" * 256, "a\nb", "a\x7fb", "a\x85b", 7, ["x"]], ids=repr)
async def test_an_identifier_is_short_and_printable(client: ServerClient, name: str, text: Any) -> None:
    assert wrong_fields(await send_json(client, **{name: text})) == [("body", name)]


@pytest.mark.parametrize("name", ["session_id", "user_id", "run_id"])
@pytest.mark.parametrize("text", ["a/b ü", "x" * 255, "..", "%2F", "\U0001f600"])
async def test_an_identifier_may_be_anything_else(client: ServerClient, name: str, text: str) -> None:
    done = await client.run(**{name: text})
    assert done[name] == text


async def test_a_run_id_is_no_operation_below_runs(client: ServerClient) -> None:
    """``GET /runs/{run_id}`` would not show the run."""
    paths = [operation.path for operation in operations(client.server)]
    names = {path.removeprefix("/runs/") for path in paths if re.fullmatch("/runs/[^/{}]+", path)}
    assert names >= {"counts", "changes"}
    for name in names:
        answer = await client.post("hello", stream="false", run_id=name)
        assert wrong_fields(answer) == [("body", "run_id")]
        assert "name of an operation" in answer.text
    assert await client.run("hello", session_id="counts")


async def test_an_empty_session_id_is_a_new_session(client: ServerClient) -> None:
    first, second = await client.run(session_id=""), await client.run(session_id="")
    assert first["session_id"]
    assert first["session_id"] != second["session_id"]


async def test_an_empty_run_id_is_a_new_run(client: ServerClient) -> None:
    assert (await client.run(run_id=""))["run_id"]


# --- where to ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("to", "words"), [("teams/nope", "Team not found"), ("agents/demo-team", "Agent not found")])
async def test_an_unknown_component(client: ServerClient, to: str, words: str) -> None:
    assert problem(await client.post(to=to, stream="false"), 404, "NOT_FOUND") == words
    assert problem(await client.http.post(f"/{to}/runs", content=b"x"), 404, "NOT_FOUND") == words


async def test_a_nul_in_the_path(client: ServerClient) -> None:
    answer = await client.http.post("/teams/a%00b/runs", data={"message": "hi"})
    assert wrong_fields(answer) == [("path", "team_id")]


async def test_a_refused_request_stores_nothing(client: ServerClient) -> None:
    problem(await client.post("", run_id="r1", session_id="s1"), 422, "VALIDATION_ERROR")
    assert (await client.get("/sessions"))["meta"]["total_count"] == 0
    assert (await client.run(run_id="r1"))["status"] == "COMPLETED"
