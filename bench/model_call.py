"""CPU of one model call with the SDK and with musterd: ``python -m bench.model_call [calls]``.

The model is the scripted server of the tests, in a process of its own. The measurement counts the CPU of this process
from pydantic-ai's ``request_stream`` to the complete answer. Each figure is the best of three rounds. ``stock`` is
pydantic-ai with the SDK, ``client`` is pydantic-ai with our client, and ``ours`` is our model with our client.

The latest figures are in docs/decisions/002-openai-requests-over-aiohttp.md.
"""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable

from openai import AsyncOpenAI
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.tools import ToolDefinition

from musterd.core.settings import Settings
from musterd.models.openai_http import build_client, build_model
from tests.support.model_server import ModelServer

ROUNDS = 3
SYSTEM = SystemPromptPart("You lead a team and answer briefly. " * 10)


def short() -> list[ModelMessage]:
    """One question and no history."""
    return [ModelRequest(parts=[SYSTEM, UserPromptPart("hello")])]


def turns(count: int) -> list[ModelMessage]:
    """A history of questions, tool calls and answers before a question."""
    messages: list[ModelMessage] = [ModelRequest(parts=[SYSTEM, UserPromptPart("hello")])]
    for n in range(count):
        call = ToolCallPart("search", {"query": f"thing {n}", "limit": 5}, tool_call_id=f"call_{n}")
        result = ToolReturnPart("search", {"found": [f"a {n}", f"b {n}"]}, tool_call_id=f"call_{n}")
        messages += [ModelResponse(parts=[TextPart(f"I look for thing {n}."), call])]
        messages += [ModelRequest(parts=[result]), ModelResponse(parts=[TextPart(f"There are two of {n}.")])]
        messages += [ModelRequest(parts=[UserPromptPart(f"And what about the next, number {n}?")])]
    return messages


def tools(count: int) -> ModelRequestParameters:
    """Tools with a few parameters each."""
    schema = {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "What to look for."},
            "limit": {"type": "integer", "description": "How many.", "default": 10},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["query"],
        "additionalProperties": False,
    }
    names = ["search", "read", "write", "ask"][:count]
    return ModelRequestParameters(
        function_tools=[
            ToolDefinition(name=name, description=f"To {name}.", parameters_json_schema=schema) for name in names
        ]
    )


async def streamed(model: Model, messages: list[ModelMessage], parameters: ModelRequestParameters) -> None:
    """One call, read to its end."""
    async with model.request_stream(messages, None, parameters) as stream:
        async for _ in stream:
            pass
        stream.get()


async def milliseconds(call: Callable[[], Awaitable[object]], calls: int) -> float:
    """CPU of one call."""
    for _ in range(max(3, calls // 10)):
        await call()
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(calls):
            await call()
        best = min(best, (time.process_time() - started) / calls * 1000)
    return best


async def main(base_url: str, calls: int) -> None:
    """Print a line for each kind of call."""
    settings = Settings.model_validate({})
    sdk = AsyncOpenAI(base_url=base_url, api_key="x", max_retries=0)
    ours = build_client(base_url=base_url, api_key="x", settings=settings)
    models: dict[str, Model] = {
        "stock": OpenAIChatModel("m", provider=OpenAIProvider(openai_client=sdk)),
        "client": OpenAIChatModel("m", provider=OpenAIProvider(openai_client=ours)),
        "ours": build_model("m", ours),
    }
    long: list[ModelMessage] = [ModelRequest(parts=[SYSTEM, UserPromptPart("[[WORDS 2000]]")])]
    slow: list[ModelMessage] = [ModelRequest(parts=[SYSTEM, UserPromptPart("[[WORDS 300 1]]")])]
    none = ModelRequestParameters()
    history, four = turns(20), tools(4)
    cases: dict[str, tuple[Callable[[Model], Awaitable[object]], int]] = {
        "short, streamed": (lambda m: streamed(m, short(), none), calls),
        "short, whole": (lambda m: m.request(short(), None, none), calls),
        "20 turns, 4 tools": (lambda m: streamed(m, history, four), calls // 2),
        "2,000 words": (lambda m: streamed(m, long, none), max(3, calls // 100)),
        "300 words, 1 ms apart": (lambda m: streamed(m, slow, none), max(3, calls // 200)),
    }
    print(f"{'ms of CPU a call':24}" + "".join(f"{name:>9}" for name in models))
    for case, (call, times) in cases.items():
        figures = [await milliseconds(lambda m=model, c=call: c(m), times) for model in models.values()]  # type: ignore[misc]
        print(f"{case:24}" + "".join(f"{figure:9.2f}" for figure in figures))
    await ours.close()
    await sdk.close()


if __name__ == "__main__":
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        os.environ.pop(name, None)
        os.environ.pop(name.upper(), None)
    with ModelServer() as server:
        asyncio.run(main(server.base_url, int(sys.argv[1]) if len(sys.argv) > 1 else 400))
