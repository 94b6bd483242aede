"""Each way a call can fail is one of the SDK's exceptions, and none leaves a connection or a task behind."""

import asyncio
import contextlib
import gc
import json
import shutil
import ssl
import subprocess
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from pydantic_ai.exceptions import ModelConnectionError, ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart
from pydantic_ai.models import ModelRequestParameters

from musterd.core.errors import DeclarationError, ModelFailed
from musterd.core.settings import Settings
from musterd.models.call import ModelCaller
from musterd.models.openai_http import OpenAIClient, build_client, build_model
from tests.support.endless_server import endless

pytestmark = pytest.mark.usefixtures("loopback_models")

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

QUESTION: list[ModelMessage] = [ModelRequest(parts=[UserPromptPart("x")])]
OK = b"HTTP/1.1 200 OK\r\n"
SSE = OK + b"content-type: text/event-stream\r\n"
CHUNK = (
    b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{"content":"hi"},"finish_reason":%s}]}\n\n'
)
TEXT, LAST = CHUNK % b"null", CHUNK % b'"stop"'


class Wire:
    """A server that answers with the bytes it is given, then closes, or waits until the client is gone."""

    def __init__(self, answer: bytes, *, then_waits: bool = False) -> None:
        self.answer, self.then_waits = answer, then_waits
        self.request_count = 0
        self.lines: list[bytes] = []
        self.client_is_gone = asyncio.Event()
        self.has_request = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.lines = head.split(b"\r\n")
            size = next(int(line[15:]) for line in self.lines if line.lower().startswith(b"content-length:"))
            await reader.readexactly(size)
        # On a busy machine a client may give up before it has sent its request.
        except (asyncio.IncompleteReadError, ConnectionError):
            self.client_is_gone.set()
            writer.close()
            return
        self.request_count += 1
        self.has_request.set()
        writer.write(self.answer)
        if self.then_waits:
            with contextlib.suppress(ConnectionError):  # a reset, if the client left before it read all of the answer
                await reader.read()
            self.client_is_gone.set()
        writer.close()


@asynccontextmanager
async def wire(
    answer: bytes, *, then_waits: bool = False, tls: ssl.SSLContext | None = None, **settings: Any
) -> AsyncIterator[tuple[Wire, OpenAIClient]]:
    served = Wire(answer, then_waits=then_waits)
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    scheme = "http" if tls is None else "https"
    limits, base_url = Settings.model_validate(settings), f"{scheme}://127.0.0.1:{port}/v1"
    async with build_client(base_url=base_url, api_key="sk-secret", settings=limits) as client:
        yield served, client
    server.close()


def response(status: int, body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 %d Status" % status, b"content-length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def whole(client: AsyncOpenAI) -> object:
    return await client.chat.completions.create(model="m", messages=[])


async def streamed(client: AsyncOpenAI, timeout: openai.Timeout | openai.NotGiven = openai.NOT_GIVEN) -> list[str]:  # noqa: ASYNC109 - the SDK's parameter
    stream = await client.chat.completions.create(model="m", messages=[], stream=True, timeout=timeout)
    async with stream:
        return [chunk.choices[0].delta.content or "" async for chunk in stream]


async def responses(client: AsyncOpenAI) -> object:
    return await client.responses.create(model="m", input="x")


@pytest.mark.parametrize("call", [whole, streamed, responses])
@pytest.mark.parametrize("kind", ["interim responses", "one chunk extension"])
async def test_a_provider_whose_answer_has_no_end_is_hung_up_on(
    kind: str, call: Callable[[AsyncOpenAI], Awaitable[object]]
) -> None:
    async with endless(kind) as (url, is_left):
        async with build_client(base_url=url, api_key="x", settings=Settings()) as client:
            with pytest.raises(openai.APIConnectionError):
                await call(client)
        await is_left.wait()


STATUSES = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    408: openai.APIStatusError,
    409: openai.ConflictError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    503: openai.InternalServerError,
}
BODIES = {
    "an error": b'{"error": {"message": "no", "type": "t", "code": "c", "param": "p"}}',
    "a message": b'{"message": "no"}',
    "text": b" <html>no</html> ",
    "nothing": b"",
}


