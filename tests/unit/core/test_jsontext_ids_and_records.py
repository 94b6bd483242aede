"""JSON text, ids, errors and records: what every package takes from core."""

import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musterd.core import clock, errors, jsontext
from musterd.core.errors import InvalidInput
from musterd.core.ids import MAX_LENGTH, is_identifier, require_identifier
from musterd.core.records import Input, Output, ToolCall, Usage

SALT = "6b0c3a52-0d0e-4b4e-9f0e-5f1f6f6f0a11"
ANY_TEXT = st.text(st.characters(codec=None))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)

# JSON text


@given(JSON)
def test_what_is_written_can_be_stored_and_is_what_is_read(value: Any) -> None:
    text = jsontext.dumps(value)
    text.encode("utf-8")
    assert "\x00" not in text
    assert jsontext.loads(text) == json.loads(text) == value


@given(st.dictionaries(st.text(), st.integers(), max_size=5))
def test_equal_values_have_one_canonical_text(value: dict[str, int]) -> None:
    backwards = dict(reversed(value.items()))
    assert jsontext.canonical({"v": value}) == jsontext.canonical({"v": backwards})


@pytest.mark.parametrize("text", ["1e999", "[-1e400]", "NaN", "[-Infinity]", "[" * 50_000 + "]" * 50_000])
def test_what_could_not_be_written_again_is_not_read(text: str) -> None:
    with pytest.raises(ValueError):
        jsontext.loads(text)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")], {"a": float("nan")}])
def test_what_is_no_number_is_no_json(value: Any) -> None:
    for write in (jsontext.dumps, jsontext.canonical):
        with pytest.raises(ValueError):
            write(value)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}', "", "{", b"\xff"])
def test_what_is_no_json_is_not_read(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        jsontext.loads(text)


@pytest.mark.parametrize("value", [{1, 2}, object(), b"bytes"])
def test_what_is_no_json_value_is_not_written(value: Any) -> None:
    with pytest.raises(TypeError):
        jsontext.dumps(value)


@pytest.mark.parametrize(
    "text, is_fine", [("", True), ("ü😀\n", True), ("\x00", False), ("\ud800", False), ("a\udfffb", False)]
)
def test_what_can_be_stored_everywhere(text: str, is_fine: bool) -> None:
    assert jsontext.is_storable(text) == is_fine
    assert jsontext.is_storable(jsontext.storable(text))
    if is_fine:
        assert jsontext.storable(text) == text


# Identifiers


@pytest.mark.parametrize(
    "text", ["a", "ü", "a b", "../x", "😀", "x" * MAX_LENGTH, "%00", "\u200b", "'; DROP TABLE runs"]
)
def test_an_identifier_is_opaque(text: str) -> None:
    assert require_identifier(text, ("path", "id")) == text


@pytest.mark.parametrize("text", ["", "x" * (MAX_LENGTH + 1), "a\x00", "\n", "a\tb", "\x7f", "\x85", "\ud800"])
def test_what_is_no_identifier(text: str) -> None:
    assert not is_identifier(text)
    with pytest.raises(InvalidInput) as caught:
        require_identifier(text, ("path", "id"))
    assert caught.value.errors[0]["loc"] == ["path", "id"]


# Time and chance


def test_a_place_has_one_id_under_one_salt() -> None:
    derived = clock.derived_id(SALT, "t0/c1")
    assert derived == clock.derived_id(SALT, "t0/c1") == str(uuid.uuid5(uuid.UUID(SALT), "t0/c1"))
    others = {
        clock.derived_id(SALT, "t0/c10"),
        clock.derived_id(str(uuid.UUID(int=1)), "t0/c1"),
        clock.derived_id(SALT, ""),
    }
    assert len(others | {derived}) == 4


def test_ids_and_secrets_are_new_each_time() -> None:
    assert len({clock.new_id() for _ in range(100)}) == len({clock.new_secret() for _ in range(100)}) == 100
    assert all(is_identifier(clock.new_id()) for _ in range(3))


@given(st.floats(0, 1e6))
def test_jitter_is_half_to_all(seconds: float) -> None:
    assert seconds / 2 <= clock.jitter(seconds) <= seconds


# Errors and records


def tree(root: type[errors.MusterdError]) -> list[type[errors.MusterdError]]:
    return [
        root,
        *(error for child in root.__subclasses__() if child.__module__ == errors.__name__ for error in tree(child)),
    ]


@pytest.mark.parametrize("error", tree(errors.MusterdError), ids=lambda error: error.__name__)
def test_an_errors_docstring_is_its_message(error: type[errors.MusterdError]) -> None:
    assert error().message == (error.__doc__ or "").strip().splitlines()[0]
    assert error("in words").message == "in words"
    assert error.__name__ in (errors.__doc__ or "") or error is errors.MusterdError


def test_requests_errors_have_codes_of_their_own() -> None:
    request_errors = [error for error in tree(errors.RequestError)[1:] if issubclass(error, errors.RequestError)]
    assert all(400 <= error.status < 600 for error in request_errors)
    waits = {error.__name__ for error in request_errors if error.retry_after_seconds}
    assert waits == {"TooManyRequests", "Unavailable", "StoreUnavailable"}


def test_records_are_read_as_they_were_written() -> None:
    call = ToolCall(id="c", name="t", args={"a": 1}, created_at=1.0, result="r", is_error=False, stops_run=True)
    output = Output(content={"a": 1}, content_type="A", reasoning="r", usage=Usage(input_tokens=1, reasoning_tokens=2))
    output.tools, output.session_state, output.error = [call], {"k": None}, {"code": "c"}
    assert Output.from_json(json.loads(jsontext.dumps(output.as_json()))) == output
    assert Output.from_json(Output().as_json()) == Output()
    run_input = Input(message="", media={"images": [{"url": "u"}]}, options={"metadata": {}})
    assert Input.from_json(run_input.as_json()) == run_input


def test_a_newer_versions_keys_are_left_out() -> None:
    call = ToolCall(id="c", name="t", args={}, created_at=1.0)
    assert ToolCall.from_json({**call.as_json(), "from_the_future": 1}) == call
    assert Output.from_json({"from_the_future": 1, "content": "c"}) == Output(content="c")
    assert Usage.from_json(None) == Usage()


@pytest.mark.parametrize(
    ("value", "count"), [(1, 1), ([], 1), ({"a": [1, {"b": "x,y"}], "c": None}, 6), ([[[]], "a"], 4)]
)
def test_values_are_counted_up_to_a_limit(value: Any, count: int) -> None:
    assert jsontext.has_more_values(value, count - 1)
    assert not jsontext.has_more_values(value, count)
