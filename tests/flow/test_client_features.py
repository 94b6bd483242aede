"""Both clients on what a server has in addition to runs: media, sessions, memories, knowledge bases and schedules."""

from pathlib import Path
from typing import Any

import pytest

from musterd import Agent, Knowledge, Media, ToolResult, tool
from musterd.client import Conflict, File, NotFound
from tests.support.app import Sample
from tests.support.clients import Connect
from tests.support.flaky_proxy import through
from tests.support.knowledge_contents import FakeEmbedders

PNG = b"\x89PNG\r\n\x1a\n rest"


async def all_of(items: Any) -> list[Any]:
    return [item async for item in items]


# --- media ----------------------------------------------------------------------------------------------------


def studio() -> Sample:
    """An agent that draws."""

    @tool
    async def draw() -> ToolResult:
        """Draw."""
        return ToolResult(
            content="drawn",
            images=[Media(content=PNG, mime_type="image/png", filename="a.png")],
            files=[Media(url="https://media.invalid/a.pdf", mime_type="application/pdf")],
        )

    return Sample([], [Agent(id="painter", model="scripted", tools=[draw])])


async def test_media_of_a_run_are_downloaded(connect: Connect, tmp_path: Path) -> None:
    async with connect(served=studio()) as (_, client):
        run = await client.run("painter", "[[TOOL draw {}]]", kind="agent", files=[File(name="b.txt", content=b"text")])
        picture, link = run.media
        assert (picture.kind, picture.filename, picture.mime_type) == ("image", "a.png", "image/png")
        assert await client.runs.download(run, picture) == PNG
        assert await client.runs.download(run.run_id, picture.media_id, tmp_path / "copy.png") == PNG
        assert (tmp_path / "copy.png").read_bytes() == PNG
        assert (link.kind, link.media_id, link.url) == ("file", None, "https://media.invalid/a.pdf")
        with pytest.raises(ValueError, match="only a link"):
            await client.runs.download(run, link)
        with pytest.raises(NotFound):
            await client.runs.download(run, "nope", tmp_path / "none.png")
        assert not (tmp_path / "none.png").exists()


# --- sessions -------------------------------------------------------------------------------------------------


async def test_a_session_is_created_changed_and_forked(connect: Connect) -> None:
    async with connect() as (_, client):
        created = await client.sessions.create("s1", component="demo-team", session_state={"lang": "no"})
        assert (created.session_id, created.component_kind, created.component_id) == ("s1", "team", "demo-team")
        with pytest.raises(Conflict):
            await client.sessions.create("s1")
        changed = await client.sessions.update("s1", session_name="Norway", metadata={"a": 1})
        assert (changed.session_name, changed.session_state) == ("Norway", {"lang": "no"})
        await client.run("demo-team", "[[SAY hi]]", session_id="s1")
        fork = await client.sessions.fork("s1")
        assert fork.session_id != "s1"
        assert [message["content"] for message in fork.chat_history] == ["[[SAY hi]]", "hi"]
        with pytest.raises(ValueError, match="has no run"):
            await client.sessions.fork((await client.sessions.create()).session_id)


async def test_a_session_whose_creation_was_not_answered_is_created_once(connect: Connect, client_kind: str) -> None:
    async with connect() as (server, direct):
        async with through(client_kind, server, cut_after=0, cuts=1) as (_, client):
            created = await client.sessions.create(session_name="Norway")
        (session,) = await direct.sessions.list()
        assert (session.session_id, session.session_name) == (created.session_id, "Norway")
        fields: Any = {"component": "demo-team", "user_id": "ada", "session_state": {"a": 1}, "metadata": {"b": "é"}}
        async with through(client_kind, server, cut_after=0, cuts=1) as (_, client):
            created = await client.sessions.create("mine", session_name="Mine", **fields)
        assert (created.session_id, created.session_state) == ("mine", {"a": 1})


async def test_all_runs_sessions_and_counts(connect: Connect) -> None:
    async with connect() as (_, client):
        runs = [await client.run("demo-team", f"[[SAY {number}]]", session_id=f"s{number}") for number in range(3)]
        newest_first = [run.run_id for run in reversed(runs)]
        assert [row.run_id for row in await all_of(client.all("runs", page_size=2))] == newest_first
        assert [row.run_id for row in await all_of(client.all("runs", session_id="s1"))] == [runs[1].run_id]
        assert [row.session_id for row in await all_of(client.all("sessions"))] == ["s2", "s1", "s0"]
        assert [row.session_id for row in await all_of(client.all("sessions", text="[[SAY 1"))] == ["s1"]
        assert [row.run_id for row in await all_of(client.all("traces"))] == newest_first
        counts = await client.runs.counts(session_id="s1")
        assert (counts["all"], counts["completed"], counts["needs_you"]) == (1, 1, 0)


# --- memories -------------------------------------------------------------------------------------------------


