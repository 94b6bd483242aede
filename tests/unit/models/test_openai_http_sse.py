"""Events are split as the standard says, and merged only where nothing is lost."""

import copy
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musterd.models.openai_sse import (
    CONSTRUCTED_VALUES,
    UNUSED_VALUES,
    EventParser,
    as_chunk,
    event_error,
    merged,
    read_json,
)
from tests.support.cpu_time import cpu_at_most

HEAD: dict[str, Any] = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
EVENTS = [(b"", b'{"a": 1}'), (b"error", b'{"b":\n2}'), (b"", b"[DONE]")]
TEXT = b': hello\ndata: {"a": 1}\n\nid: 7\nevent: error\ndata:{"b":\ndata: 2}\nretry: 3\n\n\ndata: [DONE]\n\n'


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def deltas(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one["choices"][0]["delta"] for one in merged(copy.deepcopy(chunks))]


@given(cuts=st.lists(st.integers(0, len(TEXT) * 2)), end=st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_events_are_the_same_however_the_bytes_come(cuts: list[int], end: bytes) -> None:
    text = TEXT.replace(b"\n", end)
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    parser = EventParser(1 << 20)
    events = [event for a, b in itertools.pairwise(places) for event in parser.feed(text[a:b])]
    assert [*events, *parser.finish()] == EVENTS


def test_the_end_of_the_stream_ends_the_last_event() -> None:
    parser = EventParser(1 << 20)
    assert list(parser.feed(b"data: 1\n\ndata: [DO")) == [(b"", b"1")]
    assert list(parser.feed(b"NE]")) == []
    assert list(parser.finish()) == [(b"", b"[DONE]")]
    assert list(parser.finish()) == []


def test_halves_of_surrogate_pairs_do_not_come_in() -> None:
    assert read_json(rb'{"a": "x\ud83d", "b": "\ud83d\ude00"}') == {"a": "x?", "b": "😀"}
    with pytest.raises(ValueError):
        read_json(b"<html>")


def test_an_error_is_known_by_its_key_or_its_name() -> None:
    assert event_error(b"", {"error": {"message": "m"}}) == ("m", {"message": "m"})
    assert event_error(b"", {"error": "no"}) == ("An error occurred during streaming", "no")
    assert event_error(b"error", {"message": "m"}) == ("m", {"message": "m"})
    assert event_error(b"", {"error": None, "choices": []}) is None
    assert event_error(b"message", [1]) is None


def test_text_is_merged_with_role_finish_and_usage() -> None:
    chunks = [
        chunk({"role": "assistant", "content": ""}, obfuscation="a"),
        chunk({"content": "one "}, obfuscation="bcd", created=2),
        chunk({"content": "two"}),
        chunk({}, "stop"),
        {**HEAD, "choices": [], "usage": {"total_tokens": 3}},
    ]
    (one,) = merged(copy.deepcopy(chunks))
    assert one == {
        **HEAD,
        "obfuscation": "a",
        "usage": {"total_tokens": 3},
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": "one two"}, "finish_reason": "stop"}],
    }


def test_reasoning_and_text_stay_apart() -> None:
    keys = ("reasoning_content", "reasoning_content", "content", "content", "reasoning")
    assert deltas([chunk({key: str(n)}) for n, key in enumerate(keys)]) == [
        {"reasoning_content": "01"},
        {"content": "23"},
        {"reasoning": "4"},
    ]
    twice = [chunk({"content": None, "reasoning": text, "reasoning_content": text}) for text in "ab"]
    assert deltas(twice) == [{"content": None, "reasoning": "ab", "reasoning_content": "ab"}]


@pytest.mark.parametrize(
    "texts",
    [
        ["<think>", "hm", "</think>", "so"],
        ["a", "<think>", "b"],
        ["[THINK]", "x"],
        ["\n\n", "hello"],
    ],
)
def test_what_pydantic_ai_knows_by_chunk_stays_a_chunk(texts: list[str]) -> None:
    assert deltas([chunk({"content": text}) for text in texts]) == [{"content": text} for text in texts]


def test_arguments_of_one_tool_call_are_merged() -> None:
    def call(index: int, arguments: str, **more: Any) -> dict[str, Any]:
        function = {"arguments": arguments, **({"name": more.pop("name")} if "name" in more else {})}
        return chunk({"tool_calls": [{"index": index, "function": function, **more}]})

    chunks = [
        call(0, "", id="c0", name="look", type="function"),
        call(0, '{"a"'),
        call(0, ": 1}"),
        call(1, "", id="c1", name="list"),
        call(1, "{}"),
        call(0, " "),
        call(1, " ", extra_content={"sign": "x"}),
        chunk({}, "tool_calls"),
    ]
    assert deltas(chunks) == [
        {
            "tool_calls": [
                {
                    "index": 0,
                    "function": {"arguments": '{"a": 1}', "name": "look"},
                    "id": "c0",
                    "type": "function",
                }
            ]
        },
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}", "name": "list"}, "id": "c1"}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": " "}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": " "}, "extra_content": {"sign": "x"}}]},
        {},
    ]


