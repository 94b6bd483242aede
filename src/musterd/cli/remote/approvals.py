"""``musterd approvals``: decide what runs wait for."""

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter, validators

from musterd.cli.remote.arguments import ApprovalName, DecidedBy, Run
from musterd.cli.remote.server_options import NO_OPTIONS, ServerOptions, connected

if TYPE_CHECKING:
    from musterd.client import Approval, Client

Status = Literal["pending", "approved", "rejected", "expired", "cancelled", "all"]

approvals = App(name="approvals", help="List and make the decisions that runs wait for.")


@approvals.command(name="ls")
def list_approvals(
    *,
    status: Status = "pending",
    run: Run | None = None,
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=100))] = 100,
    json: bool = False,
    server: ServerOptions = NO_OPTIONS,
) -> int:
    """List the decisions that runs wait for, newest first.

    "cut off, may have happened" marks a call that was interrupted. Find out whether it happened before you decide.

    Parameters
    ----------
    status
        Only those with this status.
    run
        Only those of this run.
    limit
        The maximum number of approvals.
    json
        Print an array of objects.
    """
    from musterd.cli.remote.approval_lists import print_approvals
    from musterd.cli.remote.run_lists import run_id_of

    with connected(server) as client:
        run_id = None if run is None else run_id_of(client, run)
        page = client.approvals.list(status=None if status == "all" else status, run_id=run_id, limit=limit)
    print_approvals(page.items, as_json=json)
    return 0


@approvals.command(name="show")
def show_approval(approval: ApprovalName, /, *, json: bool = False, server: ServerOptions = NO_OPTIONS) -> int:
    """Show APPROVAL: who wants to make which call, and until when it can be decided.

    Parameters
    ----------
    json
        Print an object.
    """
    from musterd.cli.output import print_json, with_iso_times
    from musterd.cli.remote.approval_lists import approval_of, print_approval

    with connected(server) as client:
        view = approval_of(client, approval)
    if json:
        print_json(with_iso_times(view.raw))
    else:
        print_approval(view, server)
    return 0


@approvals.command(name="approve")
def approve(
    approval: ApprovalName,
    /,
    *,
    result: str | None = None,
    again: bool = False,
    by: DecidedBy = None,
    server: ServerOptions = NO_OPTIONS,
) -> int:
    """Approve the call of APPROVAL. Its run continues.

    A call that was cut off may have happened already. Find out, then give --result or --again, or reject it.

    Parameters
    ----------
    result
        What the call has returned, if it was made elsewhere or had happened when it was cut off.
    again
        Make a call again that was cut off. If it had happened, it happens twice.
    """
    from musterd.cli.remote.approval_lists import check_repeat, store_decision

    def resolve(client: "Client", pending: "Approval") -> "Approval":
        check_repeat(pending, server, is_repeat=again, has_result=result is not None)
        return client.approvals.approve(pending.id, result=result, resolved_by=by)

    store_decision(approval, resolve, server)
    return 0


@approvals.command(name="reject")
def reject(
    approval: ApprovalName,
    /,
    *,
    note: str | None = None,
    by: DecidedBy = None,
    server: ServerOptions = NO_OPTIONS,
) -> int:
    """Reject the call of APPROVAL. Its run continues without it. A call that was cut off is not made again.

    Parameters
    ----------
    note
        The reason, which the model reads.
    """
    from musterd.cli.remote.approval_lists import store_decision

    store_decision(
        approval, lambda client, pending: client.approvals.reject(pending.id, note=note, resolved_by=by), server
    )
    return 0


@approvals.command(name="edit")
def edit(
    approval: ApprovalName,
    change: str,
    /,
    *changes: str,
    by: DecidedBy = None,
    server: ServerOptions = NO_OPTIONS,
) -> int:
    """Approve the call of APPROVAL with other arguments, such as: copies=3 title="Hello".

    Parameters
    ----------
    change
        NAME=VALUE: an argument of the call, or a value that is asked for. A number, true or an object is written as
        JSON.
    changes
        More of them.
    """
    from musterd.cli.remote.approval_lists import store_decision, values_of

    values = values_of([change, *changes])
    store_decision(
        approval,
        lambda client, pending: client.approvals.approve(pending.id, values=values, resolved_by=by),
        server,
    )
    return 0
