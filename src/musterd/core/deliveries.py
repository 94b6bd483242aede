"""Webhook deliveries: their records, and when a failed delivery is retried.

Message format, signature and retry delays follow Standard Webhooks (https://www.standardwebhooks.com);
``docs/howto/webhooks.md`` describes them for receivers.
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
"""Retry delays, before jitter. After the last one the delivery fails for good."""
LONGEST_RETRY_AFTER_SECONDS = 86400.0
GONE = 410
"""The HTTP status by which a receiver unsubscribes."""


class WebhookEvent(StrEnum):
    """The kinds of webhook messages."""

    RUN_COMPLETED = "run.completed"
    RUN_ERROR = "run.error"
    RUN_CANCELLED = "run.cancelled"
    RUN_PAUSED = "run.paused"
    APPROVAL_PENDING = "approval.pending"


WEBHOOK_EVENT_OF = {
    RunState.COMPLETED: WebhookEvent.RUN_COMPLETED,
    RunState.ERROR: WebhookEvent.RUN_ERROR,
    RunState.CANCELLED: WebhookEvent.RUN_CANCELLED,
    RunState.PAUSED: WebhookEvent.RUN_PAUSED,
}
"""The message that a run causes when it finishes or pauses in a state."""


class DeliveryState(StrEnum):
    """The state of a delivery."""

    PENDING = "pending"  # to be sent, now or when the retry is due
    DELIVERED = "delivered"  # the receiver responded with 2xx
    FAILED = "failed"  # no further retries


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A message for the webhooks of a run, before it becomes one delivery per URL.

    :param run_id: the root run.
    :param webhooks: the URLs, separated by spaces; None if the run has none.
    :param attempts: how many attempts the run has had.
    :param facts: data that the row of the run does not have: ``error``, ``requirements`` or ``approval``.
    """

    run_id: str
    webhooks: str | None
    happening: WebhookEvent
    at: float
    attempts: int
    facts: JsonObject

    @classmethod
    def of_end(cls, run: RunRow, state: RunState, at: float, error: JsonObject | None = None) -> Self:
        """The notice that a run finished while no attempt was executing it."""
        facts: JsonObject = {"error": error} if error else {}
        happening = WEBHOOK_EVENT_OF[state]
        return cls(
            run_id=run.run_id, webhooks=run.webhooks, happening=happening, at=at, attempts=run.attempt, facts=facts
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message to one URL, and its progress.

    :param id: the id of the message, the same for each try.
    :param attempts: tries so far, since the delivery was last requested.
    :param run_attempts: how many attempts the run had had at that time.
    :param due_at: when it is sent next. While a process is sending it, when another process may take it over.
    :param last_status: the status of the receiver's last response.
    :param last_error: one line that says why the last try failed.
    :param schedule_id: the schedule that started the run, with the firing ``firing_id``.
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
    happening: WebhookEvent
    run_attempts: int
    facts: JsonObject
    state: DeliveryState
    attempts: int
    due_at: float
    created_at: float
    ended_at: float | None
    last_status: int | None
    last_error: str | None
    schedule_id: str | None
    firing_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFilter:
    """Which deliveries to list. None means no condition.

    :param before: only deliveries older than the one with this id.
    """

    run_id: str | None = None
    state: DeliveryState | None = None
    before: str | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of one try.

    :param status: the status of the receiver's response, if there was one.
    :param error: one line for the owner of the run that says why the try failed; None if it succeeded.
    :param reason: more detail for the operator only; None if there is none.
    :param retry_after_seconds: the wait that the receiver requested.
    :param is_final: whether the delivery must not be retried.
    """

    status: int | None = None
    error: str | None = None
    reason: str | None = None
    retry_after_seconds: float | None = None
    is_final: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryProgress:
    """The state of a delivery after a try; ``due_at`` applies while it is pending."""

    state: DeliveryState
    due_at: float


def progress_after(
    outcome: Outcome, attempts: int, now: float, waits: Sequence[float] = WAITS_SECONDS
) -> DeliveryProgress:
    """The progress of a delivery after ``attempts`` tries, of which the last had ``outcome``."""
    if outcome.error is None:
        return DeliveryProgress(state=DeliveryState.DELIVERED, due_at=now)
    if outcome.is_final or attempts > len(waits):
        return DeliveryProgress(state=DeliveryState.FAILED, due_at=now)
    requested_wait = min(outcome.retry_after_seconds or 0.0, LONGEST_RETRY_AFTER_SECONDS)
    return DeliveryProgress(
        state=DeliveryState.PENDING, due_at=now + max(clock.jitter(waits[attempts - 1]), requested_wait)
    )
