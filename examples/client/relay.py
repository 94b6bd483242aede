"""Relay the events of runs to browsers: ws://127.0.0.1:8765/RUN has all of them, …/RUN?after=12 the later ones.

python examples/client/relay.py 8765
"""

import asyncio
import contextlib
import json
import math
import sys
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve

from musterd import AsyncClient
from musterd.client import ClientError, NotFound


async def relay(client: AsyncClient, socket: ServerConnection) -> None:
    assert socket.request is not None
    url = urlsplit(socket.request.path)
    after = int(parse_qs(url.query).get("after", ["-1"])[0])
    try:
        async with contextlib.aclosing(client.stream(url.path.strip("/"), after=after, through_pauses=True)) as events:
            async for event in events:
                await socket.send(json.dumps(event.raw))
        await socket.close()
    except NotFound:
        await socket.close(4404, "There is no such run")
    except ClientError as error:
        print(error, file=sys.stderr)
        await socket.close(1011, "The run cannot be followed")


async def main(port: int) -> None:
    async with AsyncClient(retry_seconds=math.inf) as client:

        async def handle(socket: ServerConnection) -> None:
            relaying = asyncio.create_task(relay(client, socket))
            await socket.wait_closed()  # a browser may leave while the run is silent
            relaying.cancel()

        async with serve(handle, "127.0.0.1", port) as server:
            print(server.sockets[0].getsockname()[1], flush=True)
            await server.serve_forever()


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main(int(sys.argv[1])))
