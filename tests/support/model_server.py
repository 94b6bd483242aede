"""A fast scripted model with OpenAI's chat completions protocol, in a process of its own.

The directives of :mod:`musterd.models.scripted_plan` in the last user message determine the answer; other messages are
echoed. In addition to the protocol it reports its calls: ``GET /count``, ``GET /open`` (calls without an answer yet),
``GET /calls`` (when each arrived), ``POST /reset``.

    with ModelServer() as server:
        os.environ["OPENAI_BASE_URL"] = server.base_url
"""

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self, cast

import httptools
import uvloop

from musterd.core import clock
from musterd.models.scripted_plan import INPUT_TOKENS, OUTPUT_TOKENS, Plan, plan
from musterd.models.scripted_tasks import has_task_list

ROOT = Path(__file__).resolve().parents[2]
USAGE = {
    "prompt_tokens": INPUT_TOKENS,
    "completion_tokens": OUTPUT_TOKENS,
    "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
}
YIELD_EVERY_CHUNKS = 20  # of a long answer, so that other calls get their turn


def plain(content: object) -> str:
    """Return a message's text, whichever of the protocol's two forms it has."""
    if isinstance(content, list):
        return "".join(cast(str, part.get("text", "")) for part in content)
    return "" if content is None else str(content)


def conversation(messages: list[dict[str, Any]]) -> tuple[str, int]:
    """Return the last user message's text and how many tool results came since."""
    last = max((n for n, message in enumerate(messages) if message["role"] == "user"), default=-1)
    text = plain(messages[last]["content"]) if last >= 0 else ""
    return text, sum(message["role"] == "tool" for message in messages[last + 1 :])


class Tally:
    """The calls that the server has received."""

    def __init__(self) -> None:
        self.open = 0
        self.reset()

    def reset(self) -> None:
        """Reset the counts; open calls stay open."""
        self.total = 0
        self.peak = self.open
        self.by_text: Counter[str] = Counter()
        self.by_turn: Counter[str] = Counter()
        self.calls: list[tuple[float, str]] = []

    def begin(self, text: str, turn: int) -> int:
        """Count one call; return its number."""
        self.total += 1
        self.open += 1
        self.peak = max(self.peak, self.open)
        self.by_text[text] += 1
        self.by_turn[f"{text}#{turn}"] += 1
        self.calls.append((clock.monotonic(), f"{text}#{turn}"))
        return self.total

    def report(self) -> dict[str, Any]:
        """Return the counts, with texts in the order of their first call."""
        return {
            "total": self.total,
            "open": self.open,
            "peak": self.peak,
            "by_text": self.by_text,
            "by_turn": self.by_turn,
        }


class Answer:
    """One call's answer, as the protocol writes it."""

    def __init__(self, number: int, model: str, planned: Plan) -> None:
        self.planned = planned
        self.head = {"id": f"chatcmpl-{number}", "created": int(clock.now()), "model": model}
        self.calls: list[dict[str, Any]] = [
            {
                "id": f"call_{number}_{n}",
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.args)},
            }
            for n, call in enumerate(planned.calls)
        ]
        self.finish = "tool_calls" if self.calls else "stop"

    def whole(self) -> bytes:
        """Return the answer of a call that does not stream."""
        message: dict[str, Any] = {"role": "assistant", "content": self.planned.text or None}
        if self.calls:
            message["tool_calls"] = self.calls
        choice = {"index": 0, "message": message, "finish_reason": self.finish}
        body = {**self.head, "object": "chat.completion", "choices": [choice], "usage": USAGE}
        return json.dumps(body).encode()

    def refusal(self) -> bytes:
        """Return the body of an error."""
        error = {"message": self.planned.error_message, "type": "scripted", "code": None}
        return json.dumps({"error": error}).encode()

    def deltas(self) -> Iterator[dict[str, Any]]:
        """Yield what each chunk adds: words one by one, a tool call's name before its arguments."""
        yield {"role": "assistant", "content": ""}
        for word in self.planned.pieces:
            yield {"content": word}
        for index, call in enumerate(self.calls):
            name, arguments = call["function"].values()
            yield {"tool_calls": [{**call, "index": index, "function": {"name": name, "arguments": ""}}]}
            yield {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}

    def chunks(self, with_usage: bool) -> Iterator[bytes]:
        """Yield the events of a call that streams."""
        opening = json.dumps({**self.head, "object": "chat.completion.chunk"})[:-1]
        for delta in self.deltas():
            choice = f'"choices": [{{"index": 0, "delta": {json.dumps(delta)}, "finish_reason": null}}]'
            yield f"data: {opening}, {choice}}}\n\n".encode()
        choice = f'"choices": [{{"index": 0, "delta": {{}}, "finish_reason": "{self.finish}"}}]'
        yield f"data: {opening}, {choice}}}\n\n".encode()
        if with_usage:
            yield f'data: {opening}, "choices": [], "usage": {json.dumps(USAGE)}}}\n\n'.encode()
        yield b"data: [DONE]\n\n"


