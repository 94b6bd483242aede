"""``musterd run`` and ``musterd chat`` without a terminal, against a server."""

import io
import sys
from pathlib import Path

import pytest

from musterd.cli.remote import starting
from musterd.http.ui import ui_routes
from tests.support.app import Sample, Serve
from tests.support.commands import Command, TalkTo

PUBLISH = '[[TOOL publish {"title": "Hi", "copies": 2}]]'


async def test_the_answer_goes_to_standard_output(serve_live: Serve, musterd: Command, talk_to: TalkTo) -> None:
    async with serve_live() as server:
        talk_to(server)
        done = await musterd("run", "demo-team", '[[DELEGATE writer-agent: <TOOL get_weather {"city": "Oslo"}>]]')
        assert (done.code, done.out[:6]) == (0, "Done: ")
        texts = [line.partition(" s  ")[2].strip() for line in done.err.splitlines()]
        assert "Demo Team: started" in texts
        assert "Writer Agent: started" in texts
        assert any(text.startswith("Demo Team: completed (") for text in texts)
        assert done.err.splitlines()[-1].startswith("COMPLETED  ")


@pytest.mark.parametrize(("message", "code"), [("[[SAY yes]]", 0), ("[[ERROR 400]]", 1), (PUBLISH, 3)])
async def test_the_exit_code_says_how_the_run_ended(
    serve_live: Serve, musterd: Command, talk_to: TalkTo, asking: Sample, message: str, code: int
) -> None:
    async with serve_live(served=asking) as server:
        talk_to(server)
        done = await musterd("run", "desk", message)
        assert done.code == code
        assert ("yes\n" in done.out) is (code == 0)


async def test_a_run_as_json(serve_live: Serve, musterd: Command, talk_to: TalkTo) -> None:
    async with serve_live() as server:
        talk_to(server)
        run = (await musterd("run", "solo-agent", "[[SAY yes]]", "--json")).json
        assert (run["agent_id"], run["content"], run["ended_at"][-1]) == ("solo-agent", "yes", "Z")


async def test_a_detached_run_is_a_receipt(serve_live: Serve, musterd: Command, talk_to: TalkTo) -> None:
    async with serve_live() as server:
        talk_to(server)
        started = await musterd("run", "demo-team", "[[SAY yes]]", "--detach")
        run_id = started.out.strip()
        assert started.code == 0
        assert f"musterd runs watch {run_id}\n" in started.err
        assert (await musterd("runs", "watch", run_id)).out == "yes\n"
        url = str(server.http.base_url).rstrip("/")
        with_password = url.replace("://", "://ada:topsecret@")
        started = await musterd("run", "demo-team", "[[SAY yes]]", "--detach", "--url", with_password)
        assert (started.code, "topsecret" in started.err) == (0, False)
        assert f" --url {url.replace('://', '://ada@')}\n" in started.err


@pytest.mark.parametrize("is_built", [True, False])
async def test_a_detached_run_names_its_page_if_the_server_has_one(
    serve_live: Serve,
    musterd: Command,
    talk_to: TalkTo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_built: bool,
) -> None:
    if is_built:
        (tmp_path / "index.html").write_text("<title>musterd</title>")
    monkeypatch.setattr("musterd.app.ui_routes", lambda: ui_routes(tmp_path))
    async with serve_live(security_key="secret") as server:
        talk_to(server)
        started = await musterd("run", "demo-team", "[[SAY yes]]", "--detach", "--token", "secret")
        address = str(server.http.base_url).rstrip("/")
        line = f"  its page   {address}/ui/#/runs/{started.out.strip()}"
        assert (started.code, line in started.err.splitlines()) == (0, is_built)
        assert "/ui/" not in started.err.replace(line, "")


async def test_files_and_a_session_go_with_a_run(
    serve_live: Serve, musterd: Command, talk_to: TalkTo, tmp_path: Path
) -> None:
    note = tmp_path / "note.txt"
    note.write_text("from a file")
    async with serve_live() as server:
        talk_to(server)
        words = ["run", "demo-team", "hello", "-f", str(note), "--session", "s1", "--json"]
        assert (await musterd(*words)).json["session_id"] == "s1"
        assert "from a file" in str(server.model.calls)
        missing = await musterd("run", "demo-team", "hello", "-f", str(tmp_path / "none.txt"))
        assert missing.code == 2


async def test_a_message_from_standard_input(
    serve_live: Serve, musterd: Command, talk_to: TalkTo, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve_live() as server:
        talk_to(server)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"[[SAY piped]]")))
        assert (await musterd("run", "demo-team")).out == "piped\n"


@pytest.mark.parametrize(
    ("words", "message"), [([""], "The message is empty."), ([], "The message on standard input is empty.")]
)
async def test_an_empty_message_is_wrong_usage(
    musterd: Command, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    refused = await musterd("run", "demo-team", *words)
    assert (refused.code, refused.err) == (2, f"musterd: {message}\n")


async def test_a_team_that_is_not_served(serve_live: Serve, musterd: Command, talk_to: TalkTo) -> None:
    async with serve_live() as server:
        talk_to(server)
        near = await musterd("run", "demo-taem", "hello")
        assert (near.code, "Did you mean demo-team" in near.err) == (2, True)
        far = await musterd("run", "zzzzz", "hello")
        assert far.err.endswith("List them with: musterd teams ls\n")
        agent = await musterd("run", "demo-team", "hello", "--kind", "agent")
        assert agent.code == 2


async def test_a_run_that_the_server_does_not_take(
    serve_live: Serve, musterd: Command, talk_to: TalkTo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "RETRY_SECONDS", 0)
    async with serve_live() as server:
        talk_to(server)
        assert (await musterd("run", "demo-team", "hello", "--session", "s1")).code == 0
        server.server.begin_stop()
        assert (await musterd("run", "demo-team", "hello", "--session", "s1")).code == 4


async def test_a_chat_is_one_session(
    serve_live: Serve, musterd: Command, talk_to: TalkTo, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve_live() as server:
        talk_to(server)
        monkeypatch.setattr(sys, "stdin", io.StringIO("[[SAY one]]\n\n[[SAY two]]\n"))
        talked = await musterd("chat", "demo-team", "--session", "s 1")
        assert (talked.code, talked.out) == (0, "one\ntwo\n")
        assert "musterd chat demo-team --session 's 1'" in talked.err
        listed = await musterd("runs", "ls", "--session", "s 1", "--json")
        assert [row["input"] for row in listed.json] == ["[[SAY two]]", "[[SAY one]]"]
