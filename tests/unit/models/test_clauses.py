"""Reading a plain request."""

import pytest

from musterd.models.clauses import Member, joined, members_of, parts_of, pick_by_words, split_request

LISTING = """<team_members>
<member id="weather-agent" name="Weather Agent">
  Role: Knows the weather
</member>
<member id="calendar-agent" name="Calendar">
  Role: Knows what is on which day
</member>
</team_members>"""


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("hello", ["hello"]),
        ("Weather in Paris and Rome?", ["Weather in Paris and Rome?"]),
        ("Give me Paris, Rome and Oslo", ["Give me Paris, Rome and Oslo"]),
        ("What is 2 and what is 3?", ["What is 2", "what is 3?"]),
        ("Write a line, then add 2 and 3.", ["Write a line", "add 2 and 3."]),
        ("Tell me the date. Also check Friday", ["Tell me the date.", "check Friday"]),
        ("Check Oslo, list events, and write a joke", ["Check Oslo", "list events", "write a joke"]),
        ("...", []),
    ],
)
def test_a_request_is_split_where_another_begins(text: str, clauses: list[str]) -> None:
    assert split_request(text) == clauses


@pytest.mark.parametrize(
    ("clause", "parts"),
    [
        ("the weather in Rome and the events on Monday", ["the weather in Rome", "the events on Monday"]),
        ("the weather in Rome and Paris", ["the weather in Rome and Paris"]),
        ("the weather in Rome", ["the weather in Rome"]),
    ],
)
def test_a_clause_has_parts_where_they_are_long_enough(clause: str, parts: list[str]) -> None:
    assert parts_of(clause) == parts


def test_members_are_read_from_the_leaders_system_message() -> None:
    weather, calendar = members_of(LISTING)
    assert weather == Member(id="weather-agent", name="Weather Agent", role="Knows the weather")
    assert calendar.role == "Knows what is on which day"
    assert members_of("no team here") == []


@pytest.mark.parametrize(
    ("clause", "member"),
    [("What's the weather like?", "weather-agent"), ("which day is it", "calendar-agent"), ("hello", None)],
)
def test_the_member_that_shares_most_words_is_picked(clause: str, member: str | None) -> None:
    pick = pick_by_words(clause, members_of(LISTING))
    assert (pick.id if pick else None) == member


def test_replies_are_joined_without_the_empty_ones() -> None:
    assert joined(["one\n", "", " two"]) == "one\n\ntwo"
