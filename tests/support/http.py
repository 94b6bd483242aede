"""A client of the server under test. It starts and polls runs, and reads streams with strict and lenient parsers."""

import contextlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx2
from starlette.applications import Starlette

from musterd.http.server import Server
from tests.support.brace_scanner import scan
from tests.support.held_model import HeldModel

_FRAME = re.compile(r"event: (?P<name>\w+)\n(?:id: (?P<id>[\w-]+)\n)?data: (?P<data>\{.*\})")
ERROR_KEYS = {"detail", "error_code", "request_id"}


class Framed(NamedTuple):
    """One event of a stream, and the ``id`` of its frame, which is None for events that do not belong to a run."""

    event: dict[str, Any]
    id: str | None


def read_stream(text: str) -> list[dict[str, Any]]:
    """The events of a complete stream of one run. Raises AssertionError for anything that breaks a real client."""
    frames = read_frames(text)
    for event, frame_id in frames:
        assert frame_id is None or event["event_index"] == int(frame_id)
        assert (frame_id is None) == ("event_index" not in event)
    events = [event for event, _ in frames]
    indexes = [event["event_index"] for event in events if "event_index" in event]
    assert indexes == sorted(set(indexes)), "event_index is strictly increasing"
    return events


def read_frames(text: str) -> list[Framed]:
    """The same of a stream of any kind, with the ids."""
    frames = []
    for block in text.split("\n\n")[:-1]:
        if block.startswith(":"):
            assert "{" not in block, "a brace in a comment loses brace scanners the stream"
            continue
        frame = _FRAME.fullmatch(block)
        assert frame, f"not a frame: {block!r}"
        event = json.loads(frame["data"])
        assert event["event"] == frame["name"]
        assert "data" not in event
        frames.append(Framed(event, frame["id"]))
    assert text.endswith("\n\n") or not text, "the stream breaks off inside a frame"
    assert scan(text) == [event for event, _ in frames]
    return frames


class Receipt(NamedTuple):
    """A run that was accepted in the background, with its request."""

    run_id: str
    session_id: str
    location: str


@dataclass(frozen=True)
class Stream:
    """A stream that was read completely."""

    response: httpx2.Response
    events: list[dict[str, Any]]

    @property
    def names(self) -> list[str]:
        """The names of the events; consecutive deltas count as one."""
        names: list[str] = []
        for event in self.events:
            if not (names and names[-1] == event["event"] and event["event"].endswith("RunContent")):
                names.append(event["event"])
        return names

    def one(self, name: str) -> dict[str, Any]:
        """The only event of this name."""
        (event,) = self.all(name)
        return event

    def all(self, name: str) -> list[dict[str, Any]]:
        """The events of this name."""
        return [event for event in self.events if event["event"] == name]

    def text(self, name: str = "TeamRunContent") -> str:
        """The joined deltas of this name."""
        return "".join(event["content"] for event in self.all(name))


