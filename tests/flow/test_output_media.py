"""Media that tools return and models make: stored once, shown with the run, streamed one by one."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.messages import BinaryContent, ModelRequest, ToolReturnPart

from musterd import Agent, Media, Team, ToolContext, ToolResult, tool
from musterd.store import session_deletion
from tests.support.app import Sample, app_on, in_process
from tests.support.held_model import HeldModel
from tests.support.http import ServerClient, problem
from tests.support.store import Records

PNG = b"\x89PNG\r\n\x1a\n rest"
ASK = "[[TOOL draw {}]]"


@tool
async def draw() -> ToolResult:
    """Draw something."""
    return ToolResult(
        content="drawn",
        images=[Media(content=PNG, mime_type="image/png", filename="a.png")],
        files=[Media(url="https://media.invalid/a.pdf", mime_type="application/pdf")],
    )


@tool
async def draw_oddly() -> ToolResult:
    """Draw something, and say of it what no header should."""
    return ToolResult(
        content="drawn",
        images=[
            Media(content=PNG, mime_type="image/png;text/html", filename="../a\r\nX: y\u202e.png"),
            Media(content=PNG + b"2", mime_type="no\r\ntype", filename="/"),
        ],
    )


@tool
async def two_sources() -> ToolResult:
    """Return what cannot be."""
    return ToolResult(content="x", images=[Media(content=PNG, url="https://media.invalid/a.png")])


@tool
async def bare() -> Any:
    """Return bytes alone."""
    return BinaryContent(PNG, media_type="image/png")


@tool
async def measure(context: ToolContext) -> str:
    """Measure what came with the request."""
    return ", ".join(
        f"{name} {item.filename} {len(item.content or b'')}" for name, items in context.media.items() for item in items
    )


class Blind(HeldModel):
    """Reads text alone."""

    reads_media = False


def served(model: HeldModel, **options: Any) -> Sample:
    painter = Agent(id="painter", model=model, tools=[draw, draw_oddly, two_sources, bare, measure], **options)
    return Sample([Team(id="team", model=model, members=[painter])], [painter])


@pytest.fixture
async def client(database: Path) -> AsyncIterator[ServerClient]:
    """A painter, alone and in a team."""
    async with in_process(app_on(database, served=served(model := HeldModel())), model) as serving:
        yield serving


def returned(model: HeldModel) -> Any:
    """What the model read of its tool's result."""
    last = model.calls[-1][-1]
    assert isinstance(last, ModelRequest)
    (part,) = [part for part in last.parts if isinstance(part, ToolReturnPart)]
    return part.content


async def test_the_run_has_what_its_tool_returned(client: ServerClient) -> None:
    done = await client.run(ASK, to="agents/painter", session_id="s1")
    (image,) = done["images"]
    assert (image["mime_type"], image["filename"]) == ("image/png", "a.png")
    assert base64.b64decode(image["content"]) == PNG
    assert done["files"] == [
        {"id": done["files"][0]["id"], "mime_type": "application/pdf", "url": "https://media.invalid/a.pdf"}
    ]
    assert done["tools"][0]["result"] == "drawn"
    run = await client.get(f"/agents/painter/runs/{done['run_id']}", session_id="s1")
    assert run["images"] == done["images"]
    text, picture, note = returned(client.model)
    assert (text, note) == ("drawn", '<file url="https://media.invalid/a.pdf"/>')
    assert isinstance(picture, BinaryContent)
    assert picture.data == PNG