@pytest.mark.parametrize("call", [whole, streamed])
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("status", STATUSES)
async def test_a_status_is_the_sdks_exception(
    status: int, body: str, call: Callable[[AsyncOpenAI], Awaitable[object]]
) -> None:
    raised = []
    answer = response(status, BODIES[body], b"retry-after: 7", b"x-request-id: r1")
    async with wire(answer) as (served, client):
        stock = AsyncOpenAI(base_url=client.base_url, api_key="x", max_retries=0)
        async with stock:
            for one in (client, stock):
                with pytest.raises(openai.APIStatusError) as caught:
                    await call(one)
                raised.append(caught.value)
        assert served.request_count == 2
    ours, theirs = raised
    assert type(ours) is type(theirs) is STATUSES[status]
    lines = [
        (error.message, str(error), error.body, error.code, error.type, error.status_code, error.request_id)
        for error in raised
    ]
    assert lines[0] == lines[1]
    assert ours.response.headers["retry-after"] == "7"
    assert ours.response.text == theirs.response.text
    assert "sk-secret" not in repr(vars(ours)) + repr(dict(ours.request.headers))


async def test_retry_after_reaches_pydantic_ai() -> None:
    async with wire(response(429, BODIES["an error"], b"retry-after: 7")) as (_, client):
        model = build_model("m", client)
        with pytest.raises(ModelHTTPError) as caught:
            async with model.request_stream(QUESTION, None, ModelRequestParameters()):
                pytest.fail("an error status opens no stream")
    assert (caught.value.status_code, caught.value.retry_after) == (429, 7.0)


async def test_a_status_survives_a_body_that_is_cut() -> None:
    answer = b"HTTP/1.1 503 Busy\r\ncontent-length: 100\r\n\r\n{"
    async with wire(answer) as (_, client):
        with pytest.raises(openai.InternalServerError, match="503"):
            await whole(client)


UNREADABLE = {
    "not JSON": response(200, b"<html>"),
    "not an object": response(200, b"[1]"),
    "cut": OK + b"content-type: application/json\r\ncontent-length: 100\r\n\r\n{",
    "nothing": b"",
    "not HTTP": b"hello\r\n\r\n",
}


@pytest.mark.parametrize("case", UNREADABLE)
async def test_an_answer_that_cannot_be_read_may_be_tried_again(case: str) -> None:
    async with wire(UNREADABLE[case]) as (_, client):
        with pytest.raises(openai.APIConnectionError):
            await whole(client)


async def test_an_error_in_a_good_answer_is_an_error() -> None:
    async with wire(response(200, BODIES["an error"])) as (_, client):
        with pytest.raises(openai.APIError, match="no") as caught:
            await whole(client)
    assert caught.value.code == "c"


CUT = {
    "before any chunk": SSE + b"\r\n",
    "after a chunk": SSE + b"\r\n" + TEXT,
    "inside a chunk": SSE + b"\r\n" + TEXT + LAST[:50],
    "inside the encoding": SSE + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(TEXT), TEXT),
    "not JSON": SSE + b"\r\n" + TEXT + b"data: <html>\n\n" + LAST,
    "not an object": SSE + b"\r\n" + TEXT + b"data: 7\n\n" + LAST,
    "no stream": response(200, b'{"id": "c1", "choices": []}', b"content-type: application/json"),
    "no stream, no JSON": response(200, b"<html>", b"content-type: text/html"),
}


@pytest.mark.parametrize("case", CUT)
async def test_a_stream_that_is_cut_is_an_error(case: str) -> None:
    async with wire(CUT[case]) as (_, client):
        with pytest.raises(openai.APIConnectionError):
            await streamed(client)


