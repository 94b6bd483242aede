"""``musterd demo``: the main job, shown. A real server, a real background run, polled over HTTP to its
end."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from rich.console import Console

from musterd.cli.settings import settings_from
from musterd.core import clock
from musterd.core.settings import Settings

MESSAGE = "What is the weather in Paris and what is on the calendar on Friday?"
TEAM = "desk"
START_SECONDS = 60
RUN_SECONDS = 540
STOP_SECONDS = 30
_READY = "musterd: serving on "
_LOG_LINES = 15

Json = Mapping[str, Any]


class DemoFailed(Exception):
    """What went wrong, in words for the person who watches."""


def demo(scripted: bool = False, keep: bool = False) -> int:
    """Serve the sample team, run it once and show it at work; 0 only when the run completed.

    :param scripted: use the scripted model, whatever else is there.
    :param keep: leave the server running until it is interrupted.
    :raises StartError: a variable cannot be read, in words.
    """
    settings, console = settings_from(None), Console(highlight=False, soft_wrap=True)
    model = _model(console, settings, scripted)
    try:
        with tempfile.TemporaryDirectory(prefix="musterd-demo-") as folder, _server(model, Path(folder)) as url:
            console.print(f"Serving the news desk on {url}, model: {_label(model)}")
            status = _show(console, _watch(console, _Client(url, settings.security_key)))
            if status == "COMPLETED" and keep:
                _wait_for_a_person(console, url)
    except (DemoFailed, OSError) as error:
        console.print(f"The demo did not work: {error}", style="red", markup=False)
        return 1
    return 0 if status == "COMPLETED" else 1


def _model(console: Console, settings: Settings, scripted: bool) -> str:
    """The model to show: the embedded one where it can run, unless a person chose another."""
    if scripted:
        return "scripted"
    chosen = os.environ.get("MUSTERD_EXAMPLE_MODEL") or "local"
    if chosen == "local":
        from musterd.models.local.weights import missing

        if reason := missing(settings):
            console.print(f"The embedded model cannot run here: {reason}", style="yellow", markup=False)
            return "scripted"
    return chosen


def _label(model: str) -> str:
    if model == "scripted":
        return "scripted (its answers follow a script: no language model is at work)"
    return "local (embedded, no network)" if model == "local" else model


def _sample() -> Path:
    """The sample team: beside this file in an installed package, under examples/ in a checkout."""
    places = [Path(__file__).with_name("newsroom.py"), Path(__file__).parents[3] / "examples" / "newsroom.py"]
    for place in places:
        if place.is_file():
            return place
    raise DemoFailed("the sample team (newsroom.py) is not installed with this package.")


@contextlib.contextmanager
def _server(model: str, folder: Path) -> Iterator[str]:
    """A server of the sample team on a free port, with its records in ``folder``; its address."""
    log = folder / "server.log"
    command = [sys.executable, "-m", "musterd", "serve", str(_sample()), "--port", "0"]
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*command, "--db", f"sqlite:///{folder}/demo.db"],
            env={**os.environ, "MUSTERD_EXAMPLE_MODEL": model},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        assert process.stdout is not None
        yield _address(process.stdout, log)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(output: IO[str], log: Path) -> str:
    """Where the server serves, as it says itself. Its output is read on, so that it never blocks."""
    said: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        with output:
            for line in output:
                said.put(line)
        said.put(None)

    threading.Thread(target=read, daemon=True).start()
    deadline = clock.monotonic() + START_SECONDS
    with contextlib.suppress(queue.Empty):
        while (line := said.get(timeout=max(0.0, deadline - clock.monotonic()))) is not None:
            if line.startswith(_READY):
                return line.removeprefix(_READY).strip()
    last = log.read_text(errors="replace").strip().splitlines()[-_LOG_LINES:]
    raise DemoFailed("\n".join(["the server did not start.", *last]))


class _Client:
    """Speaks to the server as any client of AgentOS does."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback needs no proxy
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def start(self) -> Json:
        """Post the background run; its receipt."""
        form = urllib.parse.urlencode({"message": MESSAGE, "background": "true", "stream": "false"})
        receipt: Json = self._ask(f"/teams/{TEAM}/runs", form.encode())
        return receipt

    def run(self, receipt: Json, wait_seconds: int) -> Json:
        """The run as it stands, or as soon as it has ended within ``wait_seconds``."""
        query = urllib.parse.urlencode({"session_id": receipt["session_id"], "wait": wait_seconds})
        run: Json = self._ask(f"/teams/{TEAM}/runs/{receipt['run_id']}?{query}")
        return run

    def members(self, receipt: Json) -> list[Json]:
        """The runs of the members so far."""
        runs: list[Json] = self._ask(f"/sessions/{receipt['session_id']}/runs")
        return [run for run in runs if run.get("parent_run_id") == receipt["run_id"]]

    def _ask(self, path: str, form: bytes | None = None) -> Any:
        request = urllib.request.Request(self._url + path, data=form, headers=self._headers)
        try:
            with self._opener.open(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise DemoFailed(f"{path} answered {error.code}: {error.read(500).decode(errors='replace')}") from error


@dataclass(slots=True)
class _Progress:
    """Says what is new since it was last told."""

    console: Console
    started: float = field(default_factory=clock.monotonic)
    said: set[str] = field(default_factory=set)

    @property
    def seconds(self) -> float:
        """How long the run has been watched."""
        return clock.monotonic() - self.started

    def say(self, text: str) -> None:
        """Print ``text`` once."""
        if text not in self.said:
            self.said.add(text)
            self.console.print(f"{self.seconds:6.1f} s  {text}", markup=False)

    def tell(self, run: Json, members: list[Json]) -> None:
        """Print what has changed."""
        if run["status"] == "RUNNING":
            self.say(f"{TEAM}: RUNNING")
        for member in members:
            name = member.get("agent_id") or member.get("team_id")
            self.say(f"  {name}: works on “{member.get('run_input')}”")
            for call in member.get("tools") or ():
                arguments = json.dumps(call.get("tool_args") or {}, ensure_ascii=False)
                self.say(f"  {name}: called {call['tool_name']}({arguments}) → {call.get('result')}")
            if member["status"] not in ("PENDING", "RUNNING"):
                self.say(f"  {name}: {member['status']}")
        self.say(f"{TEAM}: {run['status']}")


def _watch(console: Console, client: _Client) -> Json:
    """Start the run and follow it to its end."""
    console.print(f"Asking: {MESSAGE}", markup=False)
    receipt = client.start()
    progress = _Progress(console)
    progress.say(f"{TEAM}: {receipt['status']}, run {receipt['run_id']}")
    with console.status("") as status:
        while progress.seconds < RUN_SECONDS:
            run = client.run(receipt, wait_seconds=1)
            members = client.members(receipt)
            progress.tell(run, members)
            if run["status"] not in ("PENDING", "RUNNING"):
                return run
            at_work = [str(member.get("agent_id")) for member in members if member["status"] == "RUNNING"]
            status.update(f"{progress.seconds:.0f} s, at work: {', '.join(at_work) or 'the leader'}")
            if not console.is_terminal:
                progress.say(f"still at work: {', '.join(at_work) or 'the leader'}")
    raise DemoFailed(f"the run has not ended in {RUN_SECONDS} s.")


def _show(console: Console, run: Json) -> str:
    """Print how the run ended; its status."""
    console.print("\nThe answer:", style="bold")
    console.print(str(run.get("content")), markup=False)
    console.print("\nThe run:", style="bold")
    console.print(json.dumps(run, ensure_ascii=False, indent=2), markup=False)
    status = str(run["status"])
    if status == "COMPLETED":
        console.print("\nCOMPLETED", style="bold green")
    else:
        console.print(f"\nThe run ended as {status}.", style="red", markup=False)
    return status


def _wait_for_a_person(console: Console, url: str) -> None:
    console.print(f"The server goes on serving on {url}; press Ctrl-C to stop it.")
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
