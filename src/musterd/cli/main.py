"""The command line: what each command takes. Their bodies stand in rooms of their own, imported when called.

Exit codes: 0 done, 1 it did not work, 2 it was asked or declared wrongly.
"""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter, validators

import musterd
from musterd.core import garbage_collection
from musterd.core.errors import DeclarationError, MusterdError, RequestError, StartError, Unavailable

START = "start"
"""Who holds the collector until a command that stays has started."""

DATABASE = Annotated[
    str | None, Parameter(help="sqlite:///file, sqlite:////absolute/file, postgresql://… [MUSTERD_DB]")
]

app = App(
    name="musterd",
    help="A server for durable multi-agent team runs.",
    version=musterd.__version__,
    result_action="return_value",
)


@app.command
def serve(
    source: str,
    /,
    *,
    host: str = "127.0.0.1",
    port: int = 7777,
    db: DATABASE = None,
    insecure: Annotated[bool, Parameter(help="Serve beyond loopback without a key or tokens.")] = False,
    worker: bool = True,
    recover: bool = True,
) -> int:
    """Serve the agents and teams of SOURCE: a Python file, a module (pkg.mod or pkg.mod:name), or teams.yaml.

    Parameters
    ----------
    source
        Where the agents and teams are declared.
    host
        Address to listen on.
    port
        Port to listen on; 0 takes a free one.
    worker
        Drive runs here too, and not in other processes alone.
    recover
        Take up what the database has in it. Without it nothing is run: for a copy that is to be looked at.
    """
    from musterd.cli.serve import serve as run
    from musterd.engine.process_role import ProcessRole

    duties = ProcessRole(drives_runs=worker, recovers=recover)
    return run(source, host=host, port=port, db=db, insecure=insecure, duties=duties)


@app.command(name="worker")
def work(
    source: str,
    /,
    *,
    db: DATABASE = None,
    host: str = "127.0.0.1",
    port: int | None = None,
) -> int:
    """Drive the runs of SOURCE's agents and teams that a server on the same database accepts.

    Parameters
    ----------
    source
        Where the agents and teams are declared.
    host
        Address to answer probes on.
    port
        Port to answer probes on, and to tell figures; 0 takes a free one. Without it nothing is listened on.
    """
    from musterd.cli.worker import work as run

    return run(source, db=db, host=host, port=port)


@app.command
def demo(*, scripted: bool = False, keep: bool = False, json: bool = False) -> int:
    """Run the sample team once over HTTP and show it at work.

    Parameters
    ----------
    scripted
        Use the scripted model in place of the embedded one.
    keep
        Leave the server running afterwards.
    json
        Print the whole run as JSON after the summary.
    """
    from musterd.cli.demo import demo as run

    return run(scripted=scripted, keep=keep, as_json=json)


token = App(name="token", help="Tokens of service accounts: for programs, and for the first of all administrators.")
app.command(token)


@token.command(name="create")
def create_token(
    name: str,
    /,
    *,
    scope: Annotated[list[str] | None, Parameter(negative=())] = None,
    days: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=3650))] = 90,
    never_expires: Annotated[bool, Parameter(negative=())] = False,
    db: DATABASE = None,
) -> int:
    """Make the service account NAME, and print its token: once, and never again.

    Parameters
    ----------
    name
        Its name; its user is service:NAME.
    scope
        What it may do, as teams:run or teams:desk:run or agent_os:admin; may be given several times. Without any: run
        all agents and teams, and look at its own sessions.
    days
        How many days the token is valid.
    never_expires
        Make it valid for ever.
    """
    from musterd.cli.tokens import create

    return create(name, scopes=scope, days=None if never_expires else days, db=db)


@token.command(name="list")
def list_tokens(*, db: DATABASE = None) -> int:
    """List the service accounts."""
    from musterd.cli.tokens import show

    return show(db=db)


@token.command(name="revoke")
def revoke_token(name: str, /, *, db: DATABASE = None) -> int:
    """Revoke the service account NAME: its token lets nobody in any more.

    Parameters
    ----------
    name
        Its name or its id.
    """
    from musterd.cli.tokens import revoke

    return revoke(name, db=db)


@app.command
def doctor(
    source: str | None = None,
    /,
    *,
    db: DATABASE = None,
    host: str = "127.0.0.1",
    port: int = 7777,
    mcp: bool = False,
    json: bool = False,
) -> int:
    """Check whether a server would start here and do its work, and say what to do where not. Changes nothing.

    Exit codes: 0 all is well, 1 something should be looked at, 2 something fails.

    Parameters
    ----------
    source
        What would be served; without it nothing is said of agents, teams and models.
    host
        Address that would be listened on.
    port
        Port that would be listened on.
    mcp
        Connect to the MCP servers that SOURCE names; programs are started for that.
    json
        One line of JSON in place of the page.
    """
    from musterd.cli.doctor import doctor as run

    return run(source, db=db, host=host, port=port, asks_servers=mcp, as_json=json)


database = App(name="db", help="Look at the database, and back it up.")
app.command(database)


@database.command
def info(
    *,
    db: DATABASE = None,
    json: bool = False,
) -> int:
    """Say what the database holds. Changes nothing.

    Parameters
    ----------
    json
        One line of JSON in place of the page.
    """
    from musterd.cli.database import info as run
    from musterd.cli.settings import settings_from

    return run(settings_from(db), as_json=json)


@database.command
def backup(
    file: Path,
    /,
    *,
    db: DATABASE = None,
    force: bool = False,
) -> int:
    """Copy the SQLite database into FILE while it is in use, and check the copy.

    Parameters
    ----------
    file
        Where the copy is put, once it is whole.
    force
        Replace a file that is there already.
    """
    from musterd.cli.database import backup as run
    from musterd.cli.settings import settings_from

    return run(settings_from(db), file, force=force)


def _in_words(error: MusterdError) -> str:
    """One problem after the program's name; several below a line that counts them."""
    problems = error.message.splitlines()
    return "\n".join([f"musterd: {len(problems)} problems", *problems] if problems[1:] else [f"musterd: {problems[0]}"])


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    garbage_collection.hold(START)
    try:
        result = app(arguments)
    except (DeclarationError, StartError, RequestError) as error:
        print(_in_words(error), file=sys.stderr)  # noqa: T201 - what a command says
        return 1 if isinstance(error, Unavailable) else 2
    finally:
        garbage_collection.let_go(START)
    return result if isinstance(result, int) else 0