async def test_what_came_before_the_cut_is_given_out() -> None:
    async with wire(SSE + b"\r\n" + TEXT) as (_, client):
        stream = await client.chat.completions.create(model="m", messages=[], stream=True)
        assert (await anext(stream)).choices[0].delta.content == "hi"
        with pytest.raises(openai.APIConnectionError, match="ended before it was complete"):
            await anext(stream)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


@pytest.mark.parametrize("tail", [LAST, TEXT + b"data: [DONE]\n\n", TEXT + b"data: [DONE]", LAST.rstrip()])
async def test_a_finish_reason_or_done_ends_a_stream(tail: bytes) -> None:
    async with wire(SSE + b"\r\n" + TEXT + tail) as (_, client):
        assert "".join(await streamed(client)) == "hi" + "hi" * tail.count(b"content")


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"error": {"message": "too busy", "code": 529, "type": "overloaded"}}\n\n',
        b'event: error\ndata: {"message": "too busy", "code": "529", "type": "overloaded"}\n\n',
    ],
)
async def test_an_error_event_is_an_error(event: bytes) -> None:
    async with wire(SSE + b"\r\n" + TEXT + event) as (_, client):
        stream = await client.chat.completions.create(model="m", messages=[], stream=True)
        assert (await anext(stream)).choices[0].delta.content == "hi"
        with pytest.raises(openai.APIError) as caught:
            await anext(stream)
    assert type(caught.value) is openai.APIError
    assert (caught.value.message, caught.value.code, caught.value.type) == ("too busy", "529", "overloaded")


async def test_nobody_listens() -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    client = build_client(base_url=f"http://127.0.0.1:{port}/v1", api_key="x", settings=Settings.model_validate({}))
    async with client:
        with pytest.raises(openai.APIConnectionError, match=r"^Connection error\.$"):
            await whole(client)


@pytest.mark.parametrize("answer", [b"", SSE + b"\r\n", SSE + b"\r\n" + TEXT], ids=["no head", "no body", "no more"])
async def test_silence_is_a_timeout(answer: bytes) -> None:
    async with wire(answer, then_waits=True) as (served, client):
        with pytest.raises(openai.APITimeoutError, match="timed out"):
            await streamed(client, timeout=openai.Timeout(5, read=0.01))
        await served.client_is_gone.wait()


@pytest.mark.parametrize("answer", [b"", SSE + b"\r\n" + TEXT], ids=["before the head", "in the stream"])
async def test_the_settings_limit_silence_through_the_caller(answer: bytes) -> None:
    limits = {"model_first_byte_seconds": 0.05, "model_chunk_seconds": 0.05, "model_tries": 1}
    settings = Settings.model_validate(limits)
    async with wire(answer, then_waits=True) as (served, client):
        call = ModelCaller(settings).stream(
            build_model("m", client),
            QUESTION,
            ModelRequestParameters(),
            None,
            on_text=lambda *_: None,
            on_retry=lambda *_: None,
        )
        with pytest.raises(ModelFailed, match=r"for 0\.05 s$"):
            await call
        await served.client_is_gone.wait()


async def test_a_calls_own_timeout_comes_first() -> None:
    async with wire(b"", then_waits=True) as (_, client):
        with pytest.raises(openai.APITimeoutError):
            await client.chat.completions.create(model="m", messages=[], timeout=0.01)
        with pytest.raises(openai.APITimeoutError):
            await client.chat.completions.create(model="m", messages=[], timeout=openai.Timeout(5, read=0.01))


@pytest.mark.parametrize("answer", [b"", SSE + b"\r\n" + TEXT], ids=["before the head", "in the stream"])
async def test_cancelling_closes_the_connection(answer: bytes) -> None:
    async with wire(answer, then_waits=True) as (served, client):
        task = asyncio.create_task(streamed(client))
        await served.has_request.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await served.client_is_gone.wait()


