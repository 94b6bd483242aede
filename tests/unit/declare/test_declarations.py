"""Agents and teams as they are written: stored forms, ids, and refusals that say where and what to do."""

from __future__ import annotations

import copy
import dataclasses
import enum
import re
from typing import Any

import pytest

from musterd.core.errors import DeclarationError
from musterd.declare import Agent, Budget, Team, tool


def lookup(word: str) -> str:
    """Look a word up."""
    return word


def refusal(declare: Any) -> str:
    with pytest.raises(DeclarationError) as caught:
        declare()
    place, _, text = caught.value.message.partition(": ")
    assert re.fullmatch(r".*test_declarations\.py:\d+", place)
    return text


def test_a_declaration_is_frozen_and_keeps_tuples() -> None:
    writer = Agent(id="writer", instructions=["Be brief", "Be kind"], tools=[lookup])
    desk = Team(id="desk", members=[writer])
    assert (writer.instructions, desk.members) == (("Be brief", "Be kind"), (writer,))
    with pytest.raises(dataclasses.FrozenInstanceError):
        writer.id = "other"  # type: ignore[misc]


def test_declarations_are_themselves_alone_and_can_be_copied() -> None:
    first, second = Agent(id="a"), Agent(id="a")
    assert first != second
    assert len({first, second}) == 2
    assert copy.copy(first).id == "a"
    assert dataclasses.replace(first, role="Sums up").role == "Sums up"


@pytest.mark.parametrize(("name", "known_as"), [("News Desk", "news-desk"), ("news_desk", "news-desk"), ("Öl", "öl")])
def test_an_id_is_made_from_the_name(name: str, known_as: str) -> None:
    assert Team(name=name).id == known_as


@pytest.mark.parametrize("wrong_id", ["a/b", "a\x00b", " a", "a?b", "..", "a\nb", "x" * 201])
def test_an_id_that_no_address_can_hold_is_refused(wrong_id: str) -> None:
    assert "cannot be part of a URL" in refusal(lambda: Agent(id=wrong_id))


def test_an_unknown_field_names_the_nearest_one() -> None:
    message = refusal(lambda: Agent(id="writer", instruction="Be brief"))  # type: ignore[call-arg]
    assert message == "agent 'writer' has no field 'instruction' — did you mean 'instructions'?"


def test_a_field_that_a_server_has_no_use_for_says_what_to_do() -> None:
    message = refusal(lambda: Team(id="desk", db=object()))  # type: ignore[call-arg]
    assert message.startswith("team 'desk' has no field 'db' — remove it: musterd keeps every run")


def test_all_that_is_wrong_with_the_fields_is_said_at_once() -> None:
    message = refusal(lambda: Team(id="desk", db=object(), instruction="x", debug_mode=True))  # type: ignore[call-arg]
    assert message.startswith("team 'desk' has no fields 'db', 'instruction', 'debug_mode' — 'db': remove it: ")
    assert "'instruction': did you mean 'instructions'?; 'debug_mode': remove it" in message


def test_values_by_place_are_refused() -> None:
    assert "takes keyword arguments only" in refusal(lambda: Agent("writer"))  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"model": 3}, "'model' is 3 — use a model string"),
        ({"num_history_runs": "3"}, "'num_history_runs' is '3' — use a whole number, 0 or more"),
        ({"tool_call_limit": True}, "'tool_call_limit' is True"),
        ({"max_turns": 0}, "'max_turns' is 0 — use a whole number, 1 or more"),
        ({"instructions": [1]}, "'instructions' is a list — use a string or a list of strings"),
        ({"output_schema": str}, "'output_schema' is a type"),
        ({"session_state": []}, "'session_state' is a list — use a dict"),
        ({"tools": lookup}, "'tools' is a function that takes "),
        ({"budget": 3}, "'budget' is 3 — use a Budget(…)"),
    ],
)
def test_a_value_of_another_kind_is_refused(fields: dict[str, Any], says: str) -> None:
    assert says in refusal(lambda: Agent(id="a", **fields))


def test_none_means_not_given() -> None:
    options: dict[str, Any] = {"num_history_runs": None, "tools": None, "add_history_to_context": None}
    agent = Agent(id="a", **options)
    assert (agent.num_history_runs, agent.tools, agent.add_history_to_context) == (3, (), False)


def test_a_mode_is_one_that_exists() -> None:
    assert "'mode' is 'rout' — use one of 'coordinate', 'route'" in refusal(lambda: Team(id="t", mode="rout"))

    class Mode(enum.StrEnum):
        ROUTE = "route"

    assert Team(id="t", mode=Mode.ROUTE).mode == "route"


@pytest.mark.parametrize(("older", "mode"), [("respond_directly", "route"), ("delegate_to_all_members", "broadcast")])
def test_older_words_for_modes_are_understood(older: str, mode: str) -> None:
    options: dict[str, Any] = {older: True}
    assert Team(id="t", **options).mode == mode


def test_a_member_is_an_agent_or_a_team() -> None:
    members: Any = [Agent(id="a"), "b"]
    assert "team 't': a member is a str" in refusal(lambda: Team(id="t", members=members))


def test_two_members_cannot_share_an_id() -> None:
    members = [Agent(id="a"), Agent(id="a")]
    assert "team 't' has two members with the id 'a'" in refusal(lambda: Team(id="t", members=members))


def test_two_tools_cannot_share_a_name() -> None:
    tools: list[Any] = [lookup, tool(retry_safe=True)(lookup)]
    assert "agent 'a' has two tools named 'lookup'" in refusal(lambda: Agent(id="a", tools=tools))


def test_names_of_the_leaders_own_tools_are_taken() -> None:
    own = tool(name="delegate_task_to_member")(lookup)
    assert "is reserved by musterd" in refusal(lambda: Team(id="t", tools=[own]))
    task = tool(name="create_task")(lookup)
    assert Team(id="t", tools=[task]).tools == (task,)
    assert "is reserved by musterd" in refusal(lambda: Team(id="t", mode="tasks", tools=[task]))


def test_a_budget_has_amounts_above_zero() -> None:
    assert Budget(tokens=10, seconds=1.5).as_json() == {"tokens": 10, "seconds": 1.5}
    assert "'cost_usd' is -1 — use a number above 0" in refusal(lambda: Budget(cost_usd=-1))
    assert "did you mean 'tokens'?" in refusal(lambda: Budget(token=1))  # type: ignore[call-arg]
