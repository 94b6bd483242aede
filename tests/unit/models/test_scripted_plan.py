"""What the scripted model answers."""

from typing import Any

import pytest

from musterd.models.scripted_plan import Call, Plan, plan


def function(name: str, required: tuple[str, ...] = (), **properties: str) -> dict[str, Any]:
    """A tool as OpenAI's chat completions take it."""
    parameters = {"type": "object", "properties": {key: {"type": kind} for key, kind in properties.items()}}
    parameters |= {"required": list(required)} if required else {}
    return {"type": "function", "function": {"name": name, "description": "", "parameters": parameters}}


def user(text: str) -> list[dict[str, Any]]:
    """A conversation of one message."""
    return [{"role": "user", "content": text}]


DELEGATE = function("delegate_task_to_member", member_id="string", task="string")
TEAM = {
    "role": "system",
    "content": '<member id="weather-agent" name="W">\n  Role: Knows the weather\n</member>\n'
    '<member id="calendar-agent" name="C">\n  Role: Reads the calendar\n</member>',
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hello", Plan(text="Echo: hello")),
        ("[[SAY a b]]", Plan(text="a b")),
        ("[[WORDS 3 20]]", Plan(text="word0 word1 word2", word_seconds=0.02)),
        ("[[SLEEP 300]] hello", Plan(text="Echo: [[SLEEP 300]] hello", sleep_seconds=0.3)),
        ("[[SLEEP 10]][[ERROR 429]]", Plan(error_status=429, sleep_seconds=0.01)),
        ('[[TOOL t {"x": [1]}]]', Plan(calls=(Call(name="t", args={"x": [1]}),))),
        (
            "[[TOOL a {}]] [[TOOL b]]",
            Plan(calls=(Call(name="a", args={}), Call(name="b", args={}))),
        ),
        (
            "[[BROADCAST hello all]]",
            Plan(calls=(Call(name="delegate_task_to_members", args={"task": "hello all"}),)),
        ),
    ],
)
def test_directives(text: str, expected: Plan) -> None:
    assert plan(user(text), []) == expected


def test_a_task_may_hold_directives_and_delegations_of_its_own() -> None:
    text = "[[DELEGATE a: do <TOOL t {}> || DELEGATE b: <DELEGATE c: 1 || DELEGATE d: <SLEEP 5>>]]"
    assert [dict(call.args) for call in plan(user(text), []).calls] == [
        {"member_id": "a", "task": "do [[TOOL t {}]]"},
        {"member_id": "b", "task": "[[DELEGATE c: 1 || DELEGATE d: <SLEEP 5>]]"},
    ]


def test_only_the_last_user_message_and_what_follows_it_count() -> None:
    earlier: list[dict[str, Any]] = [*user("[[ERROR 500]]"), {"role": "tool", "content": "old"}]
    assert plan([*earlier, *user("hi")], []) == Plan(text="Echo: hi")


def test_results_are_reported() -> None:
    results: list[dict[str, Any]] = [
        {"role": "tool", "content": "one"},
        {"role": "tool", "content": [{"text": "two"}]},
    ]
    assert plan([*user("[[TOOL t]]"), *results], []).text == "Done: one | two"
    assert plan([*user("what is up"), *results], []).text == "one\n\ntwo"


def test_failed_calls_are_reported_in_words() -> None:
    conversation = [*user("Refund order 17"), {"role": "tool", "tool_call_id": "c1", "content": '{"error":"too late"}'}]
    assert plan(conversation, []) == Plan(text="Failed: too late")
    conversation[-1]["content"] = '{"error": cut'
    assert plan(conversation, []) == Plan(text='{"error": cut')


def test_an_error_has_words() -> None:
    assert plan(user("[[ERROR 503]]"), []).error_message == "fake model error 503"


def test_text_is_streamed_word_by_word() -> None:
    assert plan(user("a  b\nc"), []).pieces == ["Echo: ", "a  ", "b\n", "c"]


def test_a_leader_without_directives_delegates_by_the_words_of_the_roles() -> None:
    text = "What is the weather in Paris and what is on the calendar on Friday?"
    assert plan([TEAM, *user(text)], [DELEGATE]).calls == (
        Call(name=DELEGATE["function"]["name"], args={"member_id": "weather-agent", "task": text[:28]}),
        Call(name=DELEGATE["function"]["name"], args={"member_id": "calendar-agent", "task": text[33:]}),
    )
    assert plan([TEAM, *user("hello")], [DELEGATE]) == Plan(text="Echo: hello")


