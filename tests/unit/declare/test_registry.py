"""Components: who gets which model, what is served, what changes a definition, and trees that cannot be."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai.models.test import TestModel

from musterd.core.errors import DeclarationError
from musterd.declare import Agent, Component, Registry, Team, tool


def lookup(word: str) -> str:
    """Look a word up."""
    return word


class Answer(BaseModel):
    text: str


def only(team: Team) -> Component:
    return Registry.of(teams=[team]).teams[team.id]


def test_members_are_found_through_their_team_only() -> None:
    writer = Agent(id="writer", tools=[lookup])
    inner = Team(id="inner", members=[writer])
    registry = Registry.of(teams=[Team(id="desk", name="Desk", model="m", members=[inner])])
    desk = registry.teams["desk"]
    assert (list(registry.teams), list(registry.agents)) == (["desk"], [])
    below = desk.member("inner")
    assert below is not None
    member = below.member("writer")
    assert member is not None
    assert (desk.kind, desk.name, desk.depth, below.kind, member.kind, member.name, member.depth) == (
        ("team", "Desk", 0, "team", "agent", "writer", 2)
    )
    assert [listed.name for listed in member.tools] == ["lookup"]
    assert desk.member("writer") is None
    assert registry.component("team", "desk") is desk
    assert registry.component("agent", "desk") is None


def test_a_member_takes_the_model_of_the_leader_it_has_there() -> None:
    writer = Agent(id="writer")
    teams = [Team(id="a", model="m1", members=[writer]), Team(id="b", model="m2", members=[writer])]
    registry = Registry.of(teams=teams, agents=[writer])
    assert [registry.teams[key].members[0].model for key in "ab"] == ["m1", "m2"]
    assert registry.agents["writer"].model == "m1"


def test_a_model_comes_down_through_nested_teams() -> None:
    writer = Agent(id="writer")
    inner = Team(id="inner", members=[writer])
    registry = Registry.of(teams=[inner, Team(id="outer", model="m", members=[inner])], agents=[writer])
    assert registry.teams["inner"].model == "m"
    assert registry.agents["writer"].model == "m"


def test_a_model_object_is_kept() -> None:
    model = TestModel()
    assert only(Team(id="t", model=model, members=[Agent(id="a")])).members[0].model is model


@pytest.mark.parametrize("lonely", [{"agents": [Agent(id="a")]}, {"teams": [Team(id="a", members=[Agent(id="b")])]}])
def test_without_any_model_it_is_refused(lonely: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError, match=r"test_registry\.py:\d+: (agent|team) 'a' has no model — set model="):
        Registry.of(**lonely)


def test_ids_are_unique_by_kind() -> None:
    same = Agent(id="a", model="m")
    assert list(Registry.of(agents=[same, same], teams=[Team(id="a", model="m")]).agents) == ["a"]
    with pytest.raises(DeclarationError, match=r"agent 'a' is declared twice, first at .*test_registry\.py:\d+"):
        Registry.of(agents=[same, Agent(id="a", model="m")])


def test_a_team_below_itself_is_refused() -> None:
    inner = Team(id="inner", members=[])
    outer = Team(id="outer", model="m", members=[inner])
    object.__setattr__(inner, "members", (outer,))
    with pytest.raises(
        DeclarationError, match=r"team 'outer' is a member of itself \(outer → inner → outer\) — remove it"
    ):
        Registry.of(teams=[outer])


def nested(levels: int) -> Team:
    team = Team(id="t0", model="m")
    for level in range(1, levels):
        team = Team(id=f"t{level}", model="m", members=[team])
    return team


def test_teams_nest_five_levels_and_no_more() -> None:
    assert only(nested(6)).depth == 0
    with pytest.raises(DeclarationError, match=r"team 't0' is nested 6 levels deep .* — nest fewer teams"):
        only(nested(7))


def test_other_things_are_no_components() -> None:
    agents: Any = [Agent(id="a", model="m")]
    with pytest.raises(DeclarationError, match=r"teams= contains an Agent — list Team\(…\) objects"):
        Registry.of(teams=agents)


# Definitions


def definition(**changes: Any) -> str:
    member: dict[str, Any] = {
        "id": "writer",
        "role": "Writes",
        "tools": [lookup],
        **changes.pop("member", {}),
    }
    team: dict[str, Any] = {"id": "desk", "model": "m", "instructions": ["Be brief"], **changes}
    return only(Team(members=[Agent(**member)], **team)).definition_hash


@pytest.mark.parametrize(
    "change",
    [
        {"id": "other"},
        {"model": "n"},
        {"model": TestModel()},
        {"instructions": "Be long"},
        {"description": "A desk"},
        {"output_schema": Answer},
        {"tools": [lookup]},
        {"member": {"role": "Reads"}},
        {"member": {"tools": [tool(description="Search.")(lookup)]}},
    ],
)
def test_a_definition_changes_with_what_a_model_is_told(change: dict[str, Any]) -> None:
    assert definition(**change) != definition()


def test_a_definition_is_the_same_in_another_process() -> None:
    code = (
        "from musterd.declare import *\n"
        "def lookup(word: str) -> str:\n"
        "    '''Look a word up.'''\n"
        "team = Team(id='desk', model='m', instructions=['Be brief'],"
        " members=[Agent(id='writer', role='Writes', tools=[lookup])])\n"
        "print(Registry.of(teams=[team]).teams['desk'].definition_hash)"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == definition()


def test_an_answers_form_has_a_name_and_a_schema() -> None:
    def form(schema: Any) -> Any:
        return only(Team(id="t", model="m", output_schema=schema)).json_output_schema()

    assert form(None) is None
    assert form(Answer) == ("Answer", Answer.model_json_schema())
    assert form({"title": "My answer", "type": "object"}) == (
        "My_answer",
        {"title": "My answer", "type": "object"},
    )
    wrapped = {"type": "json_schema", "json_schema": {"name": "Reply", "schema": {"type": "object"}}}
    assert form(wrapped) == ("Reply", {"type": "object"})


def ids(component: Component) -> Any:
    return (component.id, [ids(member) for member in component.members]) if component.members else component.id


def test_without_id_and_name_the_place_gives_the_id() -> None:
    shared = Agent(role="Stands in both teams")
    inner = Team(members=[Agent(role="Knows tea"), Agent(id="rice")])
    teams = [
        Team(model="m", members=[Agent(name="Bread"), shared, inner]),
        Team(id="desk", model="m", members=[shared]),
    ]
    registry = Registry.of(teams=teams, agents=[Agent(model="m"), Agent(model="m", role="Knows all")])
    assert [ids(team) for team in registry.teams.values()] == [
        ("team-1", ["bread", "team-1-2", ("team-1-3", ["team-1-3-1", "rice"])]),
        ("desk", ["team-1-2"]),
    ]
    assert list(registry.agents) == ["agent-1", "agent-2"]
    assert registry.agents["agent-1"].name == "agent-1"


@pytest.mark.parametrize(
    "members", [[Agent(id="desk-2"), Agent(role="Knows tea")], [tea := Agent(role="Knows tea"), tea]]
)
def test_members_whose_places_give_an_id_twice_are_refused(members: list[Agent]) -> None:
    team = Team(id="desk", model="m", members=members)
    with pytest.raises(DeclarationError, match=r"team 'desk' has two members with the id 'desk-[12]'"):
        Registry.of(teams=[team])


def test_an_id_from_a_position_that_is_taken_is_refused() -> None:
    with pytest.raises(DeclarationError, match="agent 'agent-2' is declared twice, first at "):
        Registry.of(agents=[Agent(id="agent-2", model="m"), Agent(model="m")])
