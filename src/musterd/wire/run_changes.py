"""The messages of the feed of all runs."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from musterd.core.approvals import STATUSES
from musterd.core.run_changes import ApprovalSnapshot, Change
from musterd.wire import sse
from musterd.wire.run_summaries import run_summary
from musterd.wire.shapes import UnixTime


class RunChangeEvent(TypedDict):
    """One message of the feed. Every message describes a state, so a client may get one more than once."""

    event: Annotated[
        Literal["hello", "run", "approval", "counts"],
        Field(
            description="`hello`: the first message; `run`: a run in a few words, as in `GET /runs?view=summary`; "
            "`approval`: an approval; `counts`: how many approvals wait."
        ),
    ]
    id: Annotated[str, Field(description="A cursor for `Last-Event-ID`: a time in milliseconds.")]
    data: Annotated[
        str,
        Field(
            description="The message, as one line of JSON.", json_schema_extra={"contentMediaType": "application/json"}
        ),
    ]


class FeedHello(TypedDict):
    """The first message of the feed."""

    server_id: Annotated[str, Field(description="The process that answers.")]
    version: str
    now: UnixTime
    is_complete: Annotated[
        bool, Field(description="false: more has changed since the cursor than is sent; read the lists again.")
    ]


class FeedApproval(TypedDict):
    """An approval that is new or was decided."""

    id: str
    run_id: str
    status: Annotated[str, Field(json_schema_extra={"enum": list(STATUSES)})]
    created_at: UnixTime


class FeedCounts(TypedDict):
    """What waits for a person."""

    pending_approvals: int


def hello_frame(hello: FeedHello, position: float) -> bytes:
    """The first message as bytes."""
    return sse.frame("hello", {**hello}, cursor_of(position))


def counts_frame(counts: FeedCounts, position: float) -> bytes:
    """The counts as bytes."""
    return sse.frame("counts", {**counts}, cursor_of(position))


def change_frame(change: Change) -> bytes:
    """A change as bytes; made once for all readers."""
    if change.frame is None:
        if change.run is not None:
            name, payload = "run", {**run_summary(change.run)}
        else:
            assert change.approval is not None
            name, payload = "approval", {**_approval(change.approval)}
        change.frame = sse.frame(name, payload, cursor_of(change.position))
    return change.frame


def _approval(approval: ApprovalSnapshot) -> FeedApproval:
    return {
        "id": approval.id,
        "run_id": approval.root_id,
        "status": approval.status,
        "created_at": round(approval.created_at, 3),
    }


def cursor_of(position: float) -> int:
    """The cursor of a position."""
    return int(position * 1000)
