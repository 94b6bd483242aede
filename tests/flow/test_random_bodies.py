"""Ten thousand requests that are nearly right: no fault, no word of the inside, nothing kept of a refusal.

The operations come from the table and their fields from the served document, so what is added there is asked here.
"""

import asyncio
import contextlib
import json
import os
import re
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.types import Message, Scope

from musterd.core.errors import RequestError
from musterd.http.server import Server
from tests.support.app import app_on
from tests.support.mutations import Mutations, RawRequest, Shape, shapes

REQUESTS = int(os.environ.get("MUSTERD_TEST_REQUESTS", "10000"))
SEED = int(os.environ.get("MUSTERD_TEST_SEED", "1"))
AT_ONCE = 16
PATIENCE_SECONDS = 5.0
"""Then the client goes away: some requests wait for a run that waits."""
SURE_SECONDS = 120.0
"""The same for requests that are certainly answered."""

LIMITS: dict[str, Any] = {
    "body_bytes": 64 * 1024,
    "field_bytes": 8 * 1024,
    "wait_max_seconds": 0.01,
    "cancel_wait_seconds": 0.01,
    "disconnect_seconds": 0.01,
    "max_turns": 3,
}
KNOWN: dict[str, list[Any]] = {
    "team_id": ["demo-team", "demo-team", "demo-team", "state-team"],
    "agent_id": ["solo-agent"],
    "run_id": ["run-1", "run-2", "run-3", "run-4"],
    "session_id": ["session-1", "session-2"],
    "stream": [False, "false", True],
    "background": [False, True, "true"],
    "message": ["hello", "[[ERROR 400]]", '[[TOOL boom {"x": "1"}]]', '[[TOOL remember {"key": "k", "value": "v"}]]'],
    "db_id": ["musterd-db"],
    "delay_seconds": ["0"],
    "budget": [{"tokens": 1000}, '{"seconds": 10}'],
    "output_schema": [{"type": "object", "properties": {"a": {"type": "string"}}}],
    "images": [[], "[]", [{"url": "https://example.com/a.png"}]],
}
INSIDE = re.compile(
    r"Traceback|File \"|site-packages|\.py\b|sqlite|psycopg|SELECT |INSERT |object at 0x|<class|musterd\.\w"
)
"""What tells of the inside, and stands in no request of these."""


class Answer(NamedTuple):
    """What came back; a status of 0 where nothing did in time."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


async def ask(app: Starlette, request: RawRequest, patience_seconds: float = PATIENCE_SECONDS) -> Answer:
    """Send one request to the application itself."""
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": unquote(request.path),
        "raw_path": request.path.encode(),
        "root_path": "",
        "query_string": request.query,
        "headers": request.headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    messages = [{"type": "http.request", "body": request.body, "more_body": False}]
    gone, status, headers, body = asyncio.Event(), 0, [], bytearray()

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status, headers = message["status"], list(message["headers"])
        else:
            body.extend(message.get("body", b""))

    try:
        async with asyncio.timeout(patience_seconds):
            await app(scope, receive, send)
    except TimeoutError:
        return Answer(0, headers, bytes(body))
    except RequestError:  # as when a run is deleted while it is exported: the server closes the connection
        assert status, "an error before the answer has begun is an answer"
        return Answer(0, headers, bytes(body))
    return Answer(status, headers, bytes(body))


def post(path: str, **fields: Any) -> RawRequest:
    """A request that is right."""
    body = json.dumps(fields).encode()
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    return RawRequest(method="POST", path=path, query=b"", headers=headers, body=body)


def faults(request: RawRequest, answer: Answer) -> list[str]:
    """What no answer may be, and no error may say."""
    text = answer.body.decode("utf-8", "replace")
    problems = []
    if answer.status >= 500 and answer.status != 503:
        problems.append(f"{answer.status}")
    if any(b"\r" in value or b"\n" in value for _, value in answer.headers):
        problems.append("a header of two lines")
    if answer.status >= 400:
        if inside := INSIDE.search(text):
            problems.append(f"speaks of {inside[0]!r}")
        body = json.loads(text)
        if {"detail", "error_code", "request_id"} - set(body):
            problems.append("not an error's form")
        if len(text) > 20_000:
            problems.append(f"{len(text)} signs")
    return [
        f"{fault}: {request.method} {request.path}?{request.query!r} {request.body[:300]!r} -> {text[:400]}"
        for fault in problems
    ]


def first_column(path: Path, text: str) -> set[str]:
    """The first column of what a statement finds."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return {str(row[0]) for row in connection.execute(text)}


