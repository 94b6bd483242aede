"""The approvals inbox: tool calls of all runs that wait for a person, and the decisions about them."""

from dataclasses import dataclass

from musterd.core.jsontypes import JsonObject
from musterd.core.records import ComponentKind
from musterd.core.requirements import Requirement
from musterd.core.states import RunState

STATUSES = ("pending", "approved", "rejected", "expired", "cancelled")
"""The statuses of an approval. ``expired`` and ``cancelled`` mean that its run finished without a decision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """An approval as clients read it.

    :param status: one of :data:`STATUSES`.
    :param root_id: the root run; the requirement belongs to it or to one of its members.
    :param source_type: the kind of the root run's component; ``source_id`` and ``source_name`` are its id and name.
    :param expires_at: when the default decision applies, or the run finishes; None if not known yet or already over.
    :param resolution_data: the data of the decision.
    :param schedule_id: the schedule that started the root run, with the firing ``firing_id``.
    """

    requirement: Requirement
    status: str
    root_id: str
    session_id: str
    user_id: str | None
    run_state: RunState
    source_type: ComponentKind
    source_id: str
    source_name: str
    created_at: float
    expires_at: float | None = None
    decision: JsonObject | None = None
    resolution_data: JsonObject | None = None
    decided_by: str | None = None
    decided_at: float | None = None
    schedule_id: str | None = None
    firing_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalFilter:
    """Which approvals to list. None means no condition.

    :param sort_by: ``created_at``: newest first; ``expires_at``: what expires first, and what never does last.
    """

    status: str | None = None
    approval_type: str | None = None
    pause_type: str | None = None
    source_type: str | None = None
    agent_id: str | None = None
    team_id: str | None = None
    workflow_id: str | None = None
    user_id: str | None = None
    schedule_id: str | None = None
    run_id: str | None = None
    sort_by: str = "created_at"
    limit: int = 100
    page: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """A decision that a person makes in the inbox.

    :param by: who decides, as the client claims.
    :param data: ``values`` for a call that needs input or is approved with changed arguments, ``result`` for a call
        that was made elsewhere, ``note`` for the model, and any other keys to store.
    """

    is_approved: bool
    by: str | None = None
    data: JsonObject | None = None
