"""What the loop asks a person before it makes a call, and what the model is told of such tools."""

from typing import Any

import pytest

from musterd import Agent, Team, tool
from musterd.core.events import EventKind
from musterd.core.requirements import ApprovalRow, Requirement, RequirementKind
from musterd.declare.schema_tool import schema_tool
from musterd.declare.source_location import current_place
from musterd.loop.pausing import Waits
from tests.support.loop import Call, LoopHarness, TurnModel


def trip(city: str, nights: int = 1) -> str:
    """Book a trip.

    Args:
        nights: How long.
    """
    return f"{nights} in {city}"


async def paused_run(declared: Any, args: dict[str, Any]) -> tuple[Requirement, LoopHarness, TurnModel]:
    model = TurnModel(Call("trip", args, "c1"))
    harness = LoopHarness(Agent(id="a", name="A", model=model, tools=[declared]))
    with pytest.raises(Waits) as waits:
        await harness.drive()
    (requirement,) = waits.value.requirements
    return requirement, harness, model


@pytest.mark.parametrize(
    "flags, kind",
    [
        ({"requires_confirmation": True}, RequirementKind.CONFIRMATION),
        ({"external_execution": True}, RequirementKind.EXTERNAL_EXECUTION),
        ({"requires_user_input": True}, RequirementKind.USER_INPUT),
        ({"approval": "required"}, RequirementKind.CONFIRMATION),
    ],
)
async def test_each_flag_asks_before_the_call_begins(flags: dict[str, Any], kind: RequirementKind) -> None:
    requirement, harness, _ = await paused_run(tool(**flags)(trip), {"city": "Rome"})
    assert (requirement.kind, requirement.tool.args, requirement.run_id, requirement.path) == (
        kind,
        {"city": "Rome"},
        "root",
        "t0/c0",
    )
    assert EventKind.TOOL_CALL_STARTED not in harness.kinds()
    assert harness.steps.results == {}


@pytest.mark.parametrize(
    "flags, offered, required, values",
    [
        ({"user_input_fields": ["nights"]}, ["city"], ["city"], {"city": "Rome", "nights": None}),
        ({"requires_user_input": True}, ["city", "nights"], None, {"city": "Rome", "nights": None}),
    ],
)
async def test_the_model_is_not_told_of_what_a_person_gives(
    flags: dict[str, Any], offered: list[str], required: list[str] | None, values: dict[str, Any]
) -> None:
    requirement, _, model = await paused_run(tool(**flags)(trip), {"city": "Rome"})
    (definition,) = model.offered[0].function_tools
    schema = definition.parameters_json_schema
    assert (list(schema["properties"]), schema.get("required")) == (offered, required)
    assert {one["name"]: one["value"] for one in requirement.fields or ()} == values
    assert requirement.fields is not None
    nights = {"name": "nights", "field_type": "int", "description": "How long.", "value": None}
    assert requirement.fields[1] == nights


async def test_a_person_completes_the_call_of_a_tool_with_a_schema() -> None:
    schema = {"type": "object", "properties": {"city": {}, "nights": {"type": "integer"}}, "required": ["nights"]}

    async def book(arguments: dict[str, Any], _context: Any) -> str:
        return f"{arguments['nights']} in {arguments['city']}"

    booking = schema_tool(
        "trip", "", schema, book, current_place(), requires_user_input=True, user_input_fields=("nights",)
    )
    requirement, harness, _ = await paused_run(booking, {"city": "Rome"})
    assert requirement.kind is RequirementKind.USER_INPUT
    decision = {"verdict": "run", "result": None, "note": None, "values": {"nights": 3}}
    row = ApprovalRow(requirement=requirement, state="decided", decision=decision)
    model = TurnModel(Call("trip", {"city": "Rome"}, "c1"), "done")
    harness = LoopHarness(Agent(id="a", name="A", model=model, tools=[booking]))
    object.__setattr__(harness.tree, "approvals", {"t0/c0": row})
    await harness.drive()
    assert model.tool_results() == ["3 in Rome"]


async def test_two_members_wait_at_once() -> None:
    declared = tool(requires_confirmation=True, decide_within_seconds=60, default_decision="reject")(trip)
    leader = TurnModel([Call("delegate_task_to_member", {"member_id": name, "task": "go"}) for name in ("b", "c")])
    members = [
        Agent(id=name, name=name.upper(), model=TurnModel(Call("trip", {"city": name})), tools=[declared])
        for name in ("b", "c")
    ]
    harness = LoopHarness(Team(id="t", model=leader, members=members))
    with pytest.raises(Waits) as waits:
        await harness.drive()
    assert [requirement.component_id for requirement in waits.value.requirements] == ["b", "c"]
    for requirement in waits.value.requirements:
        assert (requirement.default_decision, requirement.expires_at) == ("reject", requirement.created_at + 60)


async def test_a_call_takes_what_a_person_gave() -> None:
    requirement, _, _ = await paused_run(tool(user_input_fields=["nights"])(trip), {"city": "Rome"})
    decision = {"verdict": "run", "result": None, "note": None, "values": {"nights": 3}}
    row = ApprovalRow(requirement=requirement, state="decided", decision=decision)
    model = TurnModel(Call("trip", {"city": "Rome"}, "c1"), "done")
    harness = LoopHarness(Agent(id="a", name="A", model=model, tools=[tool(user_input_fields=["nights"])(trip)]))
    object.__setattr__(harness.tree, "approvals", {"t0/c0": row})
    output = await harness.drive()
    assert output.tools[0].args == {"city": "Rome", "nights": 3}
    assert model.tool_results() == ["3 in Rome"]
    assert harness.kinds().count(EventKind.TOOL_CALL_STARTED) == 1
