"""``musterd runs``: list, show, follow and change the runs of a server."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter, validators

from musterd.cli.output import say
from musterd.cli.program import program
from musterd.cli.remote.arguments import Detach, Run, RunName, Session, Team
from musterd.cli.remote.server_options import NO_OPTIONS, ServerOptions, connected

if TYPE_CHECKING:
    from musterd.client import Client
    from musterd.client import Run as ClientRun

Status = Literal["pending", "running", "paused", "completed", "error", "cancelled"]
Limit = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=1000))]

runs = App(name="runs", help="List, show, watch and change runs.")


@runs.command(name="ls")
def list_runs(
    *,
    team: Team | None = None,
    status: Annotated[list[Status] | None, Parameter(negative=())] = None,
    session: Session | None = None,
    search: str | None = None,
    limit: Limit = 20,
    json: bool = False,
    server: ServerOptions = NO_OPTIONS,
) -> int:
    """List runs, newest first. All commands accept the beginning of the id of a run, a session or an approval.

    Parameters
    ----------
    team
        Only runs of this team, agent or workflow.
    status
        Only runs with this status; may be repeated.
    session
        Only runs of the session with this id, or the beginning of its id.
    search
        Only runs with this text in their message, answer, error or id.
    limit
        The maximum number of runs.
    json
        Print an array of objects.
    """
    from musterd.cli.remote import run_lists
    from musterd.cli.remote.session_lists import session_to_filter

    with connected(server) as client:
        filters = run_lists.filters(status=status, session_id=session_to_filter(client, session), q=search)
        rows = run_lists.newest(client, limit, team, filters)
    run_lists.print_runs(rows, as_json=json)
    return 0


@runs.command(name="show")
def show_run(run: RunName, /, *, json: bool = False, server: ServerOptions = NO_OPTIONS) -> int:
    """Show RUN: its message, its answer, its members, and what it waits for.

    Parameters
    ----------
    json
        Print the whole run as an object.
    """
    from musterd.cli.output import print_json, with_iso_times
    from musterd.cli.remote.run_lists import run_of
    from musterd.cli.remote.run_text import print_run

    with connected(server) as client:
        view = run_of(client, run)
    if json:
        print_json(with_iso_times(view.raw))
    else:
        print_run(view, server)
    return 0


@runs.command(name="watch")
def watch_run(run: RunName, /, *, json: bool = False, server: ServerOptions = NO_OPTIONS) -> int:
    """Follow RUN until it finishes or waits for a decision, and print its answer. Ctrl+C detaches; the run continues.

    Exit codes: 0 completed, 1 failed, 3 it waits for a decision, 4 the server cannot be reached or no longer lets it be
    watched, 130 cancelled or no longer watched.

    Parameters
    ----------
    json
        Print each event as a line of JSON, and not the answer.
    """
    from musterd.cli.remote.following import follow_and_print, print_each_event
    from musterd.cli.remote.run_lists import run_of

    with connected(server) as client:
        view = run_of(client, run)
    return print_each_event(view, server) if json else follow_and_print(view, server, cancels=False)


@runs.command(name="events")
def list_events(
    run: RunName,
    /,
    *,
    after: int = -1,
    limit: Annotated[int | None, Parameter(validator=validators.Number(gte=1))] = None,
    json: bool = False,
    server: ServerOptions = NO_OPTIONS,
) -> int:
    """List the stored events of RUN and its members, oldest first.

    Parameters
    ----------
    after
        Only events after this index.
    limit
        The maximum number of events; by default all.
    json
        Print each event as a line of JSON.
    """
    from musterd.cli.remote.run_details import print_events
    from musterd.cli.remote.run_lists import run_id_of

    with connected(server) as client:
        print_events(client, run_id_of(client, run), after=after, limit=limit, as_json=json)
    return 0


@runs.command(name="steps")
def list_steps(
    run: RunName, path: str | None = None, /, *, json: bool = False, server: ServerOptions = NO_OPTIONS
) -> int:
    """List the model calls, tool calls and delegations of RUN, or show the step at PATH with its result.

    Parameters
    ----------
    path
        The path of a step, such as t0/c1.
    json
        Print an array of objects; of one step an object.
    """
    from musterd.cli.remote.run_details import print_step, print_steps
    from musterd.cli.remote.run_lists import run_id_of

    with connected(server) as client:
        run_id = run_id_of(client, run)
        if path is None:
            print_steps(client, run_id, as_json=json)
        else:
            print_step(client, run_id, path, server, as_json=json)
    return 0


@runs.command(name="cancel")
def cancel_run(run: RunName, /, *runs: Run, server: ServerOptions = NO_OPTIONS) -> int:
    """Cancel RUN with its members, or a member's run alone.

    If fewer than 8 characters of an id are given, or the beginning of an id that a client chose, a person in a terminal
    is asked first; without a terminal it is refused.

    Parameters
    ----------
    runs
        More runs.
    """
    from musterd.cli.output import say
    from musterd.cli.remote.run_lists import run_id_of

    with connected(server) as client:
        for run_id in [run_id_of(client, name, acts_at_once=True) for name in (run, *runs)]:
            cancelled = client.cancel(run_id)
            had_finished = cancelled.is_final and cancelled.status != "CANCELLED"
            say(f"{run_id} {'had already finished as' if had_finished else 'is'} {cancelled.status}")
    return 0


@runs.command(name="continue")
def continue_run(run: RunName, /, *, detach: Detach = False, server: ServerOptions = NO_OPTIONS) -> int:
    """Start a new run that continues the failed RUN where it stopped. Steps that succeeded are not repeated.

    A run that has not failed is refused with exit code 1. A paused run goes on by itself after a decision.
    """
    from musterd.cli.remote.new_runs import continued

    return continued(run, server, detach=detach)


@runs.command(name="rerun")
def rerun_run(run: RunName, /, *, detach: Detach = False, server: ServerOptions = NO_OPTIONS) -> int:
    """Start a new run in the session of RUN, with the same message, files and options."""
    from musterd.cli.remote.new_runs import started_from

    return started_from(run, lambda client, run_id: client.rerun(run_id), server, detach=detach)


@runs.command(name="fork")
def fork_run(run: RunName, path: str, /, *, detach: Detach = False, server: ServerOptions = NO_OPTIONS) -> int:
    """Start a new run that reuses the steps of the finished RUN up to the one at PATH, and continues from there.

    Parameters
    ----------
    path
        The path of the step, such as t0/c1; musterd runs steps RUN lists the paths.
    """
    from musterd.cli.remote.lookups import require_text
    from musterd.cli.remote.new_runs import started_from
    from musterd.cli.remote.run_details import step_at
    from musterd.client import NotFound

    require_text("path of the step", path)

    def fork(client: "Client", run_id: str) -> "ClientRun":
        try:
            return client.fork(run_id, path)
        except NotFound:
            step_at(client, run_id, path, server)
            raise

    return started_from(run, fork, server, detach=detach)


@runs.command(name="export")
def export_run(
    run: RunName, /, *, output: Path | None = None, force: bool = False, server: ServerOptions = NO_OPTIONS
) -> int:
    """Print everything that is stored of RUN as one JSON object: its members, journal, events and approvals.

    It contains the texts of users. To compare it with today's code: musterd replay FILE SOURCE.

    Parameters
    ----------
    output
        Write it into this file.
    force
        Replace an existing file.
    """
    from musterd.cli.remote.exports import write_export
    from musterd.cli.remote.run_lists import run_id_of

    with connected(server) as client:
        write_export(client.runs.export(run_id_of(client, run)), output, replaces=force)
    if output is not None:
        say(f"Compare it with today's code: {program()} replay {shlex.quote(str(output))} SOURCE")
    return 0
