"""What old and new processes serve beside each other; MUSTERD_TEST_VERSION says which of the two it is.

The new one has an agent, a tool and other instructions that the old one has not; a tool and members of the old one are
gone in it, and a member that was a team is an agent. With MUSTERD_TEST_SCHEMA, a folder, it is also a program of a next
release, whose migration changes the schema.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models import ModelRequestParameters, StreamedResponse
from pydantic_ai.settings import ModelSettings

from musterd import Agent, Team, tool
from musterd.models.plain_messages import plain_messages
from tests.faults.house import CountingModel, count, mark, wait, wait_for
from tests.support.schemas import become_next_release

OLD_WAY, NEW_WAY = "the old way", "the new way"
IS_NEW = os.environ["MUSTERD_TEST_VERSION"] == "new"
if folder := os.environ.get("MUSTERD_TEST_SCHEMA"):
    become_next_release(Path(folder), setattr)


class TellingModel(CountingModel):
    """Notes what it is told before it is asked."""

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        (system,) = [one for one in plain_messages(messages, model_request_parameters) if one["role"] == "system"]
        offered = ",".join(sorted(definition.name for definition in model_request_parameters.function_tools))
        way = next(words for words in (OLD_WAY, NEW_WAY) if words in system["content"])
        count(f"told {way} and offered {offered}")
        async with super().request_stream(messages, model_settings, model_request_parameters, run_context) as stream:
            yield stream


@tool(retry_safe=True)
def gone(name: str) -> str:
    """Wait in a thread until the test says so; the new version has no such tool."""
    count(f"gone {name}")
    wait_for(name)
    return f"gone {name}"


@tool
def added() -> str:
    """Only the new version has this tool."""
    return "added"


solo = Agent(
    id="solo",
    model=TellingModel(),
    instructions=NEW_WAY if IS_NEW else OLD_WAY,
    tools=[mark, wait, added if IS_NEW else gone],
)
shrinking = Team(id="shrinking", model=CountingModel(), members=[] if IS_NEW else [Agent(id="deep", tools=[wait])])
nested = Team(
    id="nested",
    model=CountingModel(),
    members=[Agent(id="inner") if IS_NEW else Team(id="inner", members=[Agent(id="deep", tools=[wait])])],
)
if IS_NEW:
    later = Agent(id="later", model=CountingModel())
