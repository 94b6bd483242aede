"""How a person decides about a call that waits."""

from collections.abc import Iterator

from musterd.cli.remote.server_options import ServerOptions, command


def decision_hints(kind: str | None, approval_id: str, options: ServerOptions) -> Iterator[str]:
    """Lines with the commands that decide.

    :param kind: the kind of the approval, such as ``confirmation``.
    """
    approve = command("approvals approve", options, approval_id)
    if kind == "unknown_outcome":
        yield "The call was cut off, and may have happened. Find out, then decide:"
        yield f"  it happened       {command('approvals approve', options, approval_id, '--result', 'TEXT')}"
        yield f"  make it again     {approve}"
        yield f"  do not make it    {command('approvals reject', options, approval_id)}"
    else:
        yield "Decide:"
        yield f"  approve           {approve}"
        yield f"  reject            {command('approvals reject', options, approval_id)}"
        yield f"  change values     {command('approvals edit', options, approval_id, 'NAME=VALUE')}"
