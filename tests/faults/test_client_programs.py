"""The programs of examples/client do their work while the server is killed and restarted."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from musterd import Client
from tests.support.process import PATIENCE_SECONDS, Deployment, Process, deployment_of, until

PROGRAMS = Path(__file__).parents[2] / "examples" / "client"
LIMIT = 50


class Site:
    """The sample of the programs, served on one port again and again.

    :param client: of the server, whichever process it is.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._server: Process = deployment.serve()
        self._port = str(self._server.http.base_url.port)
        self.url = f"http://127.0.0.1:{self._port}"
        self.client = Client(self.url, retry_seconds=PATIENCE_SECONDS)

    def restart(self) -> None:
        """Kill the server, and start it again."""
        self._server.kill()
        self._server = self._deployment.begin("serve", "--port", self._port).started()

    @contextlib.contextmanager
    def program(self, name: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Start a program; it is stopped at the end."""
        words = [sys.executable, str(PROGRAMS / name), *arguments]
        environment = {**os.environ, "MUSTERD_URL": self.url}
        with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.terminate()  # programs that a shell has started in the background ignore SIGINT


@pytest.fixture
def site(sqlite_file: Path, tmp_path: Path) -> Iterator[Site]:
    for deployment in deployment_of(f"sqlite:///{sqlite_file}", tmp_path, PROGRAMS / "desk.py"):
        yield Site(deployment)


def test_a_batch_is_answered_over_restarts_and_asks_nothing_twice(site: Site, tmp_path: Path) -> None:
    questions = [f"[[WORDS 3 30]] [[SAY {number}]]" for number in range(49)] + ["[[ERROR 400]]"]
    file = tmp_path / "questions.txt"
    file.write_text("\n".join(questions))
    with site.program("batch.py", "desk", str(file)) as batch:
        for count in (5, 25):
            until(lambda: site.client.runs.counts()["completed"] >= count, f"{count} answers")  # noqa: B023
            site.restart()
        output, _ = batch.communicate(timeout=3 * PATIENCE_SECONDS)
    rows = [json.loads(line) for line in output.splitlines()]
    assert [row["number"] for row in rows] == list(range(50))
    assert {row.get("status") for row in rows[:49]} == {"COMPLETED"}
    assert rows[49]["error"] == "model_error"
    with site.program("batch.py", "desk", str(file)) as again:
        assert [json.loads(line) for line in again.communicate(timeout=3 * PATIENCE_SECONDS)[0].splitlines()] == rows
    assert site.client.runs.counts()["all"] == 50


def test_a_relay_passes_each_event_on_once_over_restarts(site: Site) -> None:
    run = site.client.start("desk", "[[WORDS 40 50]]")

    async def relayed(port: str) -> list[int]:
        indexes: list[int] = []
        async with connect(f"ws://127.0.0.1:{port}/{run.run_id}") as socket:
            async for message in socket:
                indexes.append(json.loads(message)["event_index"])
                if len(indexes) in (5, 15):
                    await asyncio.to_thread(site.restart)
        async with connect(f"ws://127.0.0.1:{port}/{run.run_id}?after={indexes[9]}") as socket:
            assert [json.loads(message)["event_index"] async for message in socket] == indexes[10:]
        async with connect(f"ws://127.0.0.1:{port}/nope") as socket:
            with pytest.raises(ConnectionClosedError, match="There is no such run"):
                await socket.recv()
        return indexes

    with site.program("relay.py", "0") as relay:
        assert relay.stdout is not None
        indexes = asyncio.run(relayed(relay.stdout.readline().strip()))
    assert indexes == [event.index for event in site.client.runs.events(run).events]


def test_a_bot_approves_over_restarts(site: Site) -> None:
    amounts = [5 * number for number in range(5, 15)]
    message = '[[DELEGATE clerk: <TOOL refund {{"order": "A7", "euros": {}}}>]]'
    runs = [site.client.start("desk", message.format(euros)) for euros in amounts]
    with site.program("approve.py") as bot:
        assert bot.stdout is not None
        assert "approved" in bot.stdout.readline()
        site.restart()
        small = [run for run, euros in zip(runs, amounts, strict=True) if euros <= LIMIT]
        for run in small:
            assert site.client.wait(run, through_pauses=True).status == "COMPLETED"
    for run in runs:
        if run not in small:
            assert site.client.wait(run).status == "PAUSED"
    assert {approval.status for approval in site.client.approvals.all(status="approved")} == {"approved"}
    assert {approval.run_id for approval in site.client.approvals.all()} == {
        run.run_id for run in runs if run not in small
    }