def test_a_member_with_one_fitting_tool_calls_it() -> None:
    weather = function("get_weather", city="string")
    assert plan(user("weather in New York?"), [weather]).calls == (Call(name="get_weather", args={"city": "New York"}),)
    assert plan(user("hello?"), [weather]) == Plan(text="Echo: hello?")
    assert plan(user("weather in Rome"), [function("get_weather", city="string", day="string")]).calls == ()


def test_a_tool_is_called_with_the_names_and_numbers_of_the_message() -> None:
    order = function("order_bikes", place="string", number="integer", price="number", required=("place", "number"))
    call = Call(name="order_bikes", args={"place": "Bergen", "number": 12})
    assert plan(user("Order 12 bikes for Bergen"), [order]).calls == (call,)
    assert plan(user("Order bikes for Bergen"), [order]).calls == ()
    assert plan(user("Order 12 bikes"), [order]).calls == ()
    assert plan(user("Order 12 bikes for Bergen"), [function("order_bikes", place="string")]).calls
    assert plan(user("Order 12 bikes for Bergen"), [function("order_bikes")]).calls == ()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Refund order 17", "17"),
        ("Please refund order 17.", "17"),
        ("Refund order #17, please", "17"),
        ("Refund order A-17 for me", "A-17"),
        ('Refund "the kettle"', "the kettle"),
        ("Refund the order of Anna", "Anna"),
        ("Refund the order of Anna, number 17", "Anna"),
    ],
)
def test_a_text_that_a_tool_requires_is_taken_from_the_message(text: str, value: str) -> None:
    refund = function("refund_order", number="string")
    assert plan(user(text), [refund]).calls == (Call(name="refund_order", args={"number": value}),)


def test_numbers_that_count_something_are_no_texts() -> None:
    for text in ("Weather at 5", "Weather of 12 days", "Weather in 2026"):
        assert plan(user(text), [function("get_weather", city="string")]).calls == ()
    order = function("order_bikes", place="string", number="integer", required=("place", "number"))
    assert plan(user("Order bikes 12"), [order]).calls == ()


def test_the_answer_says_why_no_tool_is_called() -> None:
    weather = function("get_weather", city="string")
    (echo, hint) = plan(user("weather?"), [weather]).text.split("\n\n")
    assert echo == "Echo: weather?"
    assert hint == (
        "(The scripted model did not call get_weather, because the message has no value for city, such as a name after "
        '"in" or "for", a text in quotes, or "order 17". To make it call the tool, write '
        'TOOL get_weather {"city": "…"} in double square brackets.)'
    )
    order = function("order_bikes", place="string", number="integer", required=("place", "number"))
    assert "has no value for number, such as a number." in plan(user("Order bikes for Bergen"), [order]).text
    assert plan(user("weather?"), [function("get_weather")]).text == "Echo: weather?"
    weather["function"]["description"] = "Tells the temperature."
    assert plan(user("temperature?"), [weather]).text == "Echo: temperature?", "the message does not name the tool"


def test_of_several_tools_the_one_that_shares_most_words_is_called() -> None:
    order = function("order_bikes", place="string", number="integer", required=("place", "number"))
    weather = function("get_weather", city="string")
    for tools in ([order, weather], [weather, order]):
        assert plan(user("What is the weather in Oslo?"), tools).calls == (
            Call(name="get_weather", args={"city": "Oslo"}),
        )
        assert plan(user("hello in Oslo"), tools) == Plan(text="Echo: hello in Oslo")
    cancel = function("cancel_bikes", place="string", number="integer", required=("place", "number"))
    calls = plan(user("Order 12 bikes for Bergen"), [cancel, order]).calls
    assert calls == (Call(name="order_bikes", args={"place": "Bergen", "number": 12}),)


def test_a_memory_manager_follows_its_own_directives_and_the_leader_the_others() -> None:
    manager = [function("add_memory", memory="string"), function("update_memory", memory_id="string")]
    text = user('[[TOOL look {"x": 1}]] [[TOOL add_memory {"memory": "Likes tea"}]]')
    note, look = Call(name="add_memory", args={"memory": "Likes tea"}), Call(name="look", args={"x": 1})
    assert plan(text, manager) == Plan(calls=(note,))
    assert plan(text, [function("look", x="number")]) == Plan(calls=(look,))


def test_a_memory_manager_remembers_what_a_user_says_of_itself() -> None:
    manager = [function("add_memory", memory="string")]
    facts = [Call(name="add_memory", args={"memory": fact}) for fact in ("I like tea", "My name is Ada")]
    assert plan(user("Hello. I like tea! My name is Ada."), manager) == Plan(calls=tuple(facts))
    assert plan(user("Hello."), manager) == Plan(text="Nothing to remember.")
