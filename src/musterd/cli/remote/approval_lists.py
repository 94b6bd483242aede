"""Approvals in lists and alone."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from musterd.cli.output import (
    Column,
    ago,
    call_text,
    duration,
    iso,
    one_line,
    print_facts,
    print_json,
    print_table,
    say,
    with_iso_times,
)
from musterd.cli.remote.command_failed import CommandFailed, ExitCode
from musterd.cli.remote.decision_hints import UNKNOWN_OUTCOME, cut_off_decisions, decision_hints, waiting_call
from musterd.cli.remote.lookups import look_up
from musterd.cli.remote.questions import json_or_text
from musterd.cli.remote.server_options import ServerOptions, command, connected, field_messages
from musterd.core import clock

if TYPE_CHECKING:
    from musterd.client import Approval, Client

LIST = "musterd approvals ls"
RECENT = 1000
"""How many approvals a name is compared with."""
COLUMNS = [
    Column("APPROVAL", is_id=True),
    Column("RUN", is_id=True),
    Column("STATUS"),
    Column("ASKED"),
    Column("LEFT"),
    Column("CALL OR STEP", is_text=True),
]


def print_approvals(approvals: Sequence["Approval"], *, as_json: bool) -> None:
    """Print a list of approvals."""
    if as_json:
        print_json(with_iso_times([approval.raw for approval in approvals]))
        return
    print_table(COLUMNS, map(_cells, approvals), empty="No run waits for a decision.")


def _cells(approval: "Approval") -> tuple[Any, ...]:
    is_pending = approval.status == "pending"
    left = duration(approval.expires_at - clock.now()) if is_pending and approval.expires_at is not None else ""
    call = waiting_call(approval.pause_type, _call(approval)) if is_pending else _call(approval)
    about = _step_message(approval) or call
    return approval.id, approval.run_id, approval.status, ago(approval.created_at), left, about


def _step_of(approval: "Approval") -> dict[str, Any] | None:
    """The step of a workflow that waits; None: a call waits."""
    step: dict[str, Any] | None = (approval.raw.get("context") or {}).get("step")
    return step


def _step_message(approval: "Approval") -> str | None:
    """What the declaration of the step asks a person, or why the step failed."""
    step = _step_of(approval) or {}
    keys = ("user_input_message", "confirmation_message", "error_message")
    return next((str(step[key]) for key in keys if step.get(key)), None)


def _call(approval: "Approval") -> str:
    """What is approved: a call of a tool, with the arguments that a person has changed, or a step of a workflow."""
    name, arguments = approval.tool_name or "", approval.tool_args or {}
    if approval.status == "approved" and approval.pause_type == "confirmation":
        arguments = {**arguments, **((approval.raw.get("resolution_data") or {}).get("values") or {})}
    return call_text(name, arguments) if _step_of(approval) is None else f"step {one_line(name)}"


def _kind(approval: "Approval") -> str | None:
    """Why it waits."""
    if approval.pause_type == UNKNOWN_OUTCOME:
        return "the call was cut off, and may have happened already"
    return approval.pause_type and approval.pause_type.replace("_", " ")


def _began(approval: "Approval") -> str | None:
    """When the call began, if it did: what was done after this can be compared with it."""
    requirements = approval.raw.get("requirements") or [{}]
    at = requirements[0].get("started_at")
    return None if at is None else f"{ago(at)} ({iso(at)})"


def _until(approval: "Approval") -> str | None:
    """Until when it can be decided."""
    if approval.expires_at is None:
        return None
    left = approval.expires_at - clock.now()
    remaining = f"{duration(left)} left, " if approval.status == "pending" and left > 0 else ""
    return f"{remaining}{iso(approval.expires_at)}"


def approval_of(client: "Client", name: str) -> "Approval":
    """An approval by its id or the beginning of its id."""
    return look_up("approval", name, client.approvals.get, lambda: _recent_ids(client), LIST)


def _recent_ids(client: "Client") -> Iterator[str]:
    """The ids of the approvals that wait, which are the ones that are decided, and of the last ones of all."""
    for status in ("pending", None):
        yield from (approval.id for approval in islice(client.approvals.all(status=status), RECENT))


def print_approval(approval: "Approval", options: "ServerOptions") -> None:
    """Print an approval, and on standard error how to decide it."""
    is_step = _step_of(approval) is not None
    facts = (
        ("approval", approval.id),
        ("status", approval.status),
        ("run", approval.run_id),
        ("by", approval.resolved_by),
        ("member", approval.member_name),
        ("task", approval.task),
        ("kind", _kind(approval)),
        ("step", approval.tool_name if is_step else None),
        ("message", _step_message(approval)),
        ("call", None if is_step else _call(approval)),
        ("does", approval.raw.get("tool_description")),
        ("began", _began(approval)),
        ("asked", ago(approval.created_at)),
        ("until", _until(approval)),
        ("otherwise", approval.raw.get("default_decision")),
    )
    print_facts(facts)
    if approval.status == "pending":
        say("\n".join(decision_hints(approval.pause_type, approval.id, options)))


def store_decision(name: str, resolve: Callable[["Client", "Approval"], "Approval"], options: ServerOptions) -> None:
    """Store a decision, and say how to see what follows.

    :param name: the approval, or the beginning of its id.
    :param resolve: stores the decision about the approval.
    """
    from musterd.client import InvalidInput

    with connected(options) as client:
        pending = approval_of(client, name)
        try:
            approval = resolve(client, pending)
        except InvalidInput as error:
            raise CommandFailed(field_messages(error), ExitCode.USAGE) from error
    say(f"{approval.status}: {_call(approval)}")
    say(f"Watch the run: {command('runs watch', options, approval.run_id)}")


def check_repeat(approval: "Approval", options: ServerOptions, *, is_repeat: bool, has_result: bool) -> None:
    """Check that a call that was cut off, and may have happened, is made again only if the person says so.

    :param is_repeat: whether the person wants the call made again.
    :param has_result: whether the person gives its result, so that it is not made again.
    :raises CommandFailed: the person must say which, or wants a call made again that has not been made.
    """
    if is_repeat and has_result:
        raise CommandFailed("Give --again or --result, not both.", ExitCode.USAGE)
    if approval.status != "pending":  # nothing is made any more
        return
    was_cut_off = approval.pause_type == UNKNOWN_OUTCOME
    if was_cut_off and not is_repeat and not has_result:
        began = _began(approval)
        lines = [
            f"{_call(approval)} was cut off, and may have happened already, so it is not made again without --again.",
            f"{f'It began {began}. ' if began else ''}Find out whether it happened, then decide:",
            *cut_off_decisions(approval.id, options),
        ]
        raise CommandFailed("\n".join(lines), ExitCode.USAGE)
    if is_repeat and not was_cut_off:
        raise CommandFailed(f"{_call(approval)} was not cut off. Approve it without --again.", ExitCode.USAGE)


def values_of(changes: Sequence[str]) -> dict[str, Any]:
    """The values of ``NAME=VALUE``. A value that is not JSON is a text."""
    values: dict[str, Any] = {}
    for change in changes:
        name, sign, text = change.partition("=")
        if not sign or not name:
            raise CommandFailed(f'"{change}" is not NAME=VALUE, such as copies=3.', ExitCode.USAGE)
        values[name] = json_or_text(text)
    return values
