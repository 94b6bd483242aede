"""What server processes serve in these tests: each model call and tool call adds a line to a file that survives."""

import os
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models import ModelRequestParameters, StreamedResponse
from pydantic_ai.settings import ModelSettings

from musterd import Agent, SchedulerTools, Team, ToolContext, tool
from musterd.models.plain_messages import plain_messages
from musterd.models.scripted import ScriptedModel

FOLDER = Path(os.environ["MUSTERD_TEST_FOLDER"])


def count(line: str) -> None:
    """Note something that happened."""
    with (FOLDER / "counts").open("a") as file:
        file.write(line + "\n")


def wait_for(name: str) -> None:
    """Say that somebody waits, and wait until the test makes the file."""
    (FOLDER / f"{name}.reached").touch()
    pause = threading.Event()
    while not (FOLDER / name).exists():
        pause.wait(0.005)


class CountingModel(ScriptedModel):
    """The scripted model; its calls are counted."""

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        conversation = plain_messages(messages, model_request_parameters)
        last_user = max(place for place, message in enumerate(conversation) if message["role"] == "user")
        turn = sum(message["role"] == "assistant" for message in conversation[last_user:])
        count(f"model {conversation[last_user]['content']} #{turn}")
        async with super().request_stream(messages, model_settings, model_request_parameters, run_context) as stream:
            yield stream


@tool(retry_safe=True)
def mark(n: int, context: ToolContext) -> str:
    """Mark a number; may be done again."""
    count(f"mark {n} {context.idempotency_key}")
    return f"marked {n}"


@tool
def hold(name: str) -> str:
    """Wait in a thread until the test says so."""
    count(f"hold {name}")
    wait_for(name)
    return f"held {name}"


@tool(retry_safe=True)
def wait(name: str) -> str:
    """Wait in a thread until the test says so; may be done again."""
    count(f"wait {name}")
    wait_for(name)
    return f"waited {name}"


@tool(retry_safe=True)
async def block(name: str) -> str:
    """Wait on the event loop itself, so that nothing else happens in the process."""
    count(f"block {name}")
    wait_for(name)
    return f"blocked {name}"


@tool(requires_confirmation=True)
def pay(n: int, context: ToolContext) -> str:
    """Pay, once a person agrees; must not be done twice."""
    count(f"pay {n} {context.idempotency_key}")
    return f"paid {n}"


tools = [pay, mark, hold, wait, block]
solo = Agent(id="solo", model=CountingModel(), tools=tools)
planner = Agent(id="planner", model=CountingModel(), tools=[SchedulerTools(requires_confirmation_tools=[])])
desk = Team(id="desk", model=CountingModel(), members=[Agent(id="helper", tools=tools)])
