"""``musterd demo``: starts a server with the sample team, posts a background run, and polls it until it finishes."""

import contextlib
import json
import os
import sys
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from musterd.cli.child_server import ServerDidNotStart, child_server
from musterd.cli.demo_output import Json, ProgressPrinter, summary
from musterd.cli.page import page_url
from musterd.cli.samples import sample
from musterd.cli.settings import settings_from
from musterd.core.settings import Settings

MESSAGE = "What is the weather in Paris and what is on the calendar on Friday?"
TEAM = "desk"
RUN_SECONDS = 540


class DemoFailed(Exception):
    """The demo failed; the message is for the user."""


def demo(scripted: bool = False, keep: bool | None = None, as_json: bool = False) -> int:
    """Serve the sample team, run it once and show its progress. Returns 0 only if the run completed.

    :param scripted: use the scripted model, even if the embedded one is available.
    :param keep: leave the server running until it is interrupted; by default if a person is there to do so.
    :param as_json: also print the whole run as JSON.
    :raises StartError: an environment variable has an invalid value.
    """
    settings, console = settings_from(None), Console(highlight=False, soft_wrap=True)
    if keep is None:
        # Not the console's own idea of a terminal: FORCE_COLOR overrides it, also where no one can press Ctrl+C.
        keep = sys.stdin.isatty() and sys.stdout.isatty()
    model = _model(console, settings, scripted)
    console.print(f"Starting a server with the news desk team, model: {_label(model)}", markup=False)
    try:
        with tempfile.TemporaryDirectory(prefix="musterd-demo-") as folder:
            status = _serve_and_run(console, settings, model, Path(folder), keep=keep, as_json=as_json)
    except (DemoFailed, OSError) as error:
        console.print(f"The demo failed: {error}", style="red", markup=False)
        return 1
    if not keep:
        _print_status(console, status)
    return 0 if status == "COMPLETED" else 1


def _serve_and_run(console: Console, settings: Settings, model: str, folder: Path, *, keep: bool, as_json: bool) -> str:
    """Serve the sample team with its data in ``folder``, run it once and return the run's status."""
    with ProgressPrinter(console) as progress, _server(model, folder, progress) as url:
        progress.say(f"serving on {url}")
        progress.say(f"message: {MESSAGE}")
        progress.waiting_for = "sending the message"
        run, members = _follow(progress, _Client(url, settings.security_key), url)
        progress.waiting_for = ""
        _print_summary(console, run, members, url, as_json=as_json)
        if keep:
            _print_status(console, run["status"])
            _wait_for_interrupt(console, page_url(url, f"runs/{run['run_id']}"))
        else:
            console.print("(The server stops now. Use musterd demo --keep to leave it running.)")
    return str(run["status"])


def _model(console: Console, settings: Settings, scripted: bool) -> str:
    """The model to use: the embedded one if it can run here, unless the user chose another."""
    if scripted:
        return "scripted"
    model = os.environ.get("MUSTERD_EXAMPLE_MODEL") or "local"
    if model == "local":
        from musterd.models.local.weights import missing

        if reason := missing(settings):
            console.print(f"The embedded model cannot run here: {reason}", style="yellow", markup=False)
            return "scripted"
    return model


def _label(model: str) -> str:
    if model == "scripted":
        return "scripted (its answers follow a script; no language model is used)"
    return "local (embedded, no network)" if model == "local" else model


@contextlib.contextmanager
def _server(model: str, folder: Path, progress: ProgressPrinter) -> Iterator[str]:
    """Run a server with the sample team on a free port, with its database in ``folder``; gives its URL."""
    progress.waiting_for = "the server is starting"
    options = ("--db", f"sqlite:///{folder}/demo.db")
    try:
        with child_server(
            str(sample("newsroom.py")), folder / "server.log", options, {"MUSTERD_EXAMPLE_MODEL": model}
        ) as url:
            try:
                yield url
            finally:
                progress.waiting_for = "the server is stopping"
    except ServerDidNotStart as error:
        raise DemoFailed(f"the server did not start.\n{error}") from error


class _Client:
    """Calls the server as any AgentOS client would."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback needs no proxy
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def start(self) -> Json:
        """Post the background run and return its receipt."""
        form = urllib.parse.urlencode({"message": MESSAGE, "background": "true", "stream": "false"})
        receipt: Json = self._request(f"/teams/{TEAM}/runs", form.encode())
        return receipt

    def run(self, receipt: Json, wait_seconds: int) -> Json:
        """The run, once it has finished or ``wait_seconds`` have passed."""
        query = urllib.parse.urlencode({"session_id": receipt["session_id"], "wait": wait_seconds})
        run: Json = self._request(f"/teams/{TEAM}/runs/{receipt['run_id']}?{query}")
        return run

    def members(self, receipt: Json) -> list[Json]:
        """The members' runs so far, with their tool calls."""
        session_id, run_id = receipt["session_id"], receipt["run_id"]
        previews: list[Json] = self._request(f"/sessions/{session_id}/run-previews")
        query = urllib.parse.urlencode({"session_id": session_id})
        return [
            {**self._request(f"/teams/{TEAM}/runs/{preview['run_id']}?{query}"), "run_input": preview["run_input"]}
            for preview in previews
            if preview["parent_run_id"] == run_id
        ]

    def _request(self, path: str, form: bytes | None = None) -> Any:
        request = urllib.request.Request(self._url + path, data=form, headers=self._headers)
        try:
            with self._opener.open(request, timeout=30) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise DemoFailed(f"{path} answered {error.code}: {error.read(500).decode(errors='replace')}") from error


def _follow(progress: ProgressPrinter, client: _Client, url: str) -> tuple[Json, list[Json]]:
    """Start the run and follow it until it finishes; returns the run and its members' runs."""
    receipt = client.start()
    progress.say(f"{TEAM}: {receipt['status']}, run {receipt['run_id']}")
    progress.say(f"page: {page_url(url, 'runs/' + receipt['run_id'])}")
    progress.waiting_for = "working: the leader"
    started = progress.seconds
    while progress.seconds - started < RUN_SECONDS:
        run = client.run(receipt, wait_seconds=1)
        members = client.members(receipt)
        progress.show(TEAM, run, members)
        if run["status"] not in ("PENDING", "RUNNING"):
            return run, members
    raise DemoFailed(f"the run did not finish within {RUN_SECONDS} s.")


def _print_summary(console: Console, run: Json, members: list[Json], url: str, *, as_json: bool) -> None:
    """Print the result of the run."""
    for title, text in summary(run, members, url):
        console.print(f"\n{title}:", style="bold")
        console.print(text, markup=False)
    if as_json:
        console.print("\nThe run as JSON:", style="bold")
        console.print(json.dumps(run, ensure_ascii=False, indent=2), markup=False)


def _print_status(console: Console, status: str) -> None:
    if status == "COMPLETED":
        console.print("\nCOMPLETED", style="bold green")
    else:
        console.print(f"\nThe run finished as {status}.", style="red", markup=False)


def _wait_for_interrupt(console: Console, page: str) -> None:
    console.print(f"Look at the run: {page}", markup=False)
    console.print("The server keeps running until you press Ctrl+C.")
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
