"""Starts runs of a team, on a server or from a file."""

import contextlib
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from musterd.cli.output import say
from musterd.cli.remote.command_failed import CommandFailed, ExitCode
from musterd.cli.remote.components import Served, component_of, served
from musterd.cli.remote.local_server import is_source, server_for
from musterd.cli.remote.lookups import require_text
from musterd.cli.remote.new_runs import attend
from musterd.cli.remote.outage import Outage
from musterd.cli.remote.server_options import ServerOptions, connected, server_of
from musterd.cli.remote.session_lists import session_to_continue
from musterd.cli.waiting import SILENCE_SECONDS, Heartbeat
from musterd.core.redacted_urls import redacted_url

if TYPE_CHECKING:
    from musterd.client import Client, File, Run, StartOptions
    from musterd.client.runs import ComponentKind

RETRY_SECONDS = 15.0
"""For how long a run is started over an outage of the server, as while ``musterd dev`` restarts it after a change."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """A run to start.

    :param team: the id of a team, an agent or a workflow, or the source that declares it.
    :param kind: which of them, if several have the same id.
    :param session: its session; by default a new one.
    """

    team: str
    message: str
    kind: "ComponentKind | None" = None
    session: str | None = None
    files: Sequence["File"] = ()


def run_once(start: Start, options: ServerOptions, *, detach: bool, as_json: bool) -> int:
    """Start a run and follow it.

    :return: the exit code that stands for the run's end.
    """
    if detach and is_source(start.team):
        raise CommandFailed(
            f"--detach needs a server that stays. Start it with: musterd serve {shlex.quote(start.team)}",
            ExitCode.USAGE,
        )
    with server_for(start.team, options) as server:
        return attend(started(start, server), server, detach=detach, as_json=as_json)


def message_or_input(message: str | None) -> str:
    """The message of the command line, or what is piped into the command."""
    if message is not None:
        require_text("message", message)
        return message
    if sys.stdin.isatty():
        raise CommandFailed('There is no message: musterd run TEAM "message", or pipe it in.', ExitCode.USAGE)
    try:
        text = sys.stdin.buffer.read().decode().strip()
    except UnicodeDecodeError as error:
        raise CommandFailed(
            "Standard input is not UTF-8 text. Send other files with --file.", ExitCode.USAGE
        ) from error
    require_text("message on standard input", text)
    return text


def contents_of(paths: Sequence[Path]) -> list["File"]:
    """Read files that go with a run.

    :raises CommandFailed: one cannot be read.
    """
    from musterd.client import File

    files = []
    for path in paths:
        try:
            files.append(File(name=path.name, content=path.read_bytes()))
        except OSError as error:
            raise CommandFailed(f"{path} cannot be read: {error.strerror}.", ExitCode.USAGE) from error
    return files


def started(start: Start, options: ServerOptions) -> "Run":
    """Start a run. The server has stored it when this returns."""
    fields: StartOptions = {}
    if start.files:
        fields["files"] = start.files
    # If the answer of `start` is lost, the client sends it again with the same idempotency key, so there is one run.
    with _starter(options) as client:
        if start.session is not None:
            fields["session_id"] = session_to_continue(client, start.session)
        row = chosen(client, start.team, start.kind)
        return client.start(row.component.id, start.message, kind=row.kind, **fields)


@contextlib.contextmanager
def _starter(options: ServerOptions) -> Iterator["Client"]:
    """The client with which a run is started. It says once that it waits for a server that does not answer."""
    outage, url = Outage(), redacted_url(server_of(options).url)
    notices = [f"… {url} does not answer, trying again for {RETRY_SECONDS:g} s"]

    def beat() -> None:
        if outage.seconds and notices:
            say(notices.pop())

    heartbeat = Heartbeat(SILENCE_SECONDS, beat)
    heartbeat.start()
    try:
        with connected(
            options, retry_seconds=RETRY_SECONDS, outage=outage, refused_code=ExitCode.UNREACHABLE
        ) as client:
            yield client
    finally:
        heartbeat.stop()


def chosen(client: "Client", team: str, kind: "ComponentKind | None") -> Served:
    """The component to run.

    :param team: its id, or the source that the server serves.
    """
    if not is_source(team):
        return component_of(client, team, kind)
    source, _, name = team.partition(":")
    rows = [row for row in served(client) if kind in (None, row.kind)]
    matches = [row for row in rows if row.component.id == name] or rows  # a variable's name may differ from its id
    if len(matches) == 1:
        return matches[0]
    names = ", ".join(row.component.id for row in rows)
    raise CommandFailed(
        f"{source} has several: {names}. Name one: musterd run {shlex.quote(source)}:NAME", ExitCode.USAGE
    )
