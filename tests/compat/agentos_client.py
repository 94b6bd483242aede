"""Drives AgentOSClient in the clients' environment (tests/support/client_drivers.py says how it is asked).

What the client gives is shown with its types: objects of its classes are JSON objects with ``$type``. Arguments of its
own types are written the same way.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import datetime
import enum
import inspect
import json
import logging
import sys
import threading
from typing import TYPE_CHECKING, Any

import httpx
from agno.agent import RemoteAgent
from agno.client import AgentOSClient
from agno.db.base import SessionType
from agno.media import File, Image
from agno.models.response import ToolExecution
from agno.os import AgentOS
from agno.os.routers.traces.schemas import TraceSearchGroupBy
from agno.team import RemoteTeam
from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterable

TAKEN: dict[str, Any] = {
    "SessionType": lambda value: SessionType(value["value"]),
    "TraceSearchGroupBy": lambda value: TraceSearchGroupBy(value["value"]),
    "date": lambda value: datetime.date.fromisoformat(value["value"]),
    "ToolExecution": lambda value: ToolExecution.from_dict({k: v for k, v in value.items() if k != "$type"}),
    "File": lambda value: File(
        content=base64.b64decode(value["content"]), filename=value["filename"], mime_type=value["mime_type"]
    ),
    "Image": lambda value: Image(**{k: v for k, v in value.items() if k != "$type"}),
}


def taken(value: Any) -> Any:
    """An argument as the client wants it."""
    if isinstance(value, list):
        return [taken(item) for item in value]
    if isinstance(value, dict):
        return TAKEN[value["$type"]](value) if "$type" in value else {k: taken(v) for k, v in value.items()}
    return value


SHOWN: list[tuple[Any, Any]] = [
    (enum.Enum, lambda value: value.value),
    (BaseModel, lambda value: typed(value, type(value).model_fields)),
    (type, lambda value: value.__name__),
    (dict, lambda value: {str(key): as_typed_json(item) for key, item in value.items()}),
    ((list, tuple, set), lambda value: [as_typed_json(item) for item in value]),
    (bytes, lambda value: base64.b64encode(value).decode()),
    (datetime.date, lambda value: {"$type": "datetime", "value": value.isoformat()}),
]


def as_typed_json(value: Any) -> Any:
    """What the client gave, as JSON that tells its types."""
    for kind, show in SHOWN:
        if isinstance(value, kind):
            return show(value)
    if dataclasses.is_dataclass(value):
        return typed(value, [field.name for field in dataclasses.fields(value)])
    return value


def typed(value: Any, names: Iterable[str]) -> dict[str, Any]:
    """An object of the client's, with the name of its class."""
    fields = {name: as_typed_json(getattr(value, name, None)) for name in names}
    return {"$type": type(value).__name__.partition("[")[0], **fields}


def failure(error: Exception) -> dict[str, Any]:
    """What the client raised, with the server's answer where there is one."""
    response = getattr(error, "response", None)
    body = None
    if response is not None:
        try:
            body = response.json()
        except Exception:  # noqa: BLE001 - a stream's body was not read
            body = None
    status = getattr(response, "status_code", None)
    return {"kind": type(error).__name__, "words": str(error), "status": status, "body": body}


def say(**line: Any) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class Skipped(logging.Handler):
    """Collects what the client says about events that it cannot read."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line."""
        self.lines.append(record.getMessage())


class Driving:
    """One client, and what it is asked."""

    def __init__(self, base_url: str) -> None:
        from agno.utils.log import logger

        self.client = AgentOSClient(base_url=base_url, timeout=90)
        self.skipped = Skipped()
        logger.handlers = [self.skipped]  # its own writes to stdout
        logger.setLevel(logging.ERROR)

    def methods(self) -> list[str]:
        """The client's public methods."""
        functions = inspect.getmembers(AgentOSClient, inspect.isfunction)
        return sorted(name for name, _ in functions if not name.startswith("_"))

    async def at(self, base_url: str, name: str, **arguments: Any) -> Any:
        """What a client of another server gives."""
        method = getattr(AgentOSClient(base_url=base_url, timeout=90), name)(**arguments)
        return await method

    async def gateway(self, method: str, path: str, form: dict[str, str] | None = None) -> dict[str, Any]:
        """What an AgentOS answers that serves a team and an agent of the server as its own.

        :param form: the fields of a POST.
        """
        team = RemoteTeam(base_url=self.client.base_url, team_id="demo-team")
        agent = RemoteAgent(base_url=self.client.base_url, agent_id="solo-agent")
        app = AgentOS(id="gateway", teams=[team], agents=[agent], telemetry=False).get_app()
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway", timeout=90) as client:
            answer = await client.request(method, path, data=form)
            return {"status": answer.status_code, "text": answer.text}

    def complaints(self) -> list[str]:
        """What the client could not read since it was asked last."""
        lines, self.skipped.lines = self.skipped.lines, []
        return lines

    async def do(self, request: dict[str, Any]) -> None:
        """Do what one line asks."""
        number = request["id"]
        try:
            method = getattr(self if hasattr(self, request["do"]) else self.client, request["do"])
            result = method(*taken(request["args"]), **taken(request["with"]))
            if hasattr(result, "__aiter__"):
                async for event in result:
                    say(id=number, event=as_typed_json(event))
                say(id=number, is_stream=True)
            else:
                say(id=number, result=as_typed_json(await result if inspect.isawaitable(result) else result))
        except Exception as error:  # noqa: BLE001 - the test judges
            say(id=number, error=failure(error))


async def main() -> None:
    """Do what stdin asks, until it closes."""
    driving, loop = Driving(sys.argv[1]), asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, "")

    threading.Thread(target=read, daemon=True).start()
    doing = set()
    while line := await lines.get():
        task = asyncio.create_task(driving.do(json.loads(line)))
        doing.add(task)
        task.add_done_callback(doing.discard)


if __name__ == "__main__":
    asyncio.run(main())
