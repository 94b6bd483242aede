"""Objects whose public methods are tools."""

from __future__ import annotations

import pytest

from musterd import Agent, SchedulerTools, ToolContext, Toolkit, tool
from musterd.core.errors import DeclarationError
from musterd.declare import load
from tests.unit.declare.conftest import Project


class Calculator:
    """Counts."""

    def __init__(self, start: int = 0) -> None:
        self.total = start

    def add(self, number: int) -> int:
        """Add a number."""
        self.total += number
        return self.total

    @tool(name="clear", retry_safe=True, description="Begin anew.")
    def reset(self, context: ToolContext) -> None:
        self.total = 0

    async def look(self) -> int:
        """Look."""
        return self.total

    @staticmethod
    def double(number: int) -> int:
        """Double."""
        return 2 * number

    @property
    def shown(self) -> str:
        return str(self.total)

    def _private(self) -> None: ...


class Finer(Calculator):
    def add(self, number: int) -> int:
        """Add, finely."""
        return super().add(number)

    def halve(self) -> float:
        """Halve."""
        return self.total / 2


def names(toolkit: object) -> list[str]:
    return [listed.name for listed in Agent(id="a", tools=[toolkit]).listed_tools]


def test_public_methods_are_tools_of_the_object() -> None:
    desk = Calculator(40)
    add, clear, look, double = Agent(id="a", tools=[desk]).listed_tools
    assert [add.name, clear.name, look.name, double.name] == ["add", "clear", "look", "double"]
    assert (add(2), desk.total, double(4)) == (42, 42, 8)
    assert (add.description, clear.description, clear.retry_safe, look.is_async) == (
        "Add a number.",
        "Begin anew.",
        True,
        True,
    )
    assert list(add.parameters["properties"]) == ["number"]
    desk.reset("called as the method that it is")
    assert desk.total == 0


def test_a_class_is_made_once_and_what_it_inherits_comes_first() -> None:
    assert names(Finer) == ["add", "clear", "look", "double", "halve"]
    assert Agent(id="a", tools=[Finer]).listed_tools[0].description == "Add, finely."


def test_a_toolkit_says_which_tools_count_and_what_they_are_called() -> None:
    assert names(Toolkit(tools=[Calculator()], include_tools=["look", "add"])) == ["add", "look"]
    assert names(Toolkit(tools=[Calculator()], exclude_tools=["look", "clear"], tool_name_prefix="calc")) == [
        "calc_add",
        "calc_double",
    ]
    assert names(Toolkit(tools=[Calculator()], include_tools=[])) == []
    assert names(Toolkit(tools=[Calculator()], exclude_tools=[])) == names(Toolkit(tools=[Calculator()]))


def test_a_toolkit_may_be_a_class_of_its_own() -> None:
    class Desk(Toolkit):
        instructions = "Ask twice."

        def ask(self, word: str) -> str:
            """Ask."""
            return word

    class Listed(Toolkit):
        def __init__(self) -> None:
            super().__init__(name="listed", tools=[self.one], instructions="Once.")

        def one(self) -> int:
            """One."""
            return 1

        def other(self) -> int:
            """Not listed."""
            return 2

    agent = Agent(id="a", tools=[Desk(), Listed()])
    assert [offered_tool.name for offered_tool in agent.listed_tools] == ["ask", "one"]
    assert agent.tool_instructions == ("Ask twice.", "Once.")


def test_instructions_are_told_once() -> None:
    kit = Toolkit(tools=[Calculator()], instructions="Count with care.")
    again = Toolkit(tools=[Calculator()], instructions="Count with care.", tool_name_prefix="other")
    assert Agent(id="a", tools=[kit, again]).tool_instructions == ("Count with care.",)


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(DeclarationError, match=r"test_toolkits\.py:\d+: agent 'a' has two tools named 'add'"):
        Agent(id="a", tools=[Calculator(), Finer()])


def test_yaml_names_a_class_or_an_object(project: Project) -> None:
    project(
        "kits.py",
        '''
        class Desk:
            def ask(self, word: str) -> str:
                """Ask."""
                return word

        other = Desk()
        ''',
    )
    project(
        "teams.yaml",
        """
        agents:
          - {id: a, model: scripted, tools: ["kits:Desk"]}
          - {id: b, model: scripted, tools: ["kits:other"]}
        """,
    )
    agents = load("teams.yaml").agents
    assert [tool.name for agent in agents.values() for tool in agent.tools] == ["ask", "ask"]


def test_a_toolkit_says_more_of_some_of_its_tools() -> None:
    kit = Toolkit(
        tools=[Calculator()],
        tool_name_prefix="calc",
        stop_after_tool_call_tools=["add"],
        show_result_tools=["look"],
        requires_confirmation_tools=["clear"],
    )
    tools = {tool.name: tool for tool in Agent(id="a", tools=[kit]).listed_tools}
    assert [name for name, tool in tools.items() if tool.stop_after_tool_call] == ["calc_add"]
    assert [name for name, tool in tools.items() if tool.show_result] == ["calc_look"]
    assert [name for name, tool in tools.items() if tool.requires_confirmation] == ["calc_clear"]


def test_an_option_that_a_toolkit_has_not_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"test_toolkits\.py:\d+: a toolkit has no option 'tool' — did you mean"):
        Toolkit(tool=[Calculator()])  # type: ignore[call-arg]


def test_a_toolkit_of_musterd_is_listed_by_name(project: Project) -> None:
    project("teams.yaml", "agents: [{id: a, model: scripted, tools: [schedules]}]")
    in_yaml = load("teams.yaml").agents["a"]
    in_python = Agent(id="a", tools=["schedules"])
    assert [tool.name for tool in in_yaml.tools] == [tool.name for tool in in_python.listed_tools]
    assert [tool.name for tool in in_yaml.tools if tool.requires_confirmation] == ["create_schedule", "delete_schedule"]
    assert in_python.tool_instructions == (SchedulerTools.instructions,)
    free = Agent(id="a", tools=[SchedulerTools(requires_confirmation_tools=[])])
    assert not any(tool.requires_confirmation for tool in free.listed_tools)
    with pytest.raises(DeclarationError, match="there is no toolkit 'schedule' — did you mean 'schedules'"):
        Agent(id="a", tools=["schedule"])
    with pytest.raises(DeclarationError, match="Invalid timezone: Mars/One"):
        SchedulerTools(default_timezone="Mars/One")
