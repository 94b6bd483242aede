"""Approvals: what waits for a person over all runs, and who decided what about it."""

from dataclasses import dataclass

from musterd.core.jsontypes import JsonObject
from musterd.core.records import ComponentKind
from musterd.core.requirements import Requirement
from musterd.core.states import RunState

STATUSES = ("pending", "approved", "rejected", "expired", "cancelled")
"""What may have become of an approval. Expired and cancelled: its run ended before anybody decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """An approval as its readers see it.

    :param status: one of :data:`STATUSES`.
    :param root_id: the run that a client asked for; the requirement's is its own or a member's.
    :param source_type: of the run that a client asked for, as id and name.
    :param expires_at: when it is decided by default, or its run ends; None: nobody can say yet, or it is over.
    :param resolution_data: what was said with the decision.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalFilter:
    """Which approvals to list. None: no such condition."""

    status: str | None = None
    approval_type: str | None = None
    pause_type: str | None = None
    source_type: str | None = None
    agent_id: str | None = None
    team_id: str | None = None
    user_id: str | None = None
    run_id: str | None = None
    limit: int = 100
    page: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """A person's decision in the inbox.

    :param by: who decides, as the client says.
    :param data: said with it: ``values`` for a call that needs input or is approved with other arguments, ``result``
        for one that happened elsewhere, ``note`` for the model, and whatever else is to be kept.
    """

    is_approved: bool
    by: str | None = None
    data: JsonObject | None = None
