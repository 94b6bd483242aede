"""``musterd demo``: runs the sample team as ``musterd run`` does, on a server and a database of its own."""

import contextlib
import os
import sys
import tempfile

from musterd.cli.child_server import ChildServer
from musterd.cli.output import say
from musterd.cli.page import page_url
from musterd.cli.program import program
from musterd.cli.remote.command_failed import ExitCode
from musterd.cli.remote.following import follow_and_print
from musterd.cli.remote.local_server import own_key, started_server
from musterd.cli.remote.server_options import OwnServer, command, connected
from musterd.cli.samples import sample
from musterd.cli.settings import settings_from
from musterd.cli.waiting import SILENCE_SECONDS

MESSAGE = "What is the weather in Paris and what is on the calendar on Friday?"
TEAM = "desk"


def demo(scripted: bool = False, keep: bool | None = None, as_json: bool = False) -> int:
    """Serve the sample team, run it once, and show it at work.

    :param scripted: use the scripted model, even if the embedded one is available.
    :param keep: leave the server running until it is interrupted; by default if a person is there to do so.
    :param as_json: print the whole run as JSON in place of the answer.
    :return: the exit code that stands for the run's end.
    :raises StartError: an environment variable has an invalid value.
    """
    if keep is None:
        keep = sys.stdin.isatty() and sys.stderr.isatty()
    key, model = own_key(), "scripted" if scripted else _model()
    say(f"Starting a server with the news desk team, model: {_label(model)}")
    variables = {"MUSTERD_EXAMPLE_MODEL": model}
    with tempfile.TemporaryDirectory(prefix="musterd-demo-") as folder:
        database = f"sqlite:///{folder}/demo.db"
        with started_server(str(sample("newsroom.py")), db=database, variables=variables) as child:
            return _run(child, OwnServer(url=child.url, token=key, end=child.end), keep=keep, as_json=as_json)


def _model() -> str:
    """The model to use: the embedded one if it can run here, unless the user chose another."""
    model = os.environ.get("MUSTERD_EXAMPLE_MODEL") or "local"
    if model == "local":
        from musterd.models.local.weights import missing

        if reason := missing(settings_from(None)):
            say(f"The embedded model cannot run here: {reason}")
            return "scripted"
    return model


def _label(model: str) -> str:
    if model == "scripted":
        return "scripted (its answers follow a script; no language model is used)"
    return "local (embedded, no network)" if model == "local" else model


def _run(child: ChildServer, server: OwnServer, *, keep: bool, as_json: bool) -> int:
    with connected(server) as client:
        run = client.start(TEAM, MESSAGE)
    page = page_url(child.url, f"runs/{run.run_id}")
    say(f"{TEAM}: {MESSAGE}")
    if page:
        say(f"page: {page}")
    code = follow_and_print(run, server, cancels=True, as_json=as_json, silence_seconds=SILENCE_SECONDS)
    if code == ExitCode.CANCELLED:
        return code
    say("\nWhat to do next:")
    if keep:
        say(f"  look at the run       {page or command('runs show', server, run.run_id)}")
        say(f'  ask something else    {program()} run {TEAM} "What is the weather in Oslo?" --url {child.url}')
    else:
        say(f"  keep the server       {program()} demo --keep")
    say(f"  write your own team   {program()} init my-team")
    if keep:
        with contextlib.suppress(KeyboardInterrupt):
            say("The server keeps running until you press Ctrl+C.")
            child.process.wait()
            server.require_running()
    return code