async def test_memories(connect: Connect) -> None:
    async with connect() as (_, client):
        tea = await client.memories.create("Likes tea", user_id="ana", topics=["drinks"])
        rain = await client.memories.create("Lives in Bergen", user_id="ana")
        await client.memories.create("Likes coffee", user_id="ben", topics=["drinks"])
        assert (tea.memory, tea.topics, tea.user_id) == ("Likes tea", ["drinks"], "ana")
        page = await client.memories.list(user_id="ana", topics=["drinks"])
        assert ([memory.memory_id for memory in page], page.total) == ([tea.memory_id], 1)
        assert {memory.memory_id for memory in await all_of(client.all("memories", text="Likes"))} > {tea.memory_id}
        changed = await client.memories.update(rain.memory_id, "Lives in Oslo", topics=["places"])
        assert (await client.memories.get(rain.memory_id)).memory == changed.memory == "Lives in Oslo"
        await client.memories.delete(tea.memory_id)
        await client.memories.delete(tea.memory_id)
        assert await client.memories.delete_all("ana") == 1
        assert [memory.user_id for memory in await client.memories.list()] == ["ben"]


async def test_a_memory_and_a_schedule_whose_creation_was_not_answered_are_created_once(
    connect: Connect, client_kind: str
) -> None:
    async with connect() as (server, direct):
        async with through(client_kind, server, cut_after=0, cuts=1) as (_, client):
            memory = await client.memories.create("Likes tea", user_id="ana")
        async with through(client_kind, server, cut_after=0, cuts=1) as (_, client):
            schedule = await client.schedules.create("daily", "demo-team", "hello", cron_expr="@daily")
        assert [row.memory_id for row in await direct.memories.list()] == [memory.memory_id]
        assert [row.id for row in await direct.schedules.list()] == [schedule.id]


# --- knowledge bases ------------------------------------------------------------------------------------------


async def test_documents_are_uploaded_and_found(connect: Connect, embedders: FakeEmbedders, tmp_path: Path) -> None:
    guide = tmp_path / "guide.txt"
    guide.write_text("Bergen has rain.")
    library = Sample([], [], knowledge=[Knowledge(id="docs", name="Docs")])
    async with connect(served=library) as (_, client):
        text = await client.knowledge.upload(text="Oslo is the capital of Norway.", name="oslo", metadata={"of": "no"})
        file = await client.knowledge.upload(guide, metadata={"of": "no"}, chunk_size=500)
        named = await client.knowledge.upload(File(name="b.txt", content=b"A red car."), knowledge_id="docs")
        for content in (text, file, named):
            settled = await client.knowledge.wait(content)
            assert (settled.status, settled.chunks, settled.status_message) == ("completed", 1, "")
        hits = await client.knowledge.search("the capital of Norway?", limit=1, filters={"of": "no"})
        assert [(hit.content, hit.name, hit.content_id) for hit in hits] == [
            ("Oslo is the capital of Norway.", "oslo", text.id)
        ]
        listed = await all_of(client.all("knowledge", metadata={"of": "no"}, status="completed"))
        assert {content.name for content in listed} == {"oslo", "guide.txt"}
        assert (await client.knowledge.get(named.id)).origin == "b.txt"
        await client.knowledge.delete(named.id)
        await client.knowledge.delete(named.id)
        assert (await client.knowledge.list()).total == 2


async def test_a_document_that_cannot_be_read_says_why(connect: Connect, embedders: FakeEmbedders) -> None:
    async with connect(served=Sample([], [], knowledge=[Knowledge(id="docs")])) as (_, client):
        content = await client.knowledge.upload(File(name="a.pdf", content=b"%PDF-1.7 and no more"))
        settled = await client.knowledge.wait(content, wait_seconds=60)
        assert settled.status == "failed"
        assert settled.status_message


# --- schedules ------------------------------------------------------------------------------------------------


async def test_schedules(connect: Connect) -> None:
    async with connect() as (_, client):
        options = {"session_id": "news"}
        schedule = await client.schedules.create(
            "yearly", "demo-team", "[[SAY hi]]", cron_expr="0 0 1 1 *", timezone="Europe/Oslo", options=options
        )
        assert (schedule.endpoint, schedule.payload) == ("/teams/demo-team/runs", {**options, "message": "[[SAY hi]]"})
        with pytest.raises(Conflict):
            await client.schedules.create("yearly", "demo-team", "hello", cron_expr="@daily")
        firing = await client.schedules.trigger(schedule.id)
        run = await client.wait(firing.run_id)
        assert (run.content, run.session_id) == ("hi", "news")
        assert [row.run_id for row in await client.schedules.firings(schedule.id)] == [run.run_id]
        changed = await client.schedules.update(schedule.id, cron_expr=None, at="2099-01-01T08:00")
        assert (changed.cron_expr, changed.at) == (None, 4_070_934_000)
        assert (await client.schedules.disable(schedule.id)).enabled is False
        assert [row.id for row in await all_of(client.all("schedules", enabled=False))] == [schedule.id]
        assert (await client.schedules.enable(schedule.id)).next_run_at == changed.at
        await client.schedules.delete(schedule.id)
        await client.schedules.delete(schedule.id)
        assert (await client.schedules.list()).total == 0


async def test_any_other_operation(connect: Connect) -> None:
    async with connect() as (_, client):
        assert (await client.request("GET", "/me"))["is_admin"] is True
        assert (await client.request("GET", "/runs", query={"limit": 5, "q": None}))["data"] == []
        with pytest.raises(NotFound):
            await client.request("POST", "/nowhere", json={})
