"""Long JSON texts are parsed and written in pieces, with the same result as at once."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musterd.core import jsontext, long_json

LONG = "é\n" * (long_json.LONG_BYTES // 2 + 1)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda items: st.lists(items) | st.dictionaries(st.text(), items),
    max_leaves=20,
)


@settings(max_examples=30)
@given(VALUES, st.integers(0, 5), st.sampled_from([None, 0, 2]))
def test_a_long_value_is_written_and_parsed_as_a_short_one(value: Any, depth: int, indent: int | None) -> None:
    whole = {"long": LONG, "value": value, "values": [value, [value, LONG], {}, []]}
    text = long_json.dumps(whole, len(LONG))
    assert text == jsontext.dumps(whole)
    assert long_json.loads(text, depth) == long_json.loads(json.dumps(whole, indent=indent), depth) == whole


@settings(max_examples=30)
@given(SCALARS)
def test_names_that_are_no_texts_are_written_as_the_json_module_does(name: Any) -> None:
    """The state of a session may have them until it is stored."""
    state = {name: LONG, 1: {name: 1}}
    assert long_json.dumps(state, len(LONG)) == jsontext.dumps(state)


def test_pieces_have_a_moderate_length() -> None:
    pieces = long_json.pieces({"calls": [{"id": number, "result": "x" * 1000} for number in range(2000)]})
    assert len(pieces) > 4
    assert max(map(len, pieces)) < 2 * long_json.LONG_BYTES


@pytest.mark.parametrize(
    "damaged",
    [
        lambda text: text[:-1],
        lambda text: text[: len(text) // 2],
        lambda text: text + "x",
        lambda text: text.replace(":", ";", 1),
        lambda text: text.replace('","', '";"', 1),
        lambda text: text.replace("]", "}", 1),
    ],
)
def test_a_damaged_text_is_refused(damaged: Any) -> None:
    text = jsontext.dumps({"a": ["b", "c", LONG], "d": {}})
    with pytest.raises(ValueError):
        long_json.loads(damaged(text), 3)
