"""Members that a function gives for each run."""

from typing import Any

import pytest

from musterd import Agent, RunContext, Team
from musterd.core.errors import RunFailed
from musterd.loop.dynamic_members import with_dynamic_members
from tests.support.loop import Stage, TurnModel
from tests.unit.loop.test_loop import delegate


async def drive(stage: Stage) -> Any:
    """Drive a run whose members are asked for first, as an attempt does."""
    stage.run = await with_dynamic_members(stage.tree, stage.run)
    stage.loop = type(stage.loop)(stage.tree, stage.run)
    return await stage.drive()


async def test_a_function_gives_the_members_of_each_run() -> None:
    asked: list[str | None] = []

    def experts(run_context: RunContext) -> list[Agent]:
        asked.append(run_context.user_id)
        return [Agent(id="expert", role=f"Knows {run_context.user_id}", model=TurnModel("Known"))]

    leader = TurnModel(delegate("expert"), "Well")
    stage = Stage(Team(id="team", model=leader, members=experts))
    output = await drive(stage)
    assert asked == ["somebody"]
    assert leader.told() == ["Known"]
    assert output.content == "Well"
    assert "Knows somebody" in str(leader.seen[0])


async def test_members_without_id_and_name_have_the_same_ids_in_each_run() -> None:
    def experts() -> list[Agent]:
        return [Agent(role=f"Knows {what}", model=TurnModel(what)) for what in ("tea", "rice")]

    for _ in range(2):
        leader = TurnModel(delegate("team-2"), "Well")
        await drive(Stage(Team(id="team", model=leader, members=experts)))
        assert leader.told() == ["rice"]


async def test_a_team_below_may_have_such_members_too() -> None:
    async def experts() -> list[Agent]:
        return [Agent(id="expert")]

    inner = Team(id="inner", model=TurnModel(delegate("expert"), "From inside"), members=experts)
    leader = TurnModel(delegate("inner"), "Well")
    stage = Stage(Team(id="team", model=leader, members=[inner]))
    await drive(stage)
    assert [start.component_id for start in stage.steps.started] == ["inner", "expert"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "returned a NoneType, not a list"),
        ([1], "a member is a int"),
        ([Agent(id="a"), Agent(id="a")], "two members with the id 'a'"),
        ([Agent(id="a", learning=True)], "learning=True, which is not supported yet"),
    ],
)
async def test_what_cannot_be_its_members_ends_the_run_in_words(given: Any, said: str) -> None:
    with pytest.raises(RunFailed, match=said) as caught:
        await drive(Stage(Team(id="team", model=TurnModel("Well"), members=lambda: given)))
    assert caught.value.code == "members_failed"
