"""LangChain's own tools in runs.

``tests/unit/loop/test_library_tools.py`` has the same cases with classes that are named and used like LangChain's.
"""

from typing import Any

import pytest

from musterd import Agent
from tests.support.loop import Call, LoopHarness, TurnModel

pytestmark = pytest.mark.usefixtures("importable_agno")


async def called(tools: list[Any], *calls: Call) -> tuple[TurnModel, LoopHarness]:
    model = TurnModel(list(calls), "answer")
    harness = LoopHarness(Agent(id="solo", model=model, tools=tools))
    await harness.drive()
    return model, harness


async def test_functions_and_toolkits_are_offered_and_called() -> None:
    from langchain_core.runnables import RunnableConfig
    from langchain_core.tools import BaseToolkit, Tool, tool

    @tool
    def multiply(a: int, b: int = 2) -> str:
        """Multiply two numbers."""
        return str(a * b)

    @tool
    async def greet(name: str, config: RunnableConfig) -> str:
        """Greet somebody."""
        return f"hello {name} from {config['configurable']['user_id']}"

    class Kit(BaseToolkit):
        def get_tools(self) -> list[Any]:
            return [multiply, greet]

    shout = Tool(name="shout", func=str.upper, description="Shout.")
    calls = (Call("multiply", {"a": 3}), Call("greet", {"name": "Ada"}), Call("shout", {"__arg1": "hey"}))
    model, _ = await called([Kit(), shout], *calls)
    assert model.tool_results() == ["6", "hello Ada from somebody", "HEY"]
    offered = {definition.name: definition for definition in model.offered[0].function_tools}
    assert offered["multiply"].description == "Multiply two numbers."
    schema = offered["greet"].parameters_json_schema
    assert (list(schema["properties"]), schema["required"]) == (["name"], ["name"])


async def test_errors_are_read_by_the_model() -> None:
    from langchain_core.tools import ToolException, tool

    @tool
    def refuse(a: int) -> str:
        """Refuse."""
        raise ToolException("not today")

    @tool
    def polite(a: int) -> str:
        """Refuse."""
        raise ToolException("sorry")

    polite.handle_tool_error = True
    calls = (Call("refuse", {"a": 1}), Call("polite", {"a": 1}), Call("polite", {"c": 1}))
    model, harness = await called([refuse, polite], *calls)
    assert model.tool_results()[:2] == ["not today", "sorry"]
    assert "Wrong arguments for polite. a: missing" in model.tool_results()[2]
    assert [harness.steps.results[f"t0/c{number}"].is_error for number in range(3)] == [True, True, True]


async def test_the_result_of_a_tool_that_returns_directly_is_the_answer() -> None:
    from langchain_core.tools import tool

    @tool(return_direct=True)
    def direct(a: int) -> str:
        """Answer."""
        return f"{a} it is"

    harness = LoopHarness(Agent(id="solo", model=TurnModel([Call("direct", {"a": 5})]), tools=[direct]))
    assert (await harness.drive()).content == "5 it is"
