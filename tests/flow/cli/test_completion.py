"""What the shell completes with the ids of a server."""

from pathlib import Path

import pytest

from musterd.cli.remote import completing
from tests.support.app import Sample, Serve
from tests.support.commands import Command, TalkTo


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer than a person in a shell would wait."""
    monkeypatch.setattr(completing, "ANSWER_SECONDS", 60)


async def candidates(musterd: Command, *words: str) -> list[str]:
    """What a shell is offered for the last word."""
    completed = await musterd("__complete", *words)
    assert completed.code == 0
    return completed.out.partition("\x1fbegin\n")[2].splitlines()


async def test_teams_agents_and_workflows(serve_live: Serve, musterd: Command, talk_to: TalkTo) -> None:
    async with serve_live() as server:
        talk_to(server)
        for words in (["teams", "show"], ["run"], ["chat"], ["runs", "ls", "--team"], ["sessions", "ls", "--team"]):
            offered = await candidates(musterd, *words, "")
            assert "demo-team\tteam Demo Team" in offered
            assert "solo-agent\tagent Solo Agent" in offered


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory has files that declare teams, and others."""
    for name in ("team.py", "teams.yaml", "test.txt", "te.db"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("folder")
async def test_files_that_declare_teams(musterd: Command) -> None:
    for words in (["serve"], ["dev"], ["worker"], ["inspect"], ["doctor"], ["replay", "run.json"]):
        assert [line.split("\t")[0] for line in await candidates(musterd, *words, "te")] == ["team.py", "teams.yaml"]


async def test_runs_and_sessions(serve_live: Serve, musterd: Command, talk_to: TalkTo) -> None:
    async with serve_live() as server:
        talk_to(server)
        await server.run("hello\tthere", run_id="r-one", session_id="s-one")
        for words in (["show"], ["cancel"], ["cancel", "other"], ["watch"]):
            assert await candidates(musterd, "runs", *words, "") == ["r-one\tCOMPLETED demo-team hello there"]
        (session,) = await candidates(musterd, "sessions", "show", "s")
        assert session.startswith("s-one\t")
        assert await candidates(musterd, "run", "demo-team", "hi", "--session", "") == [session]
        for session_id in ("s-two", "s-one"):
            await server.run("hello", session_id=session_id)
        offered = await candidates(musterd, "sessions", "show", "")
        assert [line.split("\t")[0] for line in offered] == ["s-one", "s-two"], "the last used first"


async def test_approvals(serve_live: Serve, musterd: Command, talk_to: TalkTo, asking: Sample) -> None:
    async with serve_live(served=asking) as server:
        talk_to(server)
        await server.run('[[TOOL publish {"title": "Hi", "copies": 2}]]', to="teams/desk")
        (offered,) = await candidates(musterd, "approvals", "approve", "")
        assert offered.endswith('\tpublish(title="Hi", copies=2)')


async def test_the_server_is_that_of_the_options_before(
    serve_live: Serve, musterd: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSTERD_URL", "http://127.0.0.1:1")
    async with serve_live(security_key="sesame") as server:
        url = str(server.http.base_url)
        assert await candidates(musterd, "teams", "show", "--url", url, "") == []
        assert await candidates(musterd, "teams", "show", "--url", url, "--token", "sesame", "")
        assert (await musterd("profile", "add", "here", url, "--token", "sesame")).code == 0
        assert await candidates(musterd, "runs", "show", "--profile", "") == [f"here\t{url}"]
        assert await candidates(musterd, "teams", "show", "--profile", "here", "")


async def test_without_a_server_nothing_is_said(
    musterd: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MUSTERD_URL", "http://127.0.0.1:1")
    completed = await musterd("__complete", "runs", "show", "")
    assert (completed.code, completed.out, completed.err) == (0, "\n\x1fbegin\n", "")
    (tmp_path / "team.py").touch()
    monkeypatch.chdir(tmp_path)
    assert await candidates(musterd, "run", "") == ["team.py"]
