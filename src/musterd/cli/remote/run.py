"""``musterd run`` and ``musterd chat``: runs from the command line."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from musterd.cli.remote.arguments import ComponentKind, Session, TeamOrSource
from musterd.cli.remote.server_options import NO_OPTIONS, ServerOptions

Files = Annotated[
    list[Path] | None,
    Parameter(name=("--file", "-f"), negative=(), validator=validators.Path(exists=True, dir_okay=False)),
]


def run(  # noqa: PLR0913 - each is an argument or an option
    team: TeamOrSource,
    message: str | None = None,
    /,
    *,
    file: Files = None,
    session: Session | None = None,
    kind: ComponentKind | None = None,
    detach: bool = False,
    json: bool = False,
    server: ServerOptions = NO_OPTIONS,
) -> int:
    """Run TEAM with MESSAGE; the help text is in ``main``, which does not import this module for it.

    Parameters
    ----------
    team
        The id of a team, an agent or a workflow. Or a file that declares it, such as team.py:desk: then a server is
        started for it, and stopped at the end.
    message
        The message; without it, standard input is read.
    file
        A file for the run; may be repeated.
    session
        The session to continue; by default a new one.
    kind
        What TEAM is, if several have the same id.
    detach
        Print the id of the run, and do not wait for it.
    json
        Print the whole run as an object, in place of the answer.
    """
    from musterd.cli.remote.starting import Start, contents_of, message_or_input, run_once

    text = message_or_input(message)
    start = Start(team=team, message=text, kind=kind, session=session, files=contents_of(file or ()))
    return run_once(start, server, detach=detach, as_json=json)


def chat(
    team: TeamOrSource,
    /,
    *,
    session: Session | None = None,
    kind: ComponentKind | None = None,
    server: ServerOptions = NO_OPTIONS,
) -> int:
    """Talk to TEAM; the help text is in ``main``.

    Parameters
    ----------
    team
        The id of a team, an agent or a workflow, or a file that declares it, such as team.py:desk.
    session
        The session to continue; by default a new one.
    kind
        What TEAM is, if several have the same id.
    """
    from musterd.cli.remote.chatting import chat_with

    return chat_with(team, session, kind, server)
