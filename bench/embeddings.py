"""An embeddings endpoint with OpenAI's protocol, in a process of its own: both servers embed with it.

Its vectors are those of the builtin embedder, with length 1 and before they are rounded, so they carry meaning.

    with EmbeddingServer() as server:
        os.environ["BENCH_EMBEDDINGS_URL"] = server.base_url
"""

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self, cast

import httptools
import uvloop

from bench.servers import ROOT

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIGITS = 7


def vectors_of(texts: Sequence[str]) -> "NDArray[np.float32]":
    """The vectors that the endpoint returns for some texts."""
    import numpy as np

    from musterd.knowledge.static_embedder import mean_vectors

    rows = mean_vectors(texts)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-9))


def answer(request: dict[str, Any]) -> bytes:
    """The body of the answer to a request."""
    texts = [request["input"]] if isinstance(request["input"], str) else request["input"]
    is_base64 = request.get("encoding_format") == "base64"
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(row.tobytes()).decode() if is_base64 else row.round(DIGITS).tolist(),
        }
        for index, row in enumerate(vectors_of(texts).astype("<f4" if is_base64 else "<f8"))
    ]
    tokens = sum(len(text) for text in texts) // 4
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json.dumps({"object": "list", "data": data, "model": request["model"], "usage": usage}).encode()


class Connection(asyncio.Protocol):
    """One client's connection, kept open between calls."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.body = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, which calls the `on_…` methods."""
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        """Begin a request."""
        self.body.clear()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the request's body."""
        self.body += body

    def on_message_complete(self) -> None:
        """Answer the request."""
        body = answer(json.loads(self.body))
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)


async def serve() -> None:
    """Serve on a free port, print it, and end with the process that started this one."""
    vectors_of(["load the weights"])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    parent_is_gone = asyncio.Event()
    loop.add_reader(sys.stdin, parent_is_gone.set)
    await parent_is_gone.wait()


class EmbeddingServer:
    """Starts the endpoint and stops it at the end of the ``with`` block."""

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.embeddings"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.base_url = f"http://127.0.0.1:{int(self.process.stdout.readline())}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.communicate()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