async def test_leaving_a_stream_closes_the_connection() -> None:
    async with wire(SSE + b"\r\n" + TEXT, then_waits=True) as (served, client):
        stream = await client.chat.completions.create(model="m", messages=[], stream=True)
        async with stream:
            await anext(stream)
        await served.client_is_gone.wait()
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_closing_a_stream_ends_who_waits_for_it() -> None:
    async with wire(SSE + b"\r\n" + TEXT, then_waits=True) as (served, client):
        model = build_model("m", client)
        async with model.request_stream(QUESTION, None, ModelRequestParameters()) as stream:
            got = asyncio.Event()

            async def read() -> None:
                async for _ in stream:
                    got.set()

            reading = asyncio.create_task(read())
            await got.wait()
            await stream.cancel()
            await reading
            assert stream.get().state == "interrupted"
        await served.client_is_gone.wait()


async def test_a_cut_stream_is_a_connection_error_to_pydantic_ai() -> None:
    async with wire(SSE + b"\r\n" + TEXT) as (_, client):
        model = build_model("m", client)
        async with model.request_stream(QUESTION, None, ModelRequestParameters()) as stream:
            with pytest.raises(ModelConnectionError):
                async for _ in stream:
                    pass


async def test_a_closed_client_calls_nobody() -> None:
    async with wire(SSE + b"\r\n" + LAST) as (served, client):
        await client.close()
        with pytest.raises(RuntimeError, match="closed"):
            await whole(client)
        assert served.request_count == 0


def test_one_client_serves_many_loops_and_leaves_nothing() -> None:
    clients: list[OpenAIClient] = []

    async def once(closes: bool) -> None:
        served = Wire(SSE + b"\r\n" + LAST)
        server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
        base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        if not clients:
            clients.append(build_client(base_url=base_url, api_key="x", settings=Settings.model_validate({})))
        clients[0].base_url = base_url
        for _ in range(2):
            assert await streamed(clients[0]) == ["hi"]
        if closes:
            await clients[0].close()
        server.close()

    gc.collect()  # what earlier tests left unclosed is not this one's failure
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for closes in (False, False, True):
            asyncio.run(once(closes))
        clients.clear()
        gc.collect()


async def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    served = Wire(response(200, json.dumps({"id": "c1", "choices": []}).encode()))
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    monkeypatch.setenv("http_proxy", f"http://u:p@127.0.0.1:{server.sockets[0].getsockname()[1]}")
    settings = Settings.model_validate({})
    async with build_client(base_url="http://api.invalid/v1", api_key="x", settings=settings) as client:
        await whole(client)
    server.close()
    assert served.lines[0] == b"POST http://api.invalid/v1/chat/completions HTTP/1.1"
    assert b"Proxy-Authorization: Basic dTpw" in served.lines


async def test_no_proxy_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    async with wire(SSE + b"\r\n" + LAST) as (_, client):
        assert await streamed(client) == ["hi"]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    bundle = tmp_path_factory.mktemp("tls") / "both.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    command += f" -subj /CN=here -addext subjectAltName=IP:127.0.0.1 -keyout {bundle} -out {bundle}.crt"
    subprocess.run(command.split(), check=True, capture_output=True)
    bundle.write_bytes(bundle.read_bytes() + Path(f"{bundle}.crt").read_bytes())
    return bundle


@pytest.mark.parametrize("trust", ["none", "SSL_CERT_FILE", "all"])
async def test_certificates_are_checked(certificate: Path, monkeypatch: pytest.MonkeyPatch, trust: str) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    if trust == "SSL_CERT_FILE":
        monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the server's half of a refusal
    async with wire(SSE + b"\r\n" + LAST, tls=tls, tls_verify=trust != "all") as (_, client):
        if trust == "none":
            with pytest.raises(openai.APIConnectionError):
                await streamed(client)
        else:
            assert await streamed(client) == ["hi"]


def test_a_proxy_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:9")
    with pytest.raises(DeclarationError, match="socks5"):
        build_client(base_url="http://api.invalid/v1", api_key="x", settings=Settings.model_validate({}))