class ServerClient:
    """A running server and a client of it.

    :param model: the model that a test can hold, if any.
    """

    def __init__(self, app: Starlette, server: Server, http: httpx2.AsyncClient, model: HeldModel | None) -> None:
        self.app = app
        self.server = server
        self.http = http
        self._model = model

    @property
    def model(self) -> HeldModel:
        """The model that the test can hold."""
        assert self._model is not None, "serve with a HeldModel"
        return self._model

    async def post(self, message: str = "hello", to: str = "teams/demo-team", **fields: Any) -> httpx2.Response:
        """Start a run with a form; ``files`` are uploads, ``headers`` are headers, everything else is a field."""
        files, headers = fields.pop("files", None), fields.pop("headers", None)
        return await self.http.post(f"/{to}/runs", data={"message": message, **fields}, files=files, headers=headers)

    async def run(self, message: str = "hello", to: str = "teams/demo-team", **fields: Any) -> dict[str, Any]:
        """Start a run with ``stream=false`` and return the response."""
        answer = await self.post(message, to, stream="false", **fields)
        assert answer.status_code == 200, answer.text
        return _object(answer)

    async def begin(self, message: str = "hello", to: str = "teams/demo-team", **fields: Any) -> Receipt:
        """Start a run in the background."""
        answer = await self.post(message, to, background="true", stream="false", **fields)
        assert answer.status_code == 202, answer.text
        body = answer.json()
        return Receipt(body["run_id"], body["session_id"], answer.headers["location"])

    async def stream(self, message: str = "hello", to: str = "teams/demo-team", **fields: Any) -> Stream:
        """Start a run and read its stream to the end."""
        answer = await self.post(message, to, stream="true", **fields)
        assert answer.status_code == 200, answer.text
        return Stream(answer, read_stream(answer.text))

    async def poll(self, run: Receipt, wait: float = 0, to: str = "teams/demo-team") -> dict[str, Any]:
        """The run now, or after it has finished within ``wait`` seconds."""
        query = {"session_id": run.session_id, **({"wait": wait} if wait else {})}
        view: dict[str, Any] = await self.get(f"/{to}/runs/{run.run_id}", **query)
        return view

    async def ended(self, run: Receipt, to: str = "teams/demo-team") -> dict[str, Any]:
        """The run after it has finished."""
        return await self.poll(run, 60, to)

    async def get(self, path: str, **query: Any) -> Any:
        """The JSON of a successful GET."""
        answer = await self.http.get(path, params=query or None)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def cancel(self, run_id: str, to: str = "teams/demo-team") -> httpx2.Response:
        """Cancel a run."""
        return await self.http.post(f"/{to}/runs/{run_id}/cancel")

    @contextlib.asynccontextmanager
    async def reading(self, message: str, to: str = "teams/demo-team", **fields: Any) -> AsyncIterator["Reader"]:
        """Read a stream event by event (on loopback only); leaving closes the connection."""
        data = {"message": message, "stream": "true", **fields}
        async with self.opened("POST", f"/{to}/runs", data=data) as reader:
            yield reader

    @contextlib.asynccontextmanager
    async def opened(self, method: str, path: str, **options: Any) -> AsyncIterator["Reader"]:
        """Read any stream event by event (on loopback only); leaving closes the connection."""
        async with self.http.stream(method, path, **options) as answer:
            assert answer.status_code in (200, 204), await answer.aread()
            yield Reader(answer)


class Reader:
    """A stream that is being read."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self._texts = answer.aiter_text()
        self._text = ""
        self.frames: list[Framed] = []

    async def until(self, name: str) -> dict[str, Any]:
        """The next event of this name."""
        while True:
            while "\n\n" in self._text:
                block, _, self._text = self._text.partition("\n\n")
                self.frames += (new := read_frames(block + "\n\n"))
                if new and new[0].event["event"] == name:
                    return new[0].event
            self._text += await anext(self._texts)

    async def some(self, count: int) -> list[dict[str, Any]]:
        """The events so far, once there are this many, or all of them."""
        while len(self.frames) < count:
            *blocks, self._text = self._text.split("\n\n")
            self.frames += read_frames("".join(f"{block}\n\n" for block in blocks))
            if len(self.frames) < count:
                if (more := await anext(self._texts, None)) is None:
                    break
                self._text += more
        return self.events

    async def rest(self) -> list[dict[str, Any]]:
        """Everything that arrives until the stream closes."""
        async for text in self._texts:
            self._text += text
        self.frames += (new := read_frames(self._text))
        self._text = ""
        return [event for event, _ in new]

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events so far."""
        return [event for event, _ in self.frames]


def _object(answer: httpx2.Response) -> dict[str, Any]:
    value: dict[str, Any] = answer.json()
    return value


def problem(answer: httpx2.Response, status: int, code: str) -> str:
    """The ``detail`` of an error response, after a check of the response's form."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    more = {"errors"} if status == 422 else {"checks"} & set(body)
    assert set(body) == ERROR_KEYS | more, body
    assert body["error_code"] == code
    assert body["request_id"] == answer.headers["x-request-id"]
    detail = body["detail"]
    assert isinstance(detail, str)
    assert detail
    assert "Traceback" not in answer.text
    return detail


def wrong_fields(answer: httpx2.Response) -> list[tuple[str, ...]]:
    """The locations of the errors in a 422 response, after a check of each entry's form."""
    problem(answer, 422, "VALIDATION_ERROR")
    errors = answer.json()["errors"]
    assert all(set(error) == {"type", "loc", "msg", "input"} for error in errors), errors
    return [tuple(str(part) for part in error["loc"]) for error in errors]