async def test_ten_thousand_requests(database: Path) -> None:
    app = app_on(database, **LIMITS)
    server: Server = app.state.server
    wrong: list[str] = []
    seen: Counter[int] = Counter()
    accepted: set[str] = set()
    unanswered: list[RawRequest] = []
    """Requests that the client gave up before it knew a run: each may have left one, which no answer names."""

    async def visit(request: RawRequest, patience_seconds: float = PATIENCE_SECONDS) -> None:
        answer = await ask(app, request, patience_seconds)
        seen[answer.status] += 1
        wrong.extend(faults(request, answer))
        if answer.status in (200, 202, 0) and request.method == "POST":
            named = re.findall(r'"run_id":"((?:[^"\\]|\\.)*)"', answer.body.decode())
            accepted.update(named)
            if answer.status == 0 and not named:
                unanswered.append(request)

    async with app.router.lifespan_context(app):
        for number, message in enumerate(("[[DELEGATE writer-agent: hello]]", "hello", "[[ERROR 400]]"), 1):
            await visit(
                post(
                    "/teams/demo-team/runs",
                    message=message,
                    stream=False,
                    run_id=f"run-{number}",
                    session_id=f"session-{number % 2}",
                ),
                SURE_SECONDS,
            )
        assert seen == {200: 3}, seen
        forms = asked_of(server)
        mutations, left = Mutations(SEED, KNOWN), iter(range(REQUESTS))

        async def visitor() -> None:
            for number in left:
                await visit(mutations.request(forms[number % len(forms)]))

        await asyncio.gather(*(visitor() for _ in range(AT_ONCE)))
        assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong[:20])
        healthy = RawRequest(method="GET", path="/health", query=b"", headers=[(b"host", b"localhost")], body=b"")
        health = await ask(app, healthy, SURE_SECONDS)
        assert health.status == 200
    assert min(seen[200], seen[404], seen[422]) > REQUESTS / 10, seen
    assert len(accepted) > REQUESTS / 100
    roots = first_column(database, "SELECT run_id FROM runs WHERE parent_id IS NULL AND copied_from IS NULL")
    roots -= first_column(
        database, "SELECT next_run_id FROM run_messages WHERE next_run_id IS NOT NULL"
    )  # came too late
    unnamed = roots - {json.loads(f'"{run_id}"') for run_id in accepted}
    assert len(unnamed) <= len(unanswered), (unnamed, unanswered)
    assert first_column(database, "SELECT run_id FROM run_io WHERE run_id NOT IN (SELECT run_id FROM runs)") == set()
    assert (
        first_column(database, "SELECT root_id FROM blob_uses WHERE root_id NOT IN (SELECT run_id FROM runs)") == set()
    )


def asked_of(server: Server) -> list[Shape]:
    """What is asked: everything that is served; what changes something, and what has a body, more often."""
    from musterd.http.openapi.document import document
    from musterd.http.routes import operations

    schemas = shapes(document(operations(server), title="musterd", version="1"))
    assert len(schemas) == len(operations(server))
    return [shape for shape in schemas for _ in range(weight(shape))]


def weight(shape: Shape) -> int:
    """How often an operation is asked: what is deleted cannot be asked any more."""
    if shape.method == "DELETE":
        return 1
    return 9 if shape.bodies else 3
