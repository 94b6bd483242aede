"""The server of a command that is called with a file in place of a team's id."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from musterd.cli.child_server import ServerDidNotStart, child_server
from musterd.cli.output import say
from musterd.cli.remote.command_failed import CommandFailed, ExitCode
from musterd.cli.remote.server_options import ServerOptions, StartedServer

_SUFFIXES = (".py", ".yaml", ".yml")


def is_source(name: str) -> bool:
    """Whether a name is a file that declares teams, maybe with one of them, such as ``team.py:desk``."""
    return Path(name.partition(":")[0]).suffix.lower() in _SUFFIXES


@contextlib.contextmanager
def server_for(name: str, options: ServerOptions) -> Iterator[ServerOptions]:
    """The server to talk to: one that is started for a file, or the one that the options name.

    :param name: a team, or a source.
    """
    if not is_source(name):
        yield options
        return
    if options.url or options.profile:
        raise CommandFailed(
            f"{name} is a file, which needs no server. Leave --url and --profile out, or give the id of a team.",
            ExitCode.USAGE,
        )
    say(f"Starting a server with {name} …")
    with tempfile.TemporaryDirectory(prefix="musterd-") as folder:
        try:
            with child_server(name, Path(folder) / "server.log") as url:
                yield StartedServer(url=url, token=options.token or _own_key(), source=name)
        except ServerDidNotStart as error:
            raise CommandFailed(f"The server did not start.\n{error}") from error


def _own_key() -> str | None:
    """The key that a server has with the settings of this process."""
    from musterd.cli.settings import settings_from

    return settings_from(None).security_key or None
