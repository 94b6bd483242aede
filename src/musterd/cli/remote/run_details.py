"""The events and the steps of a run, for people and as JSON."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from musterd.cli.output import (
    Column,
    ago,
    dollars,
    event_with_iso_times,
    json_text,
    one_line,
    print_facts,
    print_json,
    print_json_line,
    print_table,
    print_text,
    printable,
    took,
    with_iso_times,
)
from musterd.cli.remote.command_failed import CommandFailed
from musterd.cli.remote.lookups import require_text
from musterd.cli.remote.run_progress import RunProgress, call_of, line_of
from musterd.cli.remote.server_options import command

if TYPE_CHECKING:
    from musterd.cli.remote.server_options import ServerOptions
    from musterd.client import Client, Event, RunStep

PAGE = 1000
STEP_COLUMNS = [
    Column("PATH"),
    Column("KIND"),
    Column("STATE"),
    Column("TOOK"),
    Column("COST"),
    Column("NAME", is_text=True),
]


def print_events(client: "Client", run_id: str, *, after: int, limit: int | None, as_json: bool) -> None:
    """Print stored events, page by page."""
    progress = RunProgress()
    for event in _stored(client, run_id, after, limit):
        if as_json:
            print_json_line(event_with_iso_times(event.raw))
        else:
            member = progress.apply(event)
            words = line_of(event, member) or _content(event)
            print_text(f"{event.index:>5}  {event.name:<28} {member.name}  {words}".rstrip())


def _stored(client: "Client", run_id: str, after: int, limit: int | None) -> Iterator["Event"]:
    left = limit
    while left is None or left > 0:
        page = client.runs.events(run_id, after=after, limit=PAGE if left is None else min(PAGE, left))
        yield from page.events
        after = page.last_index
        if left is not None:
            left -= len(page.events)
        if not page.has_more:
            return


def _content(event: "Event") -> str:
    if event.tool and event.tool.get("tool_call_error"):  # its content says that the call completed
        return f"{call_of(event.tool)} failed"
    return one_line(event.content)[:80] if isinstance(event.content, str) else ""


def print_steps(client: "Client", run_id: str, *, as_json: bool) -> None:
    """Print the list of a run's steps. Delegations have the names of their members."""
    steps = client.runs.steps(run_id)
    if as_json:
        print_json(with_iso_times([step.raw for step in steps]))
        return
    members: Mapping[str, str] = {}
    if any(step.raw.get("child_run_ids") for step in steps):
        members = {member["run_id"]: member["name"] for member in client.runs.get(run_id).raw.get("members") or ()}
    print_table(STEP_COLUMNS, (_step_cells(step, members) for step in steps), empty="The run has no steps yet.")


def _step_cells(step: "RunStep", members: Mapping[str, str]) -> tuple[Any, ...]:
    """The cells of a step.

    :param members: the names of the members by the ids of their runs. A copied step has runs that are not among them.
    """
    problem = f": {step.error['message']}" if step.error else ""
    times = len(step.raw.get("attempts") or ())
    started = f" (started {times} times)" if times > 1 else ""
    names = [members[run_id] for run_id in step.raw.get("child_run_ids") or () if run_id in members]
    delegated = f" to {', '.join(dict.fromkeys(names))}" if names else ""
    return (
        step.path,
        step.kind,
        step.state,
        took(step.started_at, step.ended_at),
        dollars(step.cost),
        f"{step.name or ''}{delegated}{started}{problem}",
    )


def step_at(client: "Client", run_id: str, path: str, options: "ServerOptions") -> "RunStep":
    """The step at a path.

    :raises CommandFailed: the run has none there.
    """
    from musterd.client import NotFound

    try:
        return client.runs.step(run_id, path)
    except NotFound:
        how = command("runs steps", options, run_id)
        raise CommandFailed(f"The run has no step {path}. List its steps with: {how}") from None


def print_step(client: "Client", run_id: str, path: str, options: "ServerOptions", *, as_json: bool) -> None:
    """Print one step with its arguments and its result."""
    require_text("path of the step", path)
    step = step_at(client, run_id, path, options)
    if as_json:
        print_json(with_iso_times(step.raw))
        return
    facts = (
        ("path", step.path),
        ("kind", step.kind),
        ("name", step.name),
        ("state", step.state),
        ("started", ago(step.started_at)),
        ("took", took(step.started_at, step.ended_at)),
        ("arguments", step.raw.get("arguments")),
        ("error", (step.error or {}).get("message")),
    )
    print_facts(facts)
    result = step.raw.get("result")
    if result is not None:
        print_text()
        print_text(printable(result) if isinstance(result, str) else json_text(result, indent=2))
