"""Tools of other libraries in runs: pydantic-ai's own, and classes named and used like LangChain's.

Those of Agno are in ``tests/compat/test_agno_tools.py``, because only the clients' environment has Agno.
"""

import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel, Field
from pydantic_ai import FunctionToolset, ModelRetry, RunContext, ToolReturn
from pydantic_ai import Tool as PydanticTool
from pydantic_ai.messages import BinaryContent
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets import AbstractToolset

from musterd import Agent, ToolContext, Toolkit
from musterd.core.errors import DeclarationError
from musterd.loop.pausing import Waits
from tests.support.loop import Call, LoopHarness, TurnModel


async def results(tools: Sequence[Any], *calls: Call, **options: Any) -> list[Any]:
    """The results of these calls in one run."""
    model = TurnModel(list(calls), "answer")
    await LoopHarness(Agent(id="solo", model=model, tools=tools), **options).drive()
    return model.tool_results()


def add(a: int, b: int = 2) -> int:
    """Add two numbers."""
    return a + b


async def greet(ctx: RunContext[ToolContext], name: str) -> str:
    """Greet somebody."""
    ctx.deps.session_state["greeted"] = name
    return f"hello {name} from {ctx.deps.user_id}"


# --- pydantic-ai ------------------------------------------------------------------------------------


async def test_a_tool_of_pydantic_ai_is_called_with_the_context_as_its_dependencies() -> None:
    model = TurnModel([Call("greet", {"name": "Ada"}), Call("add", {"a": 1})], "answer")
    agent = Agent(id="solo", model=model, tools=[PydanticTool(greet), FunctionToolset([add])])
    harness = LoopHarness(agent)
    await harness.drive()
    assert model.tool_results() == ["hello Ada from somebody", "3"]
    assert harness.run.state == {"greeted": "Ada"}
    offered = {tool.name: tool for tool in model.offered[0].function_tools}
    assert offered["add"].description == "Add two numbers."
    assert offered["add"].parameters_json_schema == PydanticTool(add).function_schema.json_schema


async def test_wrong_arguments_and_model_retry_are_read_by_the_model() -> None:
    def pay(euros: int) -> str:
        raise ModelRetry(f"{euros} euros are too many")

    async def is_even(ctx: RunContext[ToolContext], a: int, b: int = 2) -> None:
        if a % 2:
            raise ModelRetry(f"{a} is odd")

    tools = [PydanticTool(pay), PydanticTool(add, args_validator=is_even)]
    wrong, many, odd, even = await results(
        tools, Call("pay", {"euros": "x"}), Call("pay", {"euros": 7}), Call("add", {"a": 3}), Call("add", {"a": 4})
    )
    assert "Wrong arguments for pay. euros:" in wrong
    assert (many, odd, even) == ("7 euros are too many", "3 is odd", "6")


async def test_what_requires_approval_asks_a_person() -> None:
    with pytest.raises(Waits) as waiting:
        await results([FunctionToolset([add], requires_approval=True)], Call("add", {"a": 1}))
    assert [requirement.tool.name for requirement in waiting.value.requirements] == ["add"]


async def test_a_toolset_that_depends_on_the_run_is_listed_for_each_run() -> None:
    async def only_for_somebody(ctx: RunContext[ToolContext], definition: ToolDefinition) -> ToolDefinition | None:
        return definition if ctx.deps.user_id == "somebody" else None

    guarded: Any = PydanticTool[ToolContext](greet, prepare=only_for_somebody)
    toolset = FunctionToolset([add], instructions="Count with it.").prefixed("maths")
    model = TurnModel([Call("greet", {"name": "Ada"}), Call("maths_add", {"a": 1})], "answer")
    harness = LoopHarness(Agent(id="solo", model=model, tools=[guarded, toolset]))
    await harness.drive()
    assert model.tool_results() == ["hello Ada from somebody", "3"]
    taken = [[tool["name"] for tool in source["tools"]] for source in harness.steps.taken["p/tools"]["sources"]]
    assert taken == [["greet"], ["maths_add"]]
    assert "Count with it." in str(model.seen[0])


async def test_media_of_a_tool_return_are_media_of_the_run() -> None:
    def draw() -> ToolReturn:
        return ToolReturn("drawn", content=["a cat", BinaryContent(b"\x89PNG", media_type="image/png")])

    model = TurnModel([Call("draw")], "answer")
    harness = LoopHarness(Agent(id="solo", model=model, tools=[PydanticTool(draw)]))
    output = await harness.drive()
    assert harness.steps.results["t0/c0"].result == "drawn\na cat"
    assert [(name, item["mime_type"]) for name, items in output.media.items() for item in items] == [
        ("images", "image/png")
    ]


