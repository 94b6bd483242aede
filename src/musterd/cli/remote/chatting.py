"""A conversation in the terminal: runs of one session."""

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from musterd.cli.output import say
from musterd.cli.remote.command_failed import ExitCode
from musterd.cli.remote.local_server import server_for
from musterd.cli.remote.new_runs import attend
from musterd.cli.remote.server_options import ServerOptions, command, connected
from musterd.cli.remote.session_lists import session_to_continue
from musterd.cli.remote.starting import Start, chosen, started
from musterd.core import clock

if TYPE_CHECKING:
    from musterd.client.runs import ComponentKind

PROMPT = "> "


def chat_with(team: str, session: str | None, kind: "ComponentKind | None", options: ServerOptions) -> int:
    """Send each line that a person types, and print the answers.

    :return: 130 after Ctrl+C at the prompt; otherwise the exit code of the last run that did not complete, or 0.
    """
    code: int = ExitCode.COMPLETED
    with server_for(team, options) as server:
        with connected(server) as client:
            name = chosen(client, team, kind).component.id
            session_id = session_to_continue(client, session) if session else clock.new_id()
        say(f"Talking to {name} in session {session_id}. Ctrl+D ends.")
        try:
            for message in _messages():
                start = Start(team=team, message=message, kind=kind, session=session_id)
                code = attend(started(start, server), server, detach=False) or code
        except KeyboardInterrupt:
            say("")
            code = ExitCode.CANCELLED
    say(f"Continue with: {command('chat', options, team, '--session', session_id)}")
    return code


def _messages() -> Iterator[str]:
    """The lines that are not empty, until the end of the input."""
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if is_terminal:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 - input() edits lines with it
    while True:
        try:
            line = input(PROMPT) if is_terminal else next(sys.stdin)
        except (EOFError, StopIteration):
            say("")
            return
        if line.strip():
            yield line.strip()
