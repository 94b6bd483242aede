"""The request that starts a run, as forms and JSON bodies carry it, well formed and hostile."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musterd.core.errors import InvalidInput
from musterd.core.queueing import OnBusy, QueueingOptions
from musterd.http.run_requests import StartForm, StartWorkflowForm

OBJECT_FIELDS = ("session_state", "dependencies", "metadata", "knowledge_filters", "output_schema")


def options(values: dict[str, Any]) -> dict[str, Any]:
    return StartForm.of({"message": "hi", **values}).run_input().options


def refused(values: dict[str, Any]) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        StartForm.of(values)
    for error in caught.value.errors:
        assert set(error) == {"type", "loc", "msg", "input"}
    json.dumps(caught.value.errors, allow_nan=False)
    return caught.value


def test_a_message_alone() -> None:
    request = StartForm.of({"message": "hi"})
    assert request.model_fields_set == {"message"}
    assert (request.stream, request.background, request.answer_mode) == (True, False, "stream")
    assert request.run_input().as_json() == {"message": "hi"}


@pytest.mark.parametrize("values", [{}, {"message": ""}, {"message": " \n\t"}, {"message": None}])
def test_no_message(values: dict[str, Any]) -> None:
    error = refused(values)
    assert error.status == 422
    assert error.message == "body.message: Field required"
    assert error.errors == [{"type": "missing", "loc": ["body", "message"], "msg": "Field required", "input": None}]


def test_a_message_is_kept_verbatim() -> None:
    assert StartForm.of({"message": "  a\r\n "}).message == "  a\r\n "


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({}, "stream"),
        ({"stream": "true"}, "stream"),
        ({"stream": "false"}, "output"),
        ({"background": "true"}, "receipt"),
        ({"background": "true", "stream": "false"}, "receipt"),
        ({"background": "true", "stream": "true"}, "stream"),
        ({"background": "false", "stream": ""}, "stream"),
    ],
)
def test_how_it_is_answered(fields: dict[str, str], answer: str) -> None:
    assert StartForm.of({"message": "hi", **fields}).answer_mode == answer


@pytest.mark.parametrize("word", ["true", "TRUE", "True", "1", "on", "Yes", "t", "Y"])
@pytest.mark.parametrize("name", ["stream", "background"])
def test_words_for_true(name: str, word: str) -> None:
    assert getattr(StartForm.of({"message": "hi", name: word}), name) is True


@pytest.mark.parametrize("word", ["false", "FALSE", "0", "off", "No", "f", "N"])
@pytest.mark.parametrize("name", ["stream", "background"])
def test_words_for_false(name: str, word: str) -> None:
    assert getattr(StartForm.of({"message": "hi", name: word}), name) is False


@pytest.mark.parametrize(
    "name", ["stream", "background", "monitor", "stream_events", "add_history_to_context", "use_json_schema"]
)
def test_what_is_no_bool(name: str) -> None:
    assert refused({"message": "hi", name: "banana"}).errors == [
        {
            "type": "bool_parsing",
            "loc": ["body", name],
            "msg": "Input should be a valid boolean, unable to interpret input",
            "input": "banana",
        }
    ]


def test_version_is_a_number_and_unknown_names_are_ignored() -> None:
    assert StartForm.of({"message": "hi", "version": "3", "foo": "bar", "input": "x"}).message == "hi"
    (error,) = refused({"message": "hi", "version": "x"}).errors
    assert (error["type"], error["loc"], error["input"]) == ("int_parsing", ["body", "version"], "x")


def test_everything_that_is_wrong_is_told_at_once() -> None:
    error = refused({"stream": "banana", "version": "x", "session_state": "[1]", "session_id": "a\nb"})
    assert [item["loc"][1] for item in error.errors] == [
        "stream",
        "message",
        "session_id",
        "session_state",
        "version",
    ]
    assert error.message.startswith("body.stream: Input should be a valid boolean")
    assert "; body.message: Field required; " in error.message


def test_identifiers_are_opaque() -> None:
    request = StartForm.of({"message": "hi", "session_id": "a/b ü", "run_id": "x" * 255, "user_id": "u 1"})
    assert (request.session_id, request.run_id, request.user_id) == ("a/b ü", "x" * 255, "u 1")


@pytest.mark.parametrize("name", ["session_id", "run_id", "user_id"])
def test_an_empty_identifier_is_absent(name: str) -> None:
    assert getattr(StartForm.of({"message": "hi", name: ""}), name) is None


@pytest.mark.parametrize("name", ["session_id", "run_id", "user_id"])
@pytest.mark.parametrize("value", ["x" * 256, "a\nb", "a\x7fb", "a\x85b", "a\x00b", "\ud83d"])
def test_identifiers_that_are_refused(name: str, value: str) -> None:
    (error,) = refused({"message": "hi", name: value}).errors
    assert error["loc"] == ["body", name]


@pytest.mark.parametrize("message", ["a\x00b", "\ud83d"])
def test_messages_that_cannot_be_stored_are_refused(message: str) -> None:
    (error,) = refused({"message": message}).errors
    assert (error["type"], error["loc"]) == ("string_unicode", ["body", "message"])


@pytest.mark.parametrize("name", OBJECT_FIELDS)
def test_objects_come_as_json_text_or_native(name: str) -> None:
    assert options({name: '{"a": [1, null]}'}) == {name: {"a": [1, None]}}
    assert options({name: {"a": 1}}) == {name: {"a": 1}}
    for absent in ("", "null"):
        assert options({name: absent}) == {}
    assert options({name: "{}"}) == {name: {}}


@pytest.mark.parametrize("name", OBJECT_FIELDS)
@pytest.mark.parametrize(
    "text",
    [
        "{bad",
        "[1]",
        '"x"',
        "1",
        "true",
        '{"a": NaN}',
        '{"a": Infinity}',
        '{"a": 1e999}',
        '{"a": "\\u0000"}',
        '{"\\ud83d": 1}',
        '{"a": "\x00"}',
        "[" * 200_000,
        '{"a":' * 101 + "1" + "}" * 101,
        '{"a": ' + "9" * 5000 + "}",
    ],
    ids=range(14),
)
def test_objects_that_are_none(name: str, text: str) -> None:
    (error,) = refused({"message": "hi", name: text}).errors
    assert error["loc"] == ["body", name]
    assert len(json.dumps(error)) < 1000


def test_a_webhook_is_an_option_of_the_run() -> None:
    url = "https://hooks.example/run?key=1"
    assert options({"webhook_url": url}) == {"webhook_url": url}
    assert options({"webhook_url": ""}) == {}
    assert refused({"message": "hi", "webhook_url": 7}).errors[0]["type"] == "string_type"


def test_a_turn_is_what_was_said_of_it() -> None:
    assert StartForm.of({"message": "hi"}).queueing_options() == QueueingOptions()
    assert QueueingOptions().as_json() == {}
    texts = {"on_busy": "interrupt", "priority": "-7", "delay_seconds": "1.5", "timeout_seconds": "60"}
    native = {"on_busy": "interrupt", "priority": -7, "delay_seconds": 1.5, "timeout_seconds": 60}
    options = StartForm.of({"message": "hi", **texts}).queueing_options()
    assert options == QueueingOptions(on_busy=OnBusy.INTERRUPT, priority=-7, delay_seconds=1.5, timeout_seconds=60.0)
    assert options == StartForm.of({"message": "hi", **native}).queueing_options()
    assert options.as_json() == native


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("on_busy", "wait", "enum"),
        ("on_busy", "ENQUEUE", "enum"),
        ("on_busy", ["enqueue"], "enum"),
        ("priority", "high", "int_parsing"),
        ("priority", 1.5, "int_from_float"),
        ("priority", True, "float_type"),
        ("priority", 2**31, "less_than_equal"),
        ("priority", -(2**31), "greater_than_equal"),
        ("delay_seconds", "soon", "float_parsing"),
        ("delay_seconds", "nan", "finite_number"),
        ("delay_seconds", "1e999", "finite_number"),
        ("delay_seconds", 10**400, "float_type"),
        ("delay_seconds", "9" * 41, "less_than_equal"),
        ("delay_seconds", True, "float_type"),
        ("delay_seconds", [1], "float_type"),
        ("delay_seconds", "-0.1", "greater_than_equal"),
        ("delay_seconds", "1e9", "less_than_equal"),
        ("timeout_seconds", "0", "greater_than"),
        ("timeout_seconds", -1, "greater_than"),
        ("timeout_seconds", "1e9", "less_than_equal"),
    ],
)
def test_turns_that_cannot_be(name: str, value: Any, kind: str) -> None:
    (error,) = refused({"message": "hi", name: value}).errors
    assert (error["loc"], error["type"]) == (["body", name], kind)


def test_a_run_cannot_end_before_it_may_begin() -> None:
    assert StartForm.of({"message": "hi", "delay_seconds": "5", "timeout_seconds": "6"}).timeout_seconds == 6
    (error,) = refused({"message": "hi", "delay_seconds": "5", "timeout_seconds": "5"}).errors
    assert (error["loc"], error["type"]) == (["body", "timeout_seconds"], "greater_than")


def test_options_are_remembered_only_when_given() -> None:
    request = StartForm.of({"message": "hi", "stream_events": "false", "add_history_to_context": "on"})
    assert request.run_input().options == {"stream_events": False, "add_history_to_context": True}
    assert not request.streams_all_events
    assert StartForm.of({"message": "hi"}).streams_all_events


def test_a_json_body_has_native_types() -> None:
    body = {
        "message": "hi",
        "stream": False,
        "background": True,
        "version": 3,
        "metadata": None,
        "monitor": 1,
    }
    request = StartForm.of(body)
    assert (request.stream, request.background, request.run_input().options) == (False, True, {})


def test_a_json_body_with_wrong_types() -> None:
    body = {
        "message": 5,
        "session_id": ["x"],
        "stream": "maybe",
        "background": 2,
        "version": 1.5,
        "images": {},
    }
    assert [error["loc"][1] for error in refused(body).errors] == [
        "stream",
        "message",
        "background",
        "session_id",
        "images",
        "version",
    ]


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_media_lists_as_text() -> None:
    images = [
        {"url": "https://example.org/a.png"},
        {"content": encoded(b"x"), "mime_type": "image/png", "id": "i", "format": "png", "detail": None},
    ]
    request = StartForm.of({"message": "hi", "images": json.dumps(images), "audio": "null", "videos": "[]"})
    media = request.run_input().media
    first, second = media["images"]
    assert set(first) == {"id", "url"}
    assert second == {"id": "i", "content": encoded(b"x"), "mime_type": "image/png", "format": "png"}
    assert set(media) == {"images"}
    assert StartForm.of({"message": "hi", "images": images}).run_input().media == media


@pytest.mark.parametrize(
    ("name", "item", "key"),
    [
        ("images", {}, "url"),
        ("images", {"url": "file:///etc/passwd"}, "url"),
        ("images", {"url": "http://"}, "url"),
        ("images", {"url": "http://[bad"}, "url"),
        ("images", {"url": 5}, "url"),
        ("images", {"content": "eA=="}, "mime_type"),
        ("images", {"content": "no base64!", "mime_type": "image/png"}, "content"),
        ("images", {"content": "é", "mime_type": "image/png"}, "content"),
        ("images", {"content": "eA==", "mime_type": "application/pdf"}, "mime_type"),
        ("files", {"content": "eA==", "mime_type": "application/x-sh"}, "mime_type"),
        ("files", {"url": "https://example.org/a", "filename": 5}, "filename"),
    ],
)
def test_media_that_are_refused(name: str, item: dict[str, Any], key: str) -> None:
    (error,) = refused({"message": "hi", name: json.dumps([{"url": "https://example.org/ok"}, item])}).errors
    assert error["loc"] == ["body", name, 1, key]


@pytest.mark.parametrize("text", ["notafile", "{}", "[5]", '[{"url": "https://a\\u0000"}]'])
def test_media_text_that_is_no_list_of_objects(text: str) -> None:
    (error,) = refused({"message": "hi", "files": text}).errors
    assert error["loc"][:2] == ["body", "files"]


def test_uploads_and_text_lists_stand_together() -> None:
    upload = {"id": "1", "content": "eA==", "mime_type": "text/plain"}
    listed = json.dumps([{"url": "https://example.org/a.txt", "id": "2"}])
    request = StartForm.of({"message": "hi", "files": listed}, {"files": [upload]})
    assert [item["id"] for item in request.run_input().media["files"]] == ["1", "2"]


ANY_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters())),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)
NAMES = ["message", "stream", "background", "session_id", "run_id", "version", "images", "files", "budget"]


@given(st.dictionaries(st.sampled_from([*NAMES, *OBJECT_FIELDS]), st.one_of(st.text(st.characters()), ANY_JSON)))
def test_whatever_comes_is_parsed_or_refused_in_words(values: dict[str, Any]) -> None:
    try:
        request = StartForm.of(values)
    except InvalidInput as error:
        json.dumps(error.errors, allow_nan=False)
        error.message.encode()
    else:
        json.dumps(request.run_input().as_json(), allow_nan=False, ensure_ascii=False).encode()


def test_an_argument_of_a_workflow_may_have_the_name_of_a_filter() -> None:
    assert refused({"message": "hi", "filters": "x"}).errors[0]["loc"] == ["body", "filters"]
    form = StartWorkflowForm.of({"message": "hi", "filters": "x"})
    assert form.run_input().options == {"arguments": {"filters": "x"}}
