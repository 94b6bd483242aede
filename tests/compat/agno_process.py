"""Agno itself in a process of its own, with a scripted model.

``write FILE`` lets Agno's database write sessions and a memory, ``serve`` is an AgentOS, and ``use URL`` prints what
teams and workflows answer that use a team of that server.

The model obeys the same directives as musterd's, as far as these tests need them: ``[[TOOL name {"argument": 1}]]``
calls a tool, and ``[[DELEGATE member: task]]`` a member; any other message is echoed.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.memory import MemoryManager, UserMemory
from agno.metrics import MessageMetrics
from agno.models.base import Model
from agno.models.response import ModelResponse
from agno.os import AgentOS
from agno.team import RemoteTeam, Team
from agno.workflow import Step, StepInput, StepOutput, Workflow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_DIRECTIVE = re.compile(
    r"\[\[(?:TOOL (?P<tool>\w+) (?P<arguments>\{.*\})|DELEGATE (?P<member>[\w-]+): (?P<task>.*))\]\]$"
)


def answer(messages: list[Any]) -> ModelResponse:
    """The next answer in a conversation."""
    last, usage = messages[-1], MessageMetrics(input_tokens=10, output_tokens=3, total_tokens=13)
    response = ModelResponse(role="assistant", response_usage=usage)
    directive = _DIRECTIVE.match(str(last.content or "").strip())
    if last.role == "tool":
        response.content = f"Done: {last.content}"
    elif directive is None:
        response.content = f"Echo: {last.content}"
    else:
        tool, arguments = directive["tool"], directive["arguments"]
        if directive["member"]:
            tool = "delegate_task_to_member"
            arguments = json.dumps({"member_id": directive["member"], "task": directive["task"]})
        function = {"name": tool, "arguments": arguments}
        response.tool_calls = [{"id": f"call-{len(messages)}", "type": "function", "function": function}]
    return response


@dataclass
class Scripted(Model):  # type: ignore[misc]
    """The model."""

    id: str = "scripted"
    provider: str | None = "Scripted"

    def invoke(self, messages: list[Any], **_: Any) -> ModelResponse:
        """An answer."""
        return answer(messages)

    async def ainvoke(self, messages: list[Any], **_: Any) -> ModelResponse:
        """An answer."""
        return answer(messages)

    def invoke_stream(self, messages: list[Any], **_: Any) -> Iterator[ModelResponse]:
        """An answer in one piece."""
        yield answer(messages)

    async def ainvoke_stream(self, messages: list[Any], **_: Any) -> AsyncIterator[ModelResponse]:
        """An answer in one piece."""
        yield answer(messages)

    def _parse_provider_response(self, response: Any, **_: Any) -> ModelResponse:
        raise NotImplementedError

    def _parse_provider_response_delta(self, response: Any) -> ModelResponse:
        raise NotImplementedError


def say(line: str) -> None:
    """Write one line."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"Sunny in {city}"


def agents(db: SqliteDb | None) -> tuple[Agent, Team]:
    """An agent, and a team with a member."""
    weather = Agent(id="weather-agent", name="Weather Agent", model=Scripted(), tools=[get_weather], telemetry=False)
    solo = Agent(id="solo-agent", name="Solo Agent", model=Scripted(), tools=[get_weather], db=db, telemetry=False)
    team = Team(id="demo-team", name="Demo Team", model=Scripted(), members=[weather], db=db, telemetry=False)
    return solo, team


def write(file: str) -> None:
    """Let Agno write sessions of an agent and of a team, and a memory, into a database."""
    db = SqliteDb(db_file=file)
    solo, team = agents(db)
    solo.run('[[TOOL get_weather {"city": "Paris"}]]', session_id="of-agent", user_id="ann")
    solo.run("And now?", session_id="of-agent", user_id="ann")
    team.run(
        "[[DELEGATE weather-agent: How is Oslo?]]", session_id="of-team", user_id="ann", session_state={"asked": 1}
    )
    MemoryManager(db=db).add_user_memory(UserMemory(memory="Likes tea", topics=["food"]), user_id="ann")


def serve() -> None:
    """Serve an AgentOS on a free port, whose address is printed."""
    import uvicorn

    solo, team = agents(None)
    app = AgentOS(id="shop", agents=[solo], teams=[team], telemetry=False).get_app()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        say(f"http://127.0.0.1:{listener.getsockname()[1]}")
        uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listener])


async def use(url: str) -> dict[str, Any]:
    """What teams and workflows answer that use a team of a server in different ways."""
    remote = RemoteTeam(base_url=url, team_id="demo-team")

    async def ask(question: str) -> str:
        """Ask the other team."""
        return str((await remote.arun(question)).content)

    async def ask_in_step(step_input: StepInput) -> StepOutput:
        return StepOutput(content=await ask(str(step_input.input)))

    def workflow(step: Step) -> Workflow:
        return Workflow(id="flow", name="Flow", steps=[step], telemetry=False)

    caller = Agent(id="caller", model=Scripted(), tools=[ask], telemetry=False)
    crew = Team(id="crew", model=Scripted(), members=[remote], telemetry=False)
    return {
        "tool": await outcome(caller, '[[TOOL ask {"question": "hello"}]]'),
        "function": await outcome(workflow(Step(name="ask", executor=ask_in_step)), "hello"),
        "member": await outcome(crew, "[[DELEGATE demo-team: hello]]"),
        "step": await outcome(workflow(Step(name="ask", team=remote, max_retries=0)), "hello"),
    }


async def outcome(component: Any, message: str) -> list[str]:
    """The status and the content of a run, or what it raises."""
    try:
        output = await component.arun(message)
    except Exception as error:  # noqa: BLE001 - the test judges
        return [type(error).__name__, str(error)]
    return [str(getattr(output.status, "value", output.status)), str(output.content)]


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "use":
        say(f"\n{json.dumps(asyncio.run(use(*arguments)))}")  # after whatever Agno itself prints
    elif command == "write":
        write(*arguments)
    else:
        serve()
