"""Agno's own toolkits and functions in ``tools=`` of musterd's agents."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from musterd import Agent, Tool, ToolContext
from musterd.core.errors import DeclarationError
from musterd.declare.tool_errors import RetryTool, StopRun, ToolFailed
from musterd.declare.tool_result import Media, ToolResult

pytestmark = pytest.mark.usefixtures("importable_agno")


def tools_of(*entries: Any) -> dict[str, Tool]:
    return {tool.name: tool for tool in Agent(id="solo", tools=entries).listed_tools}


def context(**options: Any) -> ToolContext:
    ids = {name: name for name in ("run_id", "root_run_id", "session_id", "user_id", "agent_id", "tool_call_id")}
    values = {"idempotency_key": "key", "session_state": {}, "dependencies": {}, "metadata": {}, **options}
    return ToolContext(**ids, **values)  # type: ignore[arg-type]


async def call(tool: Tool, of: ToolContext | None = None, **arguments: Any) -> Any:
    """Call a tool as a run does: check the arguments, then a plain function in a thread, an async one here."""
    bound = tool.bind(tool.validate(arguments), of or context())
    return await bound() if tool.is_async else await asyncio.to_thread(bound)


async def test_a_toolkit_of_agno_offers_its_functions_with_their_schemas() -> None:
    from agno.tools.calculator import CalculatorTools

    tools = tools_of(CalculatorTools(include_tools=["add", "is_prime"]))
    assert list(tools) == ["add", "is_prime"]
    assert tools["add"].parameters["required"] == ["a", "b"]
    assert tools["add"].description == "Add two numbers and return the result."
    assert await call(tools["add"], a=1, b="2.5") == '{"operation": "addition", "result": 3.5}'
    with pytest.raises(ToolFailed, match=r"^Wrong arguments\. a: Input should be a valid number"):
        await call(tools["add"], a="one", b=2)
    assert tools_of(CalculatorTools)["add"].name == "add", "a class is listed as its object"


async def test_the_flags_of_a_toolkit_and_its_instructions_count() -> None:
    from agno.tools import Toolkit, tool

    def pay(euros: int) -> str:
        """Pay."""
        return f"paid {euros}"

    @tool(stop_after_tool_call=True, instructions="Call it last.")
    def bye() -> str:
        """Say good-bye."""
        return "bye"

    class Desk(Toolkit):
        def __init__(self, *, add_instructions: bool) -> None:
            super().__init__(
                name="desk",
                tools=[pay, bye],
                instructions="Be careful.",
                add_instructions=add_instructions,
                requires_confirmation_tools=["pay"],
            )

    agent = Agent(id="solo", tools=[Desk(add_instructions=True)])
    payment, end = agent.listed_tools
    assert (payment.requires_confirmation, end.stop_after_tool_call, end.show_result) == (True, True, True)
    assert agent.tool_instructions == ("Be careful.", "Be careful.\n\nCall it last.")
    assert tools_of(Desk(add_instructions=False))["pay"].instructions is None


async def test_a_toolkit_connects_before_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    from agno.tools import Toolkit

    log: list[str] = []
    at_exit: list[Callable[[], None]] = []
    monkeypatch.setattr("musterd.declare.library_tools.agno_connections.atexit.register", at_exit.append)

    class Database(Toolkit):
        _requires_connect = True

        def __init__(self) -> None:
            super().__init__(name="database", tools=[self.read], async_tools=[(self.write, "write")])

        def connect(self) -> None:
            log.append("connect")
            if len(log) == 1:
                raise ConnectionError("not yet")

        def close(self) -> None:
            log.append("close")

        def read(self) -> str:
            """Read."""
            return "read"

        async def write(self) -> str:
            """Write."""
            return "written"

    tools = tools_of(Database())
    assert log == []
    assert await call(tools["read"]) == "read", "what is missing is for the function to say"
    assert await call(tools["write"]) == "written"
    assert await call(tools["read"]) == "read"
    (close,) = at_exit
    close()
    assert log == ["connect", "connect", "close"]


def test_what_a_person_fills_in_is_an_argument_that_the_model_does_not_see() -> None:
    from agno.tools import tool

    @tool(requires_user_input=True, user_input_fields=["address", "days"])
    def ship(order: str, address: str, days: int = 3) -> str:
        """Ship an order."""
        return f"{order} to {address}"

    shipping = tools_of(ship)["ship"]
    assert shipping.user_input_fields == ("address", "days")
    assert shipping.parameters["properties"]["days"] == {"type": "integer"}
    assert sorted(shipping.parameters["required"]) == ["address", "order"]
    assert list(shipping.offered_parameters["properties"]) == ["order"]


def test_approvals_and_external_calls() -> None:
    from agno.approval.decorator import approval
    from agno.tools import tool
    from agno.tools.function import Function

    @approval
    @tool()
    def delete(name: str) -> str:
        """Delete."""
        return name

    remote = Function(
        name="remote",
        description="Done elsewhere.",
        parameters={"type": "object", "properties": {"sql": {"type": "string"}}, "required": ["sql"]},
        external_execution=True,
    )
    tools = tools_of(delete, remote)
    assert (tools["delete"].approval, tools["delete"].requires_confirmation) == ("required", True)
    assert tools["remote"].external_execution
    assert tools["remote"].validate({"sql": "SELECT 1"}) == {"sql": "SELECT 1"}


async def test_agnos_run_context_and_media_are_filled_and_its_state_is_kept() -> None:
    from agno.media import Image
    from agno.run import RunContext
    from agno.tools import tool

    @tool
    def put(run_context: RunContext, item: str) -> str:
        """Put it into the cart."""
        assert run_context.session_state is not None
        run_context.session_state["cart"] = item
        return f"{run_context.user_id} has {item}"

    @tool
    def replace(run_context: RunContext) -> str:
        """Replace the whole state."""
        run_context.session_state = {"new": True}
        return "done"

    @tool
    async def look(images: list[Image], agent: Any = None) -> str:
        """Look at the pictures."""
        return f"{len(images)} of {images[0].mime_type}, {agent}"

    state: dict[str, Any] = {}
    media = {"images": [Media(content=b"x", mime_type="image/png")]}
    of = context(session_state=state, media=media)
    tools = tools_of(put, replace, look)
    assert list(tools["put"].parameters["properties"]) == ["item"]
    assert await call(tools["put"], of, item="tea") == "user_id has tea"
    assert state == {"cart": "tea"}
    await call(tools["replace"], of)
    assert state == {"new": True}
    assert await call(tools["look"], of) == "1 of image/png, None"


async def test_generators_tool_results_and_exceptions_of_agno() -> None:
    from agno.exceptions import RetryAgentRun, StopAgentRun
    from agno.media import Image
    from agno.tools import tool
    from agno.tools.function import ToolResult as AgnoResult

    @tool
    def count(to: int) -> Any:
        """Count."""
        for number in range(to):
            yield f"{number} "

    @tool
    async def count_async(to: int) -> Any:
        """Count."""
        for number in range(to):
            yield f"{number} "

    @tool
    def draw() -> AgnoResult:
        """Draw."""
        return AgnoResult(content="a cat", images=[Image(url="http://cats.example/1.png", id="one")])

    def failing(error: Callable[[str], Exception]) -> Any:
        def fail() -> str:
            """Fail."""
            raise error("not so")

        return fail

    tools = tools_of(count, count_async, draw)
    assert await call(tools["count"], to=3) == await call(tools["count_async"], to=3) == "0 1 2 "
    assert await call(tools["draw"]) == ToolResult(
        content="a cat", images=(Media(url="http://cats.example/1.png", id="one"),)
    )
    for error, ours in ((RetryAgentRun, RetryTool), (StopAgentRun, StopRun)):
        with pytest.raises(ours, match=r"^not so$"):
            await call(tools_of(tool(failing(error)))["fail"])


async def test_an_event_that_a_generator_yields_is_a_report_of_its_progress() -> None:
    from dataclasses import dataclass

    from agno.run.agent import CustomEvent
    from agno.tools import tool

    @dataclass
    class Loaded(CustomEvent):
        percent: int = 0

    @tool
    def load() -> Any:
        """Load."""
        yield Loaded(percent=50)
        yield "loaded"

    reports: list[Any] = []

    class Listening(ToolContext):
        def _report(self, report: Any) -> None:
            reports.append(report)

    of = context()
    of = Listening(**{name: getattr(of, name) for name in of.__dataclass_fields__})
    assert await call(tools_of(load)["load"], of) == "loaded"
    assert [report["percent"] for report in reports] == [50]


def test_toolkits_that_musterd_has_itself() -> None:
    from agno.tools.user_control_flow import UserControlFlowTools

    assert list(tools_of(UserControlFlowTools())) == ["get_user_input"]


def test_a_name_that_models_cannot_use_is_refused() -> None:
    from agno.tools import tool

    @tool(name="two words")
    def bad() -> str:
        """Bad."""
        return ""

    with pytest.raises(DeclarationError, match=r"tool 'two words' has a name that models cannot use"):
        tools_of(bad)
