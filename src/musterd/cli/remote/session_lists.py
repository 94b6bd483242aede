"""Sessions in lists and alone."""

import json
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from musterd.cli.output import (
    Column,
    ago,
    dollars,
    one_line,
    print_facts,
    print_json,
    print_table,
    print_text,
    printable,
    say,
    with_iso_times,
)
from musterd.cli.remote.command_failed import CommandFailed, ExitCode
from musterd.cli.remote.lookups import is_server_id_prefix, look_up, only_match, person_agrees
from musterd.cli.remote.questions import can_ask

if TYPE_CHECKING:
    from musterd.client import Client, Session

LIST = "musterd sessions ls"
FORMAT = 1
RECENT = 1000
"""How many sessions a name that does not fit is compared with."""
COLUMNS = [
    Column("SESSION", is_id=True),
    Column("TEAM"),
    Column("STATUS"),
    Column("RUNS"),
    Column("COST"),
    Column("USED"),
    Column("NAME", is_text=True),
]


def print_sessions(sessions: Sequence["Session"], *, as_json: bool) -> None:
    """Print a list of sessions."""
    if as_json:
        print_json([session.raw for session in sessions])
        return
    print_table(COLUMNS, map(_cells, sessions), empty="There are no such sessions.")


def _cells(session: "Session") -> tuple[Any, ...]:
    return (
        session.session_id,
        session.component_id,
        session.status,
        session.run_count,
        dollars(session.total_cost),
        ago(session.updated_at),
        session.session_name,
    )


def session_of(client: "Client", name: str, *, acts_at_once: bool = False) -> "Session":
    """A session by its id or the beginning of its id.

    :param acts_at_once: of :func:`look_up`.
    """

    def recent() -> list[str]:
        return _recent_ids(client)

    return look_up("session", name, client.sessions.get, recent, LIST, acts_at_once=acts_at_once)


def session_to_continue(client: "Client", name: str) -> str:
    """The id of the session of a new run: that of a stored one for its beginning, as tables show it.

    :param name: any other one is the id of the session, which may be new.
    :raises CommandFailed: several begin with it.
    """
    from musterd.client import Forbidden, NotFound

    if not is_server_id_prefix(name):
        return name
    try:
        return client.sessions.get(name).session_id
    except NotFound:
        return only_match("session", name, _recent_ids(client)) or name
    except Forbidden:  # a token that starts runs need not read sessions
        return name


def session_to_filter(client: "Client", name: str | None) -> str | None:
    """The id of the session of runs to list, by its beginning."""
    from musterd.client import Forbidden

    try:
        return None if name is None else session_of(client, name).session_id
    except Forbidden:  # a token that reads runs need not read sessions
        return name


def _recent_ids(client: "Client") -> list[str]:
    return [session.session_id for session in islice(client.sessions.all(), RECENT)]


def print_session(session: "Session") -> None:
    """Print a session and its messages."""
    facts = (
        ("session", session.session_id),
        ("name", session.session_name),
        ("team", session.component_id),
        ("created", ago(session.created_at)),
        ("used", ago(session.updated_at)),
        ("state", session.session_state),
    )
    print_facts(facts)
    for message in session.chat_history or ():
        if message.get("content") and message.get("role") in ("user", "assistant"):
            content = message["content"]
            text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
            print_text(f"\n{message['role']}: {printable(text)}")


def exported(client: "Client", session: "Session") -> bytes:
    """A session and the exports of its runs, oldest first."""
    run_ids = [row.run_id for row in client.runs.all(session_id=session.session_id)]
    head = json.dumps({"format": FORMAT, "session": with_iso_times(session.raw)}, ensure_ascii=False)
    runs = b",".join(client.runs.export(run_id).strip() for run_id in reversed(run_ids))
    return head[:-1].encode() + b', "runs": [' + runs + b"]}\n"


def remove(client: "Client", sessions: Sequence["Session"], *, is_confirmed: bool) -> None:
    """Delete sessions, if a person agrees."""
    if not is_confirmed:
        if not can_ask():
            raise CommandFailed("Nothing was deleted: without a terminal, confirm with --yes.", ExitCode.USAGE)
        for session in sessions:
            say(f"{session.session_id}  {one_line(session.session_name)}")
        if not person_agrees(f"Delete {'this session' if len(sessions) == 1 else 'these sessions'} with all runs?"):
            raise CommandFailed("Nothing was deleted.")
    for session in sessions:
        client.sessions.delete(session.session_id)
        say(f"Deleted {session.session_id}.")
