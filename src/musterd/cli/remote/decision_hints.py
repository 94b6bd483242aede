"""How a person decides about a call that waits."""

from collections.abc import Iterator

from musterd.cli.remote.server_options import ServerOptions, command

UNKNOWN_OUTCOME = "unknown_outcome"
"""The kind of a call that a crash or a timeout cut off: only a person can find out whether it happened.

A text in place of the server's enum, whose import would take as long as most commands.
"""


def waiting_call(kind: str | None, call: str) -> str:
    """A call that waits, as lists show it. One that was cut off must not read like a first question.

    :param kind: the kind of the approval, such as ``confirmation``.
    :param call: the call as text.
    """
    return f"cut off, may have happened: {call}" if kind == UNKNOWN_OUTCOME else call


def decision_hints(kind: str | None, approval_id: str, options: ServerOptions) -> Iterator[str]:
    """Lines with the commands that decide.

    :param kind: the kind of the approval, such as ``confirmation``.
    """
    if kind == UNKNOWN_OUTCOME:
        yield "The call was cut off, and may have happened. Find out, then decide:"
        yield from cut_off_decisions(approval_id, options)
        return
    yield "Decide:"
    yield f"  approve           {command('approvals approve', options, approval_id)}"
    yield f"  reject            {command('approvals reject', options, approval_id)}"
    yield f"  change values     {command('approvals edit', options, approval_id, 'NAME=VALUE')}"


def cut_off_decisions(approval_id: str, options: ServerOptions) -> Iterator[str]:
    """Lines with the commands that decide about a call that was cut off."""
    yield f"  it happened       {command('approvals approve', options, approval_id, '--result', 'TEXT')}"
    yield f"  make it again     {command('approvals approve', options, approval_id, '--again')}"
    yield f"  do not make it    {command('approvals reject', options, approval_id)}"
