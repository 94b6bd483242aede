"""``musterd teams``: what a server serves."""

from typing import TYPE_CHECKING, Any

from cyclopts import App

from musterd.cli.remote.arguments import ComponentKind, Team
from musterd.cli.remote.server_options import NO_OPTIONS, ServerOptions, connected

if TYPE_CHECKING:
    from musterd.cli.remote.components import Served

teams = App(name="teams", help="List and show the teams, agents and workflows of a server.")


@teams.command(name="ls")
def list_teams(*, json: bool = False, server: ServerOptions = NO_OPTIONS) -> int:
    """List the teams, agents and workflows that the server serves. Each can be run: musterd run ID.

    Parameters
    ----------
    json
        Print an array of objects.
    """
    from musterd.cli.output import Column, print_json, print_table
    from musterd.cli.remote.components import served

    with connected(server) as client:
        rows = list(served(client))
    if json:
        print_json([_object(row) for row in rows])
    else:
        columns = [Column("ID"), Column("KIND"), Column("MEMBERS"), Column("DESCRIPTION", is_text=True)]
        cells = [
            (row.component.id, row.kind, len(row.component.members) or "", _description(row.component.raw))
            for row in rows
        ]
        print_table(columns, cells, empty="The server has no teams, agents or workflows.")
    return 0


@teams.command(name="show")
def show_team(
    team: Team,
    /,
    *,
    kind: ComponentKind | None = None,
    json: bool = False,
    server: ServerOptions = NO_OPTIONS,
) -> int:
    """Show TEAM: its model, members, tools or steps.

    Parameters
    ----------
    team
        The id of a team, an agent or a workflow.
    kind
        Which one, if several have the same id.
    json
        Print an object.
    """
    from musterd.cli.output import print_json
    from musterd.cli.remote.components import Served, component_of
    from musterd.cli.remote.team_text import print_team

    with connected(server) as client:
        row = component_of(client, team, kind)
        parts = {"team": client.teams, "agent": client.agents, "workflow": client.workflows}
        row = Served(row.kind, parts[row.kind].get(row.component.id))
    if json:
        print_json(_object(row))
    else:
        print_team(row)
    return 0


def _object(row: "Served") -> dict[str, Any]:
    return {"kind": row.kind, **row.component.raw}


def _description(raw: dict[str, Any]) -> str:
    return str(raw.get("description") or raw.get("role") or raw.get("name") or "")
