"""What our client sends is what the SDK sends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pydantic
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from openai import NOT_GIVEN, AsyncOpenAI, Omit, omit
from openai.types.chat import ChatCompletionMessage, ChatCompletionUserMessageParam
from pydantic_ai.messages import (
    BinaryContent,
    ImageUrl,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIChatModelSettings
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.tools import ToolDefinition

from musterd.core import trace_context
from musterd.core.settings import Settings
from musterd.models.openai_http import OpenAIClient, build_client, build_model

pytestmark = pytest.mark.usefixtures("loopback_models")

ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
}
STREAM = (
    b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m",'
    b'"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "default": 1}},
    "required": ["city"],
}
PIXEL = b"\x89PNG\r\n\x1a\n" + b"\0" * 8

Recorded = list[tuple[str, dict[str, str], Any]]


class Recorder:
    """A server that keeps what it is asked: path with query, headers, body."""

    def __init__(self) -> None:
        self.requests: Recorded = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append((request.path_qs, headers, body))
        if body.get("stream"):
            return web.Response(body=STREAM, content_type="text/event-stream")
        return web.json_response(ANSWER)


async def moved(request: web.Request) -> web.StreamResponse:
    await request.read()
    raise web.HTTPTemporaryRedirect("/v1/chat/completions")


@pytest.fixture
async def recorder() -> AsyncIterator[tuple[Recorder, str]]:
    recorder = Recorder()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", recorder.answer)
    app.router.add_post("/moved/chat/completions", moved)
    async with TestServer(app, host="127.0.0.1") as server:
        yield recorder, str(server.make_url("/v1"))


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Team: blue\nUser-Agent: ours")


async def both(
    recorder: tuple[Recorder, str], call: Callable[[AsyncOpenAI, bool], Awaitable[object]]
) -> tuple[tuple[str, dict[str, str], Any], tuple[str, dict[str, str], Any]]:
    """What the SDK and what our client send for the same call."""
    server, base_url = recorder
    stock = AsyncOpenAI(base_url=base_url, api_key="sk-1", max_retries=0)
    ours = build_client(base_url=base_url, api_key="sk-1", settings=Settings.model_validate({}))
    async with stock, ours:
        await call(stock, False)
        await call(ours, True)
    sdk, own = server.requests
    return sdk, own


def tool(name: str, **more: Any) -> ToolDefinition:
    return ToolDefinition(name=name, description=f"To {name}.", parameters_json_schema=SCHEMA, **more)


HELLO: list[ModelMessage] = [
    ModelRequest(parts=[SystemPromptPart("Be brief. 日本 \u2028"), UserPromptPart("hello ✓ \x7f")])
]
HISTORY: list[ModelMessage] = [
    *HELLO,
    ModelResponse(parts=[ThinkingPart("hm"), TextPart("a"), ToolCallPart("look", {"city": "Ü"}, "c1")]),
    ModelRequest(parts=[ToolReturnPart("look", {"found": [1, 2.5, None, True]}, "c1")]),
    ModelResponse(parts=[ToolCallPart("look", '{"city": "B"}', "c2"), ToolCallPart("list", None, "c3")]),
    ModelRequest(parts=[ToolReturnPart("look", "b", "c2"), ToolReturnPart("list", [], "c3")]),
    ModelRequest(parts=[UserPromptPart("and now?")]),
]
IMAGES: list[ModelMessage] = [
    ModelRequest(
        parts=[
            UserPromptPart(
                [
                    "what is it?",
                    BinaryContent(PIXEL, media_type="image/png"),
                    ImageUrl("https://example.test/x.png"),
                ]
            )
        ]
    )
]
NONE = ModelRequestParameters()
TOOLS = ModelRequestParameters(function_tools=[tool("look"), tool("list", strict=True)])
SHAPED = ModelRequestParameters(
    output_mode="native",
    output_object=OutputObjectDefinition(json_schema=SCHEMA, name="Trip", description="A trip.", strict=True),
    allow_text_output=False,
)
SETTINGS = OpenAIChatModelSettings(
    temperature=0.5,
    max_tokens=10,
    top_p=0.9,
    seed=7,
    stop_sequences=["x"],
    presence_penalty=0.1,
    frequency_penalty=0.2,
    logit_bias={"50": 1},
    parallel_tool_calls=False,
    tool_choice="required",
    openai_user="u",
    openai_logprobs=True,
    openai_store=False,
    openai_reasoning_effort="low",
    extra_body={"top_k": 4, "temperature": 0.25},
    extra_headers={"X-Extra": "1", "user-agent": "mine"},
    max_retries=2,
)
CASES: dict[str, tuple[list[ModelMessage], ModelRequestParameters, OpenAIChatModelSettings | None]] = {
    "system and user": (HELLO, NONE, None),
    "tools": (HELLO, TOOLS, None),
    "history with tool calls": (HISTORY, TOOLS, None),
    "one tool demanded": (HELLO, TOOLS, OpenAIChatModelSettings(tool_choice=["look"])),
    "json schema": (HELLO, SHAPED, None),
    "images": (IMAGES, NONE, None),
    "settings": (HISTORY, TOOLS, SETTINGS),
    "usage with every chunk": (HELLO, NONE, OpenAIChatModelSettings(openai_continuous_usage_stats=True)),
}


@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("case", CASES)
async def test_a_model_sends_the_same(recorder: tuple[Recorder, str], case: str, is_streamed: bool) -> None:
    messages, parameters, settings = CASES[case]

    async def call(client: AsyncOpenAI, is_ours: bool) -> None:
        model = (
            build_model("gpt-4o", client)
            if isinstance(client, OpenAIClient)
            else OpenAIChatModel("gpt-4o", provider=OpenAIProvider(openai_client=client))
        )
        for _ in range(1 + is_ours):  # a tool's schema is prepared at the first call and kept for the second
            if is_streamed:
                async with model.request_stream(messages, settings, parameters) as stream:
                    async for _ in stream:
                        pass
            else:
                await model.request(messages, settings, parameters)

    server, base_url = recorder
    stock = AsyncOpenAI(base_url=base_url, api_key="sk-1", max_retries=0)
    ours = build_client(base_url=base_url, api_key="sk-1", settings=Settings.model_validate({}))
    async with stock, ours:
        await call(stock, False)
        await call(ours, True)
    (path, _, body), *own = server.requests
    assert body["messages"]
    assert [(sent[0], sent[2]) for sent in own] == [(path, body), (path, body)]


class Place(pydantic.BaseModel):
    city: str
    days: int = 1


RAW: dict[str, dict[str, Any]] = {
    "absent values": {"temperature": NOT_GIVEN, "seed": omit, "user": None},
    "absent values inside": {"tool_choice": {"type": "function", "function": omit}, "stop": ("a", "b")},
    "a generator of messages": {"messages": ({"role": "user", "content": text} for text in ("a", "b"))},
    "pydantic values": {
        "messages": [ChatCompletionMessage(role="assistant", content="x")],
        "metadata": {"place": Place(city="B")},
    },
    "a query": {"extra_query": {"api-version": "2", "a": ["x", "y"]}},
    "extra body": {"extra_body": {"nested": {"a": [1, None]}, "model": "other", "seed": omit}},
}


@pytest.mark.parametrize("case", RAW)
async def test_create_sends_the_same(recorder: tuple[Recorder, str], case: str) -> None:
    options: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x"}], **RAW[case]}
    if case == "a generator of messages":
        texts = [{"role": "user", "content": text} for text in ("a", "b")]

        async def call(client: AsyncOpenAI, _: bool) -> object:
            return await client.chat.completions.create(**{**options, "messages": iter(texts)})
    else:

        async def call(client: AsyncOpenAI, _: bool) -> object:
            return await client.chat.completions.create(**options)

    sdk, own = await both(recorder, call)
    assert (own[0], own[2]) == (sdk[0], sdk[2])


@pytest.mark.usefixtures("environment")
async def test_the_headers_are_the_sdks(recorder: tuple[Recorder, str]) -> None:
    async def call(client: AsyncOpenAI, _: bool) -> object:
        headers: dict[str, str | Omit] = {"x-extra": "1", "Accept": Omit()}
        return await client.chat.completions.create(model="m", messages=[], extra_headers=headers)

    sdk, own = await both(recorder, call)
    transport = {"accept", "accept-encoding", "connection", "content-length", "host"}

    def own_headers(headers: dict[str, str]) -> dict[str, str]:
        return {k: v for k, v in headers.items() if k not in transport and not k.startswith("x-stainless-")}

    assert own_headers(own[1]) == own_headers(sdk[1])
    assert (
        own_headers(own[1]).items()
        >= {
            "authorization": "Bearer sk-1",
            "content-type": "application/json",
            "openai-organization": "org-1",
            "openai-project": "proj-1",
            "user-agent": "ours",
            "x-team": "blue",
            "x-extra": "1",
        }.items()
    )


async def test_a_request_carries_the_trace_that_it_is_of(recorder: tuple[Recorder, str]) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    client = build_client(base_url=recorder[1], api_key="x", settings=Settings.model_validate({}))
    async with client:
        await client.chat.completions.create(model="m", messages=[])
        token = trace_context.outgoing.set(traceparent)
        await client.chat.completions.create(model="m", messages=[])
        trace_context.outgoing.reset(token)
    assert [headers.get("traceparent") for _, headers, _ in recorder[0].requests] == [None, traceparent]


async def test_a_number_that_json_lacks_is_refused(recorder: tuple[Recorder, str]) -> None:
    client = build_client(base_url=recorder[1], api_key="x", settings=Settings.model_validate({}))
    async with client:
        with pytest.raises(ValueError, match="JSON"):
            await client.chat.completions.create(model="m", messages=[], temperature=float("nan"))
    assert recorder[0].requests == []


async def test_the_sdk_does_the_rest(recorder: tuple[Recorder, str]) -> None:
    client = build_client(base_url=recorder[1], api_key="x", settings=Settings.model_validate({}))
    async with client:
        raw = await client.chat.completions.with_raw_response.create(model="m", messages=[])
        assert raw.status_code == 200
        assert raw.parse().choices[0].message.content == "hi"
        copied = client.with_options(max_retries=3)
        assert type(copied) is OpenAIClient
        whole = await copied.chat.completions.create(model="m", messages=[])
        assert whole.choices[0].message.content == "hi"
    assert [headers["authorization"] for _, headers, _ in recorder[0].requests] == ["Bearer x"] * 2


async def test_a_changed_key_and_url_are_used(recorder: tuple[Recorder, str]) -> None:
    client = build_client(base_url="http://127.0.0.1:9/v1", api_key="x", settings=Settings.model_validate({}))
    async with client:
        client.base_url = recorder[1]
        client.api_key = "y"
        await asyncio.gather(
            *(client.chat.completions.create(model="m", messages=[]) for _ in range(3)),
        )
    assert {headers["authorization"] for _, headers, _ in recorder[0].requests} == {"Bearer y"}


async def test_the_user_and_password_of_an_address_are_sent(recorder: tuple[Recorder, str]) -> None:
    recorded, url = recorder
    url = url.replace("://", "://me:hush@")
    ours = build_client(base_url=url, api_key="k", settings=Settings.model_validate({}))
    async with AsyncOpenAI(base_url=url, api_key="k") as theirs, ours:
        for client in (theirs, ours):
            await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])
    assert [headers["authorization"] for _, headers, _ in recorded.requests] == ["Basic bWU6aHVzaA=="] * 2


async def test_a_redirected_call_is_sent_whole_to_where_it_is_redirected(recorder: tuple[Recorder, str]) -> None:
    server, base_url = recorder
    message: ChatCompletionUserMessageParam = {"role": "user", "content": "hello ✓"}
    async with build_client(
        base_url=base_url.replace("/v1", "/moved"), api_key="sk-1", settings=Settings.model_validate({})
    ) as client:
        await client.chat.completions.create(model="m", messages=[message])
    assert [(path, body) for path, _, body in server.requests] == [
        ("/v1/chat/completions", {"messages": [message], "model": "m"})
    ]
