"""Tools that a run learns of when it begins."""

from dataclasses import replace
from typing import Any

import pytest

from musterd import Agent, MCPServer, OutcomeUnknown, Team, ToolContext, Toolkit, tool
from musterd.core.errors import RunFailed
from musterd.core.records import StepState
from musterd.declare.mcp_server import ServerTools
from musterd.loop.loop import Loop
from tests.support.loop import Call, LoopHarness, TurnModel


async def test_a_function_gives_a_run_its_tools() -> None:
    def tools_of(context: ToolContext) -> list[Any]:
        def greet() -> str:
            """Greet."""
            return f"hello {context.user_id}"

        return [greet]

    model = TurnModel([Call("greet")], "answer")
    harness = LoopHarness(Agent(id="solo", model=model, tools=tools_of))
    await harness.drive()
    assert model.tool_results() == ["hello somebody"]
    assert [offered_tool.name for offered_tool in model.offered[0].function_tools] == ["greet"]
    taken = harness.steps.taken["p/tools"]["sources"]
    assert [definition["name"] for definition in taken[0]["tools"]] == ["greet"]
    assert list(harness.steps.taken["p"]["tools"]) == ["greet"]


async def test_a_function_of_a_member_sees_what_the_leader_passes_on() -> None:
    seen: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def tools_of(context: ToolContext) -> list[Any]:
        seen.append((dict(context.dependencies), dict(context.metadata)))
        return []

    member = Agent(id="member", tools=tools_of, dependencies={"may_write": False})
    model = TurnModel([Call("delegate_task_to_member", {"member_id": "member", "task": "x"})], "done", "well done")
    team = Team(id="desk", model=model, members=[member], dependencies={"may_write": True}, metadata={"plan": "pro"})
    await LoopHarness(team).drive()
    assert seen == [({"may_write": True}, {"plan": "pro"})]


async def test_what_was_offered_stays_offered_though_the_function_gives_another() -> None:
    names = ["first"]

    async def tools_of() -> list[Any]:
        return [tool(name=name, description=name)(lambda: "done") for name in names]

    model = TurnModel([Call("first"), Call("second")], "answer")
    harness = LoopHarness(Agent(id="solo", model=model, tools=tools_of))
    await harness.loop.tree.steps.take("p/tools", "", stored)
    names[:] = ["second"]

    async def again(path: str, fingerprint: str, look: Any) -> Any:
        return harness.steps.taken[path]

    harness.steps.take = again  # type: ignore[method-assign]
    await harness.drive()
    assert [offered_tool.name for offered_tool in model.offered[0].function_tools] == ["first"]
    assert all("There is no tool" in result for result in model.tool_results())


async def stored() -> dict[str, Any]:
    definition = {"name": "first", "description": "first", "parameters": {"type": "object", "properties": {}}}
    return {"sources": [{"of": "tools=", "tools": [definition]}]}


@pytest.mark.parametrize("tools", [None, 7, [7], "raise"])
async def test_a_function_that_gives_no_tools_fails_the_run(tools: Any) -> None:
    def tools_of() -> Any:
        if tools == "raise":
            raise ValueError("no")
        return tools

    harness = LoopHarness(Agent(id="solo", name="Solo", model=TurnModel("answer"), tools=tools_of))
    with pytest.raises(RunFailed) as caught:
        await harness.drive()
    # Clients read it, and an exception's text may hold a password.
    assert str(caught.value) == "The tools of Solo could not be created; see the server's log"
    assert caught.value.code == "tools_failed"


async def test_instructions_of_toolkits_are_in_the_system_message() -> None:
    def ask() -> str:
        """Ask."""
        return ""

    model = TurnModel("answer")
    harness = LoopHarness(Agent(id="solo", model=model, tools=[Toolkit(tools=[ask], instructions="Ask twice.")]))
    await harness.drive()
    assert harness.steps.taken["p"]["system"] == "<tool_instructions>\nAsk twice.\n</tool_instructions>"


async def test_a_tool_that_cannot_say_leaves_its_call_unknown() -> None:
    @tool
    def send() -> str:
        """Send."""
        raise OutcomeUnknown("The line broke.")

    model = TurnModel([Call("send")], "answer")
    harness = LoopHarness(Agent(id="solo", model=model, tools=[send]))
    await harness.drive()
    step = harness.steps.results["t0/c0"]
    assert (step.state, step.is_error, step.result) == (StepState.UNKNOWN, True, "The line broke.")


async def test_a_leader_is_told_which_servers_its_members_have() -> None:
    server = MCPServer(name="desk", command="server")
    team = Team(id="team", model=TurnModel("answer"), members=[Agent(id="one", tools=[server])])
    harness = LoopHarness(team)
    await harness.drive()
    assert "Tools of: desk" in harness.steps.taken["p"]["system"]


class Desks:
    """Servers that answer with their own names."""

    async def tools(self, server: MCPServer) -> ServerTools:
        parameters = {"type": "object", "properties": {}}
        definition = {"description": "", "parameters": parameters, "retry_safe": False}
        return ServerTools(definitions=[{"name": f"ask_{server.name}", "tool": "ask", **definition}])

    async def call(self, server: MCPServer, tool: str, arguments: dict[str, Any], context: ToolContext) -> str:
        return f"{server.name} {tool}"


async def test_a_deploy_that_moves_or_takes_a_server_sends_no_call_to_another() -> None:
    one, two = (MCPServer(name=name, command=name) for name in ("one", "two"))
    before = LoopHarness(Agent(id="solo", model=TurnModel("answer"), tools=[one, two]))
    before.loop.tree = replace(before.tree, servers=Desks())
    await before.drive()
    taken = before.steps.taken["p/tools"]

    async def again(path: str, fingerprint: str, look: Any) -> Any:
        return taken

    model = TurnModel([Call("ask_one"), Call("ask_two")], "answer")
    after = LoopHarness(Agent(id="solo", model=model, tools=[MCPServer(name="new", command="new"), one]))
    after.steps.take = again  # type: ignore[method-assign]
    after.loop = Loop(replace(after.tree, servers=Desks()), after.run)
    await after.drive()
    assert [offered_tool.name for offered_tool in model.offered[0].function_tools] == ["ask_one", "ask_two"]
    assert model.tool_results()[0] == "one ask"
    assert "There is no tool 'ask_two'" in model.tool_results()[1]
