"""``musterd run`` in a terminal: the live screen, questions, Ctrl+C."""

import asyncio
from pathlib import Path

import pytest

from musterd.cli.remote import following
from musterd.cli.remote.server_options import ServerOptions
from musterd.client import Client
from musterd.core import clock
from tests.support.app import Sample, Serve
from tests.support.http import ServerClient
from tests.support.terminal import Terminal

PUBLISH = '[[TOOL publish {"title": "Hi", "copies": 2}]]'


def command(server: ServerClient, config: Path, *words: str) -> Terminal:
    """A command in a terminal, for this server."""
    environment = {"MUSTERD_URL": str(server.http.base_url), "XDG_CONFIG_HOME": str(config)}
    return Terminal(*words, environment=environment)


async def test_members_are_shown_side_by_side_while_they_work(serve_live: Serve, config_folder: Path) -> None:
    async with serve_live() as server:
        hold = server.model.hold("[[WORDS", after=2)
        message = "[[DELEGATE weather-agent: <WORDS 3> || DELEGATE writer-agent: <WORDS 3>]]"
        with command(server, config_folder, "run", "demo-team", message) as terminal:
            await asyncio.to_thread(terminal.until, "╭─")
            for text in ("Demo Team", "Weather Agent", "Writer Agent", "writing", "word0 word1"):
                await asyncio.to_thread(terminal.until, text)
            assert any(line.count("╭") == 2 for line in terminal.text.splitlines())
            hold.release()
            code, out = await asyncio.to_thread(terminal.end)
        assert (code, out.startswith("Done: word0 word1 word2")) == (0, True)
        assert "COMPLETED" in terminal.text


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        (["y"], "Done: 2 copies of Hi"),
        (["what", "n", "too long"], "too long"),
        (["e", "", "5", "y"], "5 copies of Hi"),
    ],
)
async def test_an_approval_is_asked_in_place(
    serve_live: Serve, config_folder: Path, asking: Sample, lines: list[str], answer: str
) -> None:
    async with serve_live(served=asking) as server:
        with command(server, config_folder, "run", "desk", PUBLISH) as terminal:
            await asyncio.to_thread(terminal.until, 'The run wants to call publish(title="Hi", copies=2)')
            await asyncio.to_thread(terminal.until, "[y]es, [n]o, [e]dit, [l]ater? ")
            for line in lines:
                terminal.type(line)
            code, out = await asyncio.to_thread(terminal.end)
        assert (code, answer in out) == (0, True)
        assert " s waiting for decisions)" in terminal.text


async def test_an_approval_is_put_off(serve_live: Serve, config_folder: Path, asking: Sample) -> None:
    async with serve_live(served=asking) as server:
        with command(server, config_folder, "run", "desk", PUBLISH) as terminal:
            await asyncio.to_thread(terminal.until, "[l]ater? ")
            terminal.type("l")
            code, out = await asyncio.to_thread(terminal.end)
        assert (code, out) == (3, "")
        assert "musterd approvals show " in terminal.text


async def test_ctrl_c_cancels_and_shows_the_receipt(serve_live: Serve, config_folder: Path) -> None:
    async with serve_live() as server:
        server.model.hold("hello")
        with command(server, config_folder, "run", "demo-team", "hello") as terminal:
            await asyncio.to_thread(terminal.until, "thinking")
            terminal.interrupt()
            code, _ = await asyncio.to_thread(terminal.end)
        assert code == 130
        assert "The run is CANCELLED." in terminal.text
        (run,) = (await server.get("/runs", view="summary"))["data"]
        assert (run["status"], f"musterd runs watch {run['run_id']}" in terminal.text) == ("CANCELLED", True)


async def test_a_second_ctrl_c_leaves_the_run_at_work(
    serve_live: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def press(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(clock, "block", press)
    async with serve_live() as server:
        hold = server.model.hold("hello")
        url = str(server.http.base_url)

        def detach() -> tuple[int, str]:
            with Client(url) as client:
                run = client.start("demo-team", "hello")
                return following.cancel_after_interrupt(client, run, ServerOptions(url=url)), run.run_id

        code, run_id = await asyncio.to_thread(detach)
        assert code == 130
        assert f"musterd runs watch {run_id} --url {url}\n" in capsys.readouterr().err
        hold.release()
        assert (await server.get(f"/runs/{run_id}", wait=60))["status"] == "COMPLETED"
