"""``musterd sessions``: conversations on a server."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter, validators

from musterd.cli.remote.arguments import Session, SessionName, Team
from musterd.cli.remote.server_options import NO_OPTIONS, ServerOptions, connected

sessions = App(name="sessions", help="List, show, rename, export and delete sessions.")


@sessions.command(name="ls")
def list_sessions(
    *,
    team: Team | None = None,
    search: str | None = None,
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=100))] = 20,
    json: bool = False,
    server: ServerOptions = NO_OPTIONS,
) -> int:
    """List sessions, the last used first.

    Parameters
    ----------
    team
        Only sessions of this team, agent or workflow.
    search
        Only sessions with this text in their name or first message.
    limit
        The maximum number of sessions.
    json
        Print an array of objects.
    """
    from musterd.cli.remote.session_lists import print_sessions

    with connected(server) as client:
        page = client.sessions.list(component_id=team, text=search, limit=limit, sort_by="updated_at")
    print_sessions(page.items, as_json=json)
    return 0


@sessions.command(name="show")
def show_session(session: SessionName, /, *, json: bool = False, server: ServerOptions = NO_OPTIONS) -> int:
    """Show SESSION with its messages.

    Parameters
    ----------
    json
        Print an object.
    """
    from musterd.cli.output import print_json, with_iso_times
    from musterd.cli.remote.session_lists import print_session, session_of

    with connected(server) as client:
        view = session_of(client, session)
    if json:
        print_json(with_iso_times(view.raw))
    else:
        print_session(view)
    return 0


@sessions.command(name="rename")
def rename_session(session: SessionName, name: str, /, *, server: ServerOptions = NO_OPTIONS) -> int:
    """Rename SESSION to NAME.

    Parameters
    ----------
    name
        The new name.
    """
    from musterd.cli.output import say
    from musterd.cli.remote.lookups import require_text
    from musterd.cli.remote.session_lists import session_of

    require_text("new name", name)
    with connected(server) as client:
        session_id = session_of(client, session).session_id
        client.sessions.rename(session_id, name)
    say(f"{session_id} is now named {name}.")
    return 0


@sessions.command(name="export")
def export_session(
    session: SessionName,
    /,
    *,
    output: Path | None = None,
    force: bool = False,
    server: ServerOptions = NO_OPTIONS,
) -> int:
    """Print SESSION with everything that is stored of its runs as one JSON object.

    Parameters
    ----------
    output
        Write it into this file.
    force
        Replace an existing file.
    """
    from musterd.cli.remote.exports import write_export
    from musterd.cli.remote.session_lists import exported, session_of

    with connected(server) as client:
        content = exported(client, session_of(client, session))
    write_export(content, output, replaces=force)
    return 0


@sessions.command(name="rm")
def remove_sessions(
    session: SessionName,
    /,
    *sessions: Session,
    yes: Annotated[bool, Parameter(negative=())] = False,
    server: ServerOptions = NO_OPTIONS,
) -> int:
    """Delete SESSION with all its runs. In a terminal it asks first; elsewhere --yes is needed.

    With --yes, the beginning of an id needs at least 8 characters, and an id that a client chose must be whole.

    Parameters
    ----------
    sessions
        More sessions.
    yes
        Delete without a question.
    """
    from musterd.cli.remote.session_lists import remove, session_of

    with connected(server) as client:
        views = [session_of(client, name, acts_at_once=yes) for name in (session, *sessions)]
        remove(client, views, is_confirmed=yes)
    return 0
