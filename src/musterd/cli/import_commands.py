"""``musterd import``: the commands and their options."""

from typing import Annotated

from cyclopts import App, Parameter

from musterd.cli.main import DATABASE, JSON

imports = App(name="import", help="Copy the data of another server into the database.")


@imports.command(name="agno")
def import_agno(
    database: str,
    /,
    *,
    db: DATABASE = None,
    component: Annotated[list[str] | None, Parameter(negative=())] = None,
    owned: bool | None = None,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    json: JSON = False,
) -> int:
    """Copy sessions, runs, memories and approvals from DATABASE, the database of an AgentOS 2.5 server.

    DATABASE is opened read-only. After an interruption, repeat the command to continue; nothing is copied twice.

    Exit codes: 0 everything was copied, 1 some rows were skipped, 2 one of the databases cannot be used.

    Parameters
    ----------
    database
        A SQLite file, or a URL in AgentOS's form.
    component
        Give an agent, team or workflow another id, as old=new; may be repeated.
    owned
        Sessions and memories belong to their users, and only tokens of those users can read them. The default is to do
        so if token keys are set.
    dry_run
        Change nothing, and print what would be copied.
    """
    from musterd.cli.imports import import_agno as run_import

    return run_import(database, db=db, components=component or [], owned=owned, dry_run=dry_run, as_json=json)
