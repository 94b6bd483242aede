"""Members that a function gives for each run."""

from typing import Any

import pytest

from musterd import Agent, RunContext, Team
from musterd.core.errors import RunFailed
from musterd.loop.dynamic_members import with_dynamic_members
from tests.support.loop import LoopHarness, TurnModel
from tests.unit.loop.test_loop import delegate


async def drive(harness: LoopHarness) -> Any:
    """Drive a run whose members are asked for first, as an attempt does."""
    harness.run = await with_dynamic_members(harness.tree, harness.run)
    harness.loop = type(harness.loop)(harness.tree, harness.run)
    return await harness.drive()


async def test_a_function_gives_the_members_of_each_run() -> None:
    user_ids: list[str | None] = []

    def experts(run_context: RunContext) -> list[Agent]:
        user_ids.append(run_context.user_id)
        return [Agent(id="expert", role=f"Knows {run_context.user_id}", model=TurnModel("Known"))]

    leader = TurnModel(delegate("expert"), "Well")
    harness = LoopHarness(Team(id="team", model=leader, members=experts))
    output = await drive(harness)
    assert user_ids == ["somebody"]
    assert leader.tool_results() == ["Known"]
    assert output.content == "Well"
    assert "Knows somebody" in str(leader.seen[0])


async def test_members_without_id_and_name_have_the_same_ids_in_each_run() -> None:
    def experts() -> list[Agent]:
        return [Agent(role=f"Knows {what}", model=TurnModel(what)) for what in ("tea", "rice")]

    for _ in range(2):
        leader = TurnModel(delegate("team-2"), "Well")
        await drive(LoopHarness(Team(id="team", model=leader, members=experts)))
        assert leader.tool_results() == ["rice"]


async def test_a_team_below_may_have_such_members_too() -> None:
    async def experts() -> list[Agent]:
        return [Agent(id="expert")]

    inner = Team(id="inner", model=TurnModel(delegate("expert"), "From inside"), members=experts)
    leader = TurnModel(delegate("inner"), "Well")
    harness = LoopHarness(Team(id="team", model=leader, members=[inner]))
    await drive(harness)
    assert [start.component_id for start in harness.steps.started] == ["inner", "expert"]


@pytest.mark.parametrize(
    ("members", "said"),
    [
        (None, "returned a NoneType, not a list"),
        ([1], "a member is a int"),
        ([Agent(id="a"), Agent(id="a")], "two members with the id 'a'"),
    ],
)
async def test_what_cannot_be_its_members_ends_the_run_in_words(members: Any, said: str) -> None:
    with pytest.raises(RunFailed, match=said) as caught:
        await drive(LoopHarness(Team(id="team", model=TurnModel("Well"), members=lambda: members)))
    assert caught.value.code == "members_failed"
