"""Deliveries: what webhooks are told of a run, and when one that failed is tried again.

The form of a message, its signature and the times between tries are those of Standard Webhooks
(https://www.standardwebhooks.com); ``docs/howto/webhooks.md`` has them for whoever receives them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from musterd.core import clock
from musterd.core.jsontypes import JsonObject
from musterd.core.records import ComponentKind, RunRow
from musterd.core.states import RunState

WAITS_SECONDS = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)
"""How long a delivery waits after each try that failed, but for chance; after the last of them it is given up."""
LONGEST_RETRY_AFTER_SECONDS = 86400.0
GONE = 410
"""The status by which a receiver says that it wants nothing more."""


class Happening(StrEnum):
    """What a webhook is told of."""

    RUN_COMPLETED = "run.completed"
    RUN_ERROR = "run.error"
    RUN_CANCELLED = "run.cancelled"
    RUN_PAUSED = "run.paused"
    APPROVAL_PENDING = "approval.pending"


HAPPENING_OF = {
    RunState.COMPLETED: Happening.RUN_COMPLETED,
    RunState.ERROR: Happening.RUN_ERROR,
    RunState.CANCELLED: Happening.RUN_CANCELLED,
    RunState.PAUSED: Happening.RUN_PAUSED,
}
"""What a run's settling in a state is to webhooks."""


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"  # to be sent, now or once it is due again
    DELIVERED = "delivered"  # the receiver has answered 2xx
    FAILED = "failed"  # given up


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What webhooks are to be told, as it is stored.

    :param run_id: the root run that it is about.
    :param webhooks: the addresses, separated by spaces; None: nobody is to be told.
    :param attempts: how many attempts the run has had.
    :param facts: beside what the run's row has: ``error``, ``requirements`` or ``approval``.
    """

    run_id: str
    webhooks: str | None
    happening: Happening
    at: float
    attempts: int
    facts: JsonObject

    @classmethod
    def of_end(cls, run: RunRow, state: RunState, at: float, error: JsonObject | None = None) -> Self:
        """That a run has ended which no attempt drives."""
        facts: JsonObject = {"error": error} if error else {}
        happening = HAPPENING_OF[state]
        return cls(
            run_id=run.run_id, webhooks=run.webhooks, happening=happening, at=at, attempts=run.attempt, facts=facts
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message to one address, and what became of it so far.

    :param id: the message's, the same at each try.
    :param attempts: tries so far, since it was last asked for.
    :param run_attempts: attempts that its run had had.
    :param due_at: when it is sent (again); while it is being sent, when another process takes it.
    :param last_status: the status of the receiver's last answer.
    :param last_error: why the last try failed, in a short line.
    """

    id: str
    run_id: str
    session_id: str
    owner: str | None
    user_id: str | None
    component_kind: ComponentKind
    component_id: str
    component_name: str
    url: str
    happening: Happening
    run_attempts: int
    facts: JsonObject
    state: DeliveryState
    attempts: int
    due_at: float
    created_at: float
    ended_at: float | None
    last_status: int | None
    last_error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFilter:
    """Which deliveries to list; None: no such condition.

    :param before: only those that are older than this one.
    """

    run_id: str | None = None
    state: DeliveryState | None = None
    before: str | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one try.

    :param status: of the receiver's answer; None: there was none.
    :param error: why it failed, in a short line for whoever owns the run; None: it is delivered.
    :param reason: the same for the operator alone; None: no more can be said.
    :param retry_after_seconds: what the receiver asked to wait.
    :param is_final: whether no other try is made.
    """

    status: int | None = None
    error: str | None = None
    reason: str | None = None
    retry_after_seconds: float | None = None
    is_final: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryProgress:
    """Where a delivery stands after a try; ``due_at`` counts while it is pending."""

    state: DeliveryState
    due_at: float


def after(outcome: Outcome, attempts: int, now: float, waits: Sequence[float] = WAITS_SECONDS) -> DeliveryProgress:
    """Where a delivery stands that had so many tries, the last of them with this outcome."""
    if outcome.error is None:
        return DeliveryProgress(state=DeliveryState.DELIVERED, due_at=now)
    if outcome.is_final or attempts > len(waits):
        return DeliveryProgress(state=DeliveryState.FAILED, due_at=now)
    asked = min(outcome.retry_after_seconds or 0.0, LONGEST_RETRY_AFTER_SECONDS)
    return DeliveryProgress(state=DeliveryState.PENDING, due_at=now + max(clock.jitter(waits[attempts - 1]), asked))