class Connection(asyncio.Protocol):
    """One client's connection, kept open between calls."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.parser = httptools.HttpRequestParser(self)
        self.target, self.body = b"", bytearray()
        self.answering: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, which calls the `on_…` methods."""
        self.parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Abandon the call, because its caller has disconnected."""
        if self.answering is not None:
            self.answering.cancel()

    def on_url(self, url: bytes) -> None:
        """Begin a request."""
        self.target = url
        self.body.clear()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the request's body."""
        self.body += body

    def on_message_complete(self) -> None:
        """Answer the request, at once if nothing has to be awaited."""
        match self.parser.get_method(), self.target:
            case b"POST", b"/v1/chat/completions":
                self.answering = asyncio.create_task(self.chat(json.loads(self.body)))
                self.answering.add_done_callback(self.hang_up_on_failure)
            case b"GET", b"/count":
                self.reply(json.dumps(self.tally.report()).encode())
            case b"GET", b"/open":
                self.reply(json.dumps({"open": self.tally.open, "total": self.tally.total}).encode())
            case b"GET", b"/calls":
                self.reply(json.dumps({"calls": self.tally.calls}).encode())
            case b"POST", b"/reset":
                self.tally.reset()
                self.reply(b"{}")
            case _:
                self.reply(b'{"error": {"message": "no such thing here"}}', 404)

    def reply(self, body: bytes, status: int = 200) -> None:
        """Write a whole JSON answer."""
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)

    async def chat(self, request: dict[str, Any]) -> None:
        """Answer one chat completion, counted as open until it is answered or its caller is gone."""
        text, turn = conversation(request["messages"])
        tools = request.get("tools") or []
        keeps_list = has_task_list([tool["function"]["name"] for tool in tools])
        planned = plan(request["messages"], tools if keeps_list else [])  # else it does nothing of its own accord
        number = self.tally.begin(text, turn)
        try:
            if planned.sleep_seconds:
                await clock.sleep(planned.sleep_seconds)
            answer = Answer(number, request["model"], planned)
            if planned.error_status:
                self.reply(answer.refusal(), planned.error_status)
            elif request.get("stream"):
                options = request.get("stream_options") or {}
                await self.stream(answer, bool(options.get("include_usage")))
            else:
                self.reply(answer.whole())
        finally:
            self.tally.open -= 1

    def hang_up_on_failure(self, answering: asyncio.Task[None]) -> None:
        """Close the connection if the answer failed."""
        failure = None if answering.cancelled() else answering.exception()
        if failure is not None:
            asyncio.get_running_loop().call_exception_handler({"message": "no answer", "exception": failure})
            self.transport.abort()

    async def stream(self, answer: Answer, with_usage: bool) -> None:
        """Write a streamed answer, a chunk for each event."""
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        self.transport.write(head)
        for number, event in enumerate(answer.chunks(with_usage)):
            self.transport.write(b"%x\r\n%b\r\n" % (len(event), event))
            if answer.planned.word_seconds or number % YIELD_EVERY_CHUNKS == YIELD_EVERY_CHUNKS - 1:
                await clock.sleep(answer.planned.word_seconds)
        self.transport.write(b"0\r\n\r\n")


async def serve() -> None:
    """Serve on a free port, print it, and end with the process that started this one."""
    loop = asyncio.get_running_loop()
    tally = Tally()
    server = await loop.create_server(lambda: Connection(tally), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - the port is what the starter waits for
    parent_is_gone = asyncio.Event()
    loop.add_reader(sys.stdin, parent_is_gone.set)
    await parent_is_gone.wait()


class ModelServer:
    """Starts the server in a process of its own and stops it at the end of the ``with`` block."""

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.model_server"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.origin = f"http://127.0.0.1:{int(self.process.stdout.readline())}"
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.communicate()

    @property
    def base_url(self) -> str:
        """The value for ``OPENAI_BASE_URL``."""
        return f"{self.origin}/v1"

    def count(self, text: str | None = None) -> int:
        """Return how many calls came, of all or with that user text."""
        report = self.report()
        return int(report["total"] if text is None else report["by_text"].get(text, 0))

    def report(self) -> dict[str, Any]:
        """Return all counts of the server."""
        return self._ask("GET", "/count")

    def open_calls(self) -> int:
        """Return how many calls are not yet answered."""
        return int(self._ask("GET", "/open")["open"])

    def calls(self) -> list[tuple[float, str]]:
        """Return when each call came, by the machine's monotonic clock, with its user text and tool results."""
        return [(at, what) for at, what in self._ask("GET", "/calls")["calls"]]

    def reset(self) -> None:
        """Reset the counts."""
        self._ask("POST", "/reset")

    def _ask(self, method: str, path: str) -> dict[str, Any]:
        request = urllib.request.Request(self.origin + path, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return cast(dict[str, Any], json.load(answer))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