@pytest.mark.parametrize(
    "second",
    [
        chunk({"content": "b"}, id="c2"),
        chunk({"content": "b"}, model="other"),
        chunk({"content": "b"}, service_tier="flex"),
        chunk({"content": "b"}, usage={"total_tokens": 1}),
        chunk({"content": "b"}, moderation={"input": {}}),
        chunk({"content": "b"}, citations=["x"]),
        chunk({"content": "b", "annotations": []}),
        chunk({"content": ["b"]}),
        chunk({"refusal": "no"}),
        chunk({"audio": {"data": "x"}}),
        {**HEAD, "choices": [{"index": 1, "delta": {"content": "b"}, "finish_reason": None}]},
        {**HEAD, "choices": [{"index": 0, "delta": {"content": "b"}, "logprobs": {"content": []}}]},
        {**HEAD, "choices": [{"index": 0, "delta": None, "finish_reason": None}]},
        {**HEAD, "choices": None},
        {**HEAD, "choices": []},
    ],
    ids=lambda second: json.dumps(second)[-60:],
)
def test_what_says_more_than_text_is_not_merged(second: dict[str, Any]) -> None:
    first = chunk({"content": "a"})
    assert merged(copy.deepcopy([first, second])) == [first, second]
    assert merged(copy.deepcopy([second, first])) == [second, first]


def test_nothing_follows_a_finish_reason_but_usage() -> None:
    chunks = [chunk({"content": "a"}, "stop"), chunk({"content": "b"})]
    assert merged(copy.deepcopy(chunks)) == chunks


def test_a_chunk_out_of_the_schema_is_taken_as_the_sdk_takes_it() -> None:
    odd: Any = as_chunk({**chunk({"content": ["x"]}, "eos"), "object": "", "service_tier": "standard"})
    assert (odd.choices[0].finish_reason, odd.service_tier) == ("eos", "standard")
    assert odd.choices[0].delta.content == ["x"]


@pytest.mark.parametrize(
    "odd",
    [
        {"usage": {"completion_tokens_details": [{}] * 10_000}},
        {"choices": [{"index": 0, "delta": [{}] * 10_000}]},
        {"usage": {"completion_tokens_details": {f"a{number}": {} for number in range(10_000)}}, "model": 1},
    ],
    ids=["details", "delta", "members"],
)
def test_a_chunk_out_of_the_schema_has_so_many_values(odd: dict[str, Any]) -> None:
    with cpu_at_most(0.06), pytest.raises(ValueError, match="more than 2000 values"):  # it was 0.3 s
        as_chunk({**chunk({}), **odd})


def test_a_chunk_out_of_the_schema_has_room_for_many_calls() -> None:
    function = {"name": "add", "arguments": "{}"}
    calls = [{"index": n, "id": f"c{n}", "type": "function", "function": function} for n in range(250)]
    odd = as_chunk({**chunk({"tool_calls": calls}, "eos"), "object": ""})
    assert len(odd.choices[0].delta.tool_calls or ()) == 250
    assert CONSTRUCTED_VALUES > 250 * 7


@pytest.mark.parametrize("place", ["chunk", "choice", "delta"])
def test_a_chunk_out_of_the_schema_may_have_many_values_in_unknown_fields(place: str) -> None:
    """Servers add fields of their own, like the ids of tokens."""
    odd = {**chunk({"content": "a"}, "eos"), "object": ""}
    choice = odd["choices"][0]
    holder = {"chunk": odd, "choice": choice, "delta": choice["delta"]}[place]
    holder["token_ids"] = [1] * 50_000
    constructed = as_chunk(odd)
    assert (constructed.choices[0].finish_reason, constructed.choices[0].delta.content) == ("eos", "a")


def test_unknown_fields_of_a_chunk_out_of_the_schema_are_counted_themselves() -> None:
    unknown = {f"a{number}": None for number in range(10_000)}
    with pytest.raises(ValueError, match="more than 2000 values"):
        as_chunk({**chunk({"content": "a"}), **unknown, "object": ""})


def test_a_chunk_within_the_schema_may_have_many_values() -> None:
    extra: Any = as_chunk({**chunk({"content": "a"}), "prompt_token_ids": [1] * 50_000})
    assert len(extra.prompt_token_ids) == 50_000


def test_log_probabilities_are_dropped_if_they_are_very_many() -> None:
    token = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}
    for count, is_kept in ((UNUSED_VALUES // 8, True), (UNUSED_VALUES // 5, False)):
        probable = chunk({"content": "a"})
        probable["choices"][0]["logprobs"] = {"content": [token] * count}
        assert (as_chunk(probable).choices[0].logprobs is not None) is is_kept
    malformed = chunk({"content": "a"})
    malformed["choices"][0]["logprobs"] = {"content": [{}] * 50_000}
    with cpu_at_most(0.1):  # it was 0.25 s
        assert as_chunk(malformed).choices[0].delta.content == "a"