async def test_one_medium_is_sent_as_it_is(client: ServerClient) -> None:
    done = await client.run(ASK, to="agents/painter", session_id="s1")
    path = f"/agents/painter/runs/{done['run_id']}/media/{done['images'][0]['blob']}"
    answer = await client.http.get(path, params={"session_id": "s1"})
    assert (answer.content, answer.headers["content-type"]) == (PNG, "image/png")
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''a.png"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "Authorization" in answer.headers["vary"], "two users of one browser do not share what it keeps"
    again = await client.http.get(path, params={"session_id": "s1"}, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = await client.run("hello", to="agents/painter", session_id="s2")
    elsewhere = path.replace(done["run_id"], other["run_id"])
    for wrong, session in ((path, "s2"), (f"{path}0", "s1"), (elsewhere, "s2")):
        problem(await client.http.get(wrong, params={"session_id": session}), 404, "NOT_FOUND")


async def test_names_and_types_of_tools_media_are_cleaned(client: ServerClient) -> None:
    done = await client.run("[[TOOL draw_oddly {}]]", to="agents/painter", session_id="s1")
    first, second = done["images"]
    assert (first["mime_type"], first["filename"]) == ("image/png", "aX: y.png")
    assert second["mime_type"] == "image/png", "the type of an image of which nothing is known"
    assert "filename" not in second
    path = f"/agents/painter/runs/{done['run_id']}/media/{first['blob']}"
    answer = await client.http.get(path, params={"session_id": "s1"})
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''aX%3A%20y.png"


async def test_the_stream_tells_of_media_without_their_content(client: ServerClient) -> None:
    stream = await client.stream(ASK, to="agents/painter")
    for name in ("ToolCallCompleted", "RunCompleted"):
        (image,) = stream.one(name)["images"]
        assert set(image) == {"id", "mime_type", "filename", "blob"}


async def test_what_a_member_made_is_the_teams_too(client: ServerClient) -> None:
    done = await client.run("[[DELEGATE painter: <TOOL draw {}>]]", to="teams/team", session_id="s1")
    assert base64.b64decode(done["images"][0]["content"]) == PNG
    assert returned(client.model).startswith("Done: drawn"), "its leader reads what it says"
    runs = await client.get("/sessions/s1/runs", type="team")
    member = next(run for run in runs if run.get("agent_id") == "painter")
    assert member["images"][0]["mime_type"] == "image/png"


async def test_content_stands_in_no_row(client: ServerClient) -> None:
    await client.run(ASK, to="agents/painter", session_id="s1", files=[("files", ("b.png", PNG + b"2", "image/png"))])
    records = Records(client.server.database)
    encoded = [base64.b64encode(content).decode() for content in (PNG, PNG + b"2")]
    tables = (
        "SELECT input, output, messages FROM run_io",
        "SELECT result FROM journal",
        "SELECT payload FROM run_events",
    )
    rows = [row for table in tables for row in await records.select(table)]
    assert not any(content in str(value) for row in rows for value in row.values() for content in encoded)
    assert len(await records.select("SELECT hash FROM blobs")) == 2
    assert (await client.http.delete("/sessions/s1")).status_code == 204
    await records.database.write(
        lambda tx: session_deletion.remove_some_of(tx, "s1")
    )  # where the server has not done it yet
    assert await records.select("SELECT hash FROM blobs") == [], "it goes with the last session that refers to it"


def shown_to(model: HeldModel, call: int) -> list[bytes]:
    """The media in one conversation that the model was given."""
    return [
        item.data
        for message in model.calls[call]
        for part in message.parts
        for item in (getattr(part, "content", None) or ())
        if isinstance(item, BinaryContent)
    ]


async def test_media_may_be_kept_no_longer_than_the_run(database: Path) -> None:
    model = HeldModel()
    upload = ("files", ("b.png", PNG + b"2", "image/png"))
    async with in_process(
        app_on(database, served=served(model, store_media=False, add_history_to_context=True))
    ) as client:
        records = Records(client.server.database)
        done = await client.run(ASK, to="agents/painter", session_id="s1", files=[upload])
        assert shown_to(model, 0) == [PNG + b"2"]
        assert [set(image) for image in done["images"]] == [{"id", "mime_type", "filename"}]
        assert await records.select("SELECT hash FROM blobs") == []
        again = await client.run("[[SAY so]]", to="agents/painter", session_id="s1")
        assert (again["status"], shown_to(model, -1)) == ("COMPLETED", []), "it is told that they are gone"
        failed = await client.run("[[ERROR 400]]", to="agents/painter", session_id="s2", files=[upload])
        assert failed["status"] == "ERROR"
        assert len(await records.select("SELECT hash FROM blobs")) == 1, "it may go on"
        path = f"/agents/painter/runs/{failed['run_id']}/continue"
        await client.http.post(path, data={"session_id": "s2", "stream": "false"})
        assert shown_to(model, -1) == [PNG + b"2"]


async def test_history_shows_the_media_again(database: Path) -> None:
    model = HeldModel()
    sample = served(model, add_history_to_context=True)
    async with in_process(app_on(database, served=sample), model) as client:
        upload = ("files", ("b.png", PNG + b"2", "image/png"))
        await client.run(ASK, to="agents/painter", session_id="s1", files=[upload])
        await client.run("[[SAY so]]", to="agents/painter", session_id="s1")
    assert shown_to(model, -1) == [PNG + b"2", PNG]


async def test_a_model_that_reads_text_alone_is_told_so(database: Path) -> None:
    async with in_process(app_on(database, served=served(model := Blind())), model) as client:
        done = await client.run(ASK, to="agents/painter")
        assert "you cannot read images" in returned(model)
        assert len(done["images"]) == 1


async def test_media_may_be_kept_from_models(database: Path) -> None:
    sample = served(model := HeldModel(), send_media_to_model=False)
    async with in_process(app_on(database, served=sample), model) as client:
        done = await client.run(ASK, to="agents/painter")
        assert returned(model) == "drawn"
        assert len(done["images"]) == 1


async def test_bytes_alone_are_a_result(client: ServerClient) -> None:
    done = await client.run("[[TOOL bare {}]]", to="agents/painter")
    assert base64.b64decode(done["images"][0]["content"]) == PNG


async def test_a_medium_with_two_sources_is_a_failed_result(client: ServerClient) -> None:
    done = await client.run("[[TOOL two_sources {}]]", to="agents/painter")
    assert done["tools"][0]["tool_call_error"] is True
    assert "either content or url" in done["tools"][0]["result"]


@pytest.mark.parametrize("sends", [True, False])
async def test_tools_find_what_came_with_the_request(database: Path, sends: bool) -> None:
    sample = served(model := HeldModel(), send_media_to_model=sends)
    async with in_process(app_on(database, served=sample), model) as client:
        upload = [("files", ("b.png", PNG, "image/png")), ("files", ("c.txt", b"abc", "text/plain"))]
        for to in ("agents/painter", "teams/team"):
            call = "[[TOOL measure {}]]" if to.startswith("agents") else "[[DELEGATE painter: <TOOL measure {}>]]"
            done = await client.run(call, to=to, files=upload)
            assert f"images b.png {len(PNG)}, files c.txt 3" in done["content"]


@pytest.mark.parametrize("is_waiting", [False, True])
async def test_a_continuation_that_was_cancelled_leaves_the_media_for_the_next_one(
    database: Path, *, is_waiting: bool
) -> None:
    model = HeldModel()
    upload = ("files", ("b.png", PNG + b"2", "image/png"))
    async with in_process(app_on(database, served=served(model, store_media=False)), model) as client:
        path, fields = "/agents/painter/runs/failed/continue", {"session_id": "s1", "stream": "false"}
        await client.run("[[ERROR 400]]", to="agents/painter", session_id="s1", run_id="failed", files=[upload])
        hold = model.hold("wait" if is_waiting else "[[ERROR 400]]")
        if is_waiting:
            await client.post("wait", to="agents/painter", session_id="s1", background="true")
            await hold.reached.wait()
        fork = (await client.http.post(path, data={**fields, "background": "true"})).json()["run_id"]
        await hold.reached.wait()
        await client.http.post(f"/agents/painter/runs/{fork}/cancel")
        cancelled = await client.get(f"/agents/painter/runs/{fork}", session_id="s1", wait=30)
        assert cancelled["status"] == "CANCELLED"
        hold.release()
        again = (await client.http.post(path, data=fields)).json()
        assert again["content"] == "fake model error 400"
        assert shown_to(model, -1) == [PNG + b"2"]


async def test_a_fork_beside_a_continuation_keeps_the_media_that_both_use(database: Path) -> None:
    model = HeldModel()
    upload = ("files", ("b.png", PNG + b"2", "image/png"))
    async with in_process(app_on(database, served=served(model, store_media=False)), model) as client:
        path, fields = "/agents/painter/runs/failed/continue", {"session_id": "s1", "background": "true"}
        limit = {"budget": '{"tool_calls": 0}'}
        await client.run(ASK, to="agents/painter", session_id="s1", run_id="failed", files=[upload], **limit)
        hold = model.hold(ASK)
        enough = {"budget": '{"tool_calls": 5}'}
        continuation = (await client.http.post(path, data={**fields, **enough})).json()["run_id"]
        await hold.reached.wait()
        fork = (await client.http.post(path, data={**fields, **enough, "from_step": "t0/m"})).json()["run_id"]
        hold.release()
        for run_id in (continuation, fork):
            done = await client.get(f"/agents/painter/runs/{run_id}", session_id="s1", wait=30)
            assert done["status"] == "COMPLETED", done["content"]
        assert PNG + b"2" in shown_to(model, -1)
        assert await Records(client.server.database).select("SELECT hash FROM blobs") == []