class _Remote(AbstractToolset[Any]):
    id = None

    async def get_tools(self, ctx: Any) -> Any: ...
    async def call_tool(self, name: str, tool_args: Any, ctx: Any, tool: Any) -> Any: ...


@pytest.mark.parametrize(
    ("tools", "says"),
    [
        ([FunctionToolset([add]).approval_required()], "set requires_approval=True on its tools"),
        ([_Remote()], "list a FunctionToolset(…) or an MCPServer(…) of musterd"),
        ([Toolkit(tools=[FunctionToolset([add]).prefixed("x")])], "list it in tools= itself"),
        ([PydanticTool(add, name="no name")], "a name that models cannot use"),
    ],
)
def test_a_toolset_that_cannot_be_used_is_refused(tools: list[Any], says: str) -> None:
    with pytest.raises(DeclarationError, match=r"agent 'solo'|tool 'no name'") as refused:
        Agent(id="solo", tools=tools)
    assert says in refused.value.message


# --- LangChain --------------------------------------------------------------------------------------


class Numbers(BaseModel):
    """The arguments."""

    a: int
    b: int = Field(2, description="The second.")


class ToolException(Exception):
    """As in langchain_core.tools."""


class BaseTool:
    """What musterd uses of the class of this name."""

    __module__ = "langchain_core.tools.base"
    args_schema: Any = Numbers
    return_direct = False

    def __init__(self, name: str, function: Any) -> None:
        self.name, self.function = name, function
        self.description = f"{name} it."

    @property
    def tool_call_schema(self) -> Any:
        return self.args_schema

    async def ainvoke(self, call: dict[str, Any], config: dict[str, Any]) -> Any:
        assert call["type"] == "tool_call"
        result = self.function(config=config, **call["args"])
        return result if isinstance(result, SimpleNamespace) else SimpleNamespace(content=result, status="success")


class Tool(BaseTool):
    """What takes one text, with the schema by which LangChain offers it."""

    __module__ = "langchain_core.tools.simple"
    args_schema = None


class BaseToolkit:
    """A list of tools."""

    __module__ = "langchain_core.tools.base"

    def __init__(self, *tools: BaseTool) -> None:
        self._tools = tools

    def get_tools(self) -> list[BaseTool]:
        return list(self._tools)


async def test_tools_and_toolkits_of_langchain_are_called_as_by_a_model() -> None:
    multiply = BaseTool("multiply", lambda a, b, config: [{"type": "text", "text": str(a * b)}, "!"])
    shout = Tool("shout", lambda __arg1, config: f"{__arg1.upper()} {config['configurable']['user_id']}")
    model = TurnModel([Call("multiply", {"a": 3, "b": 4}), Call("shout", {"__arg1": "hey"})], "answer")
    await LoopHarness(Agent(id="solo", model=model, tools=[BaseToolkit(multiply), shout])).drive()
    assert model.tool_results() == ["12\n!", "HEY somebody"]
    offered = model.offered[0].function_tools[0]
    assert (offered.name, offered.description) == ("multiply", "multiply it.")
    assert offered.parameters_json_schema["properties"]["b"]["description"] == "The second."
    assert "langchain_core" not in sys.modules


async def test_errors_of_langchains_tools_are_read_by_the_model() -> None:
    def refuse(a: int, b: int = 2, *, config: Any) -> Any:
        raise ToolException("not today")

    failed = BaseTool("failed", lambda a, config: SimpleNamespace(content="it failed", status="error"))
    tools = [BaseTool("refuse", refuse), failed]
    model = TurnModel([Call("refuse", {"a": 1}), Call("failed", {"a": 1}), Call("failed", {"c": 1})], "answer")
    harness = LoopHarness(Agent(id="solo", model=model, tools=tools))
    await harness.drive()
    assert model.tool_results()[:2] == ["not today", "it failed"]
    assert "Wrong arguments for failed. a: missing" in model.tool_results()[2]
    assert [harness.steps.results[f"t0/c{number}"].is_error for number in range(3)] == [True, True, True]


async def test_the_result_of_a_tool_that_returns_directly_is_the_answer() -> None:
    direct = BaseTool("direct", lambda a, config: f"{a} it is")
    direct.return_direct = True
    harness = LoopHarness(Agent(id="solo", model=TurnModel([Call("direct", {"a": 5})]), tools=[direct]))
    assert (await harness.drive()).content == "5 it is"
