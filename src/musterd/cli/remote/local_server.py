"""The server of a command that is called with a file in place of a team's id."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from musterd.cli.child_server import ChildServer, ServerDidNotStart, child_server
from musterd.cli.output import say
from musterd.cli.remote.command_failed import CommandFailed, ExitCode
from musterd.cli.remote.server_options import ServerOptions, StartedServer
from musterd.core.errors import DeclarationError
from musterd.core.source_files import SUFFIXES, existing_file


def is_source(name: str) -> bool:
    """Whether a name is a file that declares teams, maybe with one of them, such as ``team.py:desk``."""
    return Path(name.partition(":")[0]).suffix.lower() in SUFFIXES


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
    try:
        existing_file(name.partition(":")[0])
    except DeclarationError as error:
        raise CommandFailed(error.message, ExitCode.USAGE) from error
    say(f"Starting a server with {name} …")
    with started_server(name) as child:
        yield StartedServer(url=child.url, token=options.token or own_key(), end=child.end, source=name)


@contextlib.contextmanager
def started_server(
    source: str, *, db: str | None = None, variables: Mapping[str, str] | None = None
) -> Iterator[ChildServer]:
    """A server that is started for this command, and stopped at its end.

    :param db: its database; by default that of the settings.
    :param variables: of its environment.
    :raises StartError: an environment variable has an invalid value.
    """
    from musterd.cli.settings import settings_from

    options = () if db is None else ("--db", db)
    # The bus of other servers is only for Postgres. Empty and not removed: the child would read it from .env again.
    bus = {"MUSTERD_BUS": ""} if settings_from(db).db.startswith("sqlite:") else {}
    variables = {**bus, **(variables or {})}
    with tempfile.TemporaryDirectory(prefix="musterd-") as folder:
        try:
            with child_server(source, Path(folder) / "server.log", *options, variables=variables) as child:
                yield child
        except ServerDidNotStart as error:
            raise CommandFailed(f"The server did not start.\n{error}") from error


def own_key() -> str | None:
    """The key that a server has with the settings of this process."""
    from musterd.cli.settings import settings_from

    return settings_from(None).security_key or None
