"""Schedules, and their firings: what became of each of their instants."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, get_args
from urllib.parse import unquote

from musterd.core.callers import Caller
from musterd.core.cron import Cron
from musterd.core.jsontypes import JsonObject
from musterd.core.queueing import OnBusy
from musterd.core.records import ComponentKind, RunView
from musterd.core.scopes import EVERYTHING, Scopes
from musterd.core.states import RunState

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9 ._-]*")
NAME_LENGTH = 255
HEALTH = "/health"
"""The only operation besides runs that may be scheduled, with the method GET."""

_RUNS = re.compile(rf"/({'|'.join(get_args(ComponentKind))})s/([^/?#]+)/runs")


class OnMissed(StrEnum):
    """What happens to missed instants."""

    ONCE = "once"  # the last one fires for all
    SKIP = "skip"  # none fires
    ALL = "all"  # each fires, up to a limit


class Overlap(StrEnum):
    """What a firing does while an earlier run of its session is active."""

    SKIP = "skip"
    ENQUEUE = "enqueue"
    INTERRUPT = "interrupt"
    PARALLEL = "parallel"

    @property
    def on_busy(self) -> OnBusy:
        """The same for the run."""
        return OnBusy.REJECT if self is Overlap.SKIP else OnBusy(self.value)


class SessionPolicy(StrEnum):
    """The sessions of a schedule's runs, unless the payload names one."""

    SCHEDULE = "schedule"  # all are in one session
    NEW = "new"  # each has its own


@dataclass(frozen=True, slots=True)
class Target:
    """The component that a schedule runs."""

    kind: ComponentKind
    id: str

    @property
    def key(self) -> str:
        """The component in the form that workers announce."""
        return f"{self.kind}:{self.id}"

    @property
    def scope(self) -> str:
        """The scope that its runs require."""
        return f"{self.kind}s:run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What a schedule does, and when. Stored as JSON in ``schedules.definition``.

    :param payload: the fields of the request that starts a run.
    :param cron_expr: None: it fires once, ``at`` a time.
    :param starts_at: no instant is before it, and none after ``ends_at``.
    :param jitter_seconds: each schedule fires later than its instants by a constant part of this.
    :param grace_seconds: how late a missed instant may still fire.
    :param timeout_seconds: how long a run may take, from its acceptance.
    """

    endpoint: str
    method: str = "POST"
    payload: JsonObject | None = None
    description: str | None = None
    cron_expr: str | None = None
    timezone: str = "UTC"
    at: float | None = None
    starts_at: float | None = None
    ends_at: float | None = None
    jitter_seconds: int = 0
    on_missed: OnMissed = OnMissed.ONCE
    grace_seconds: int = 3600
    overlap: Overlap = Overlap.ENQUEUE
    session: SessionPolicy = SessionPolicy.SCHEDULE
    budget: JsonObject | None = None
    timeout_seconds: int = 3600
    max_retries: int = 0
    retry_delay_seconds: int = 60

    @property
    def target(self) -> Target | None:
        """The component that it runs; None: it runs none."""
        match = _RUNS.fullmatch(self.endpoint)
        if match is None or self.method != "POST":
            return None
        kind: ComponentKind = match[1]  # type: ignore[assignment]  # one of the pattern's alternatives
        return Target(kind, unquote(match[2]))

    @property
    def times(self) -> tuple[object, ...]:
        """Equal for definitions with the same instants."""
        return self.cron_expr, self.timezone, self.at, self.starts_at, self.ends_at, self.jitter_seconds

    def instants_after(self, at: float) -> Iterator[float]:
        """Its instants after a time, in order.

        :raises InvalidCron: the expression or the time zone cannot be used.
        """
        if self.starts_at is not None and at < self.starts_at:
            at = self.starts_at - 0.001
        instants = (
            iter([] if self.at is None or self.at <= at else [self.at])
            if self.cron_expr is None
            else Cron.parse(self.cron_expr, self.timezone).all_after(at)
        )
        for instant in instants:
            if self.ends_at is not None and instant > self.ends_at:
                return
            yield instant

    def next_after(self, at: float) -> float | None:
        """Its first instant after a time; None: there is none."""
        return next(self.instants_after(at), None)

    def as_json(self) -> JsonObject:
        """The definition as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: JsonObject) -> "Definition":
        """Parse what :meth:`as_json` wrote, and ignore unknown keys of newer versions."""
        known: dict[str, Any] = {field.name: value[field.name] for field in fields(cls) if field.name in value}
        return cls(
            **{
                **known,
                "on_missed": OnMissed(known["on_missed"]),
                "overlap": Overlap(known["overlap"]),
                "session": SessionPolicy(known["session"]),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Who made a schedule, so with whose rights its runs are started. Its token is not stored.

    :param kind: how it was authenticated, as :data:`musterd.http.auth.principals.PrincipalKind`; "operator": the
        schedule is declared in code, or was made by a program with :class:`musterd.ScheduleManager`.
    :param scopes: its scopes at ``granted_at``.
    :param account_id: the service account, whose present scopes count.
    """

    kind: str
    user_id: str | None = None
    scopes: tuple[str, ...] = ()
    account_id: str | None = None
    granted_at: float = 0.0

    @property
    def caller(self) -> Caller:
        """The caller of its runs, with the stored scopes."""
        if self.user_id is None:
            return Caller()
        return Caller(user_id=self.user_id, label=self.user_id, is_admin=Scopes.of(self.scopes).is_admin)

    def as_json(self) -> JsonObject:
        """The maker as a JSON object."""
        return {**asdict(self), "scopes": list(self.scopes)}

    @classmethod
    def from_json(cls, value: JsonObject) -> "Maker":
        """Parse what :meth:`as_json` wrote."""
        known: dict[str, Any] = {field.name: value[field.name] for field in fields(cls) if field.name in value}
        return cls(**{**known, "scopes": tuple(known.get("scopes", ()))})


OPERATOR = Maker(kind="operator", scopes=tuple(EVERYTHING.granted))
"""Whoever can change the code or the database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A schedule.

    :param owner: the user whose it is; None: nobody's alone.
    :param declared: a hash of its declaration, if it is declared in code; it cannot be changed over HTTP then.
    :param next_run_at: the next instant; None: it is disabled, or has no instant any more.
    :param version: increases with each change by a person.
    """

    id: str
    owner: str | None
    name: str
    definition: Definition
    maker: Maker
    enabled: bool
    created_at: float
    declared: str | None = None
    next_run_at: float | None = None
    updated_at: float | None = None
    version: int = 0

    @property
    def user_id(self) -> str | None:
        """The user that its runs are for: the one of its payload, else its owner."""
        user_id = (self.definition.payload or {}).get("user_id")
        return user_id if isinstance(user_id, str) else self.owner

    @property
    def session_id(self) -> str:
        """The session of its runs, if they share one."""
        return f"schedule:{self.id}"

    @property
    def offset_seconds(self) -> float:
        """How much later than its instants it fires. Constant, so that the distances between firings stay."""
        share = int.from_bytes(hashlib.sha256(self.id.encode()).digest()[:4], "big") / 2**32
        return self.definition.jitter_seconds * share

    @property
    def due_at(self) -> float | None:
        """When it fires next."""
        return None if self.next_run_at is None else self.next_run_at + self.offset_seconds


class Trigger(StrEnum):
    """Why a schedule fired."""

    CRON = "cron"
    CATCH_UP = "catch_up"
    MANUAL = "manual"


class FiringStatus(StrEnum):
    """The status of a firing. If it has a run, it is that of the run, and nothing else stores it."""

    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


_OF_RUNS = {
    RunState.COMPLETED: FiringStatus.SUCCESS,
    RunState.ERROR: FiringStatus.FAILED,
    RunState.PAUSED: FiringStatus.PAUSED,
    RunState.CANCELLED: FiringStatus.CANCELLED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """One row of ``firings``: what became of an instant, or of a manual trigger.

    :param scheduled_for: the instant; None: it was triggered by hand.
    :param attempt: from 1; each retry is a firing of its own, whose id is that of the first one with the attempt.
    :param outcome: its status, if it has no run, or none any more.
    :param error: why it has no run, or was skipped.
    :param look_at: when upkeep has to do something about it: start its run, or retry a run that has failed.
    :param run: its run, if it was read with it.
    """

    id: str
    schedule_id: str
    created_at: float
    trigger: Trigger
    scheduled_for: float | None = None
    attempt: int = 1
    run_id: str | None = None
    session_id: str | None = None
    outcome: FiringStatus | None = None
    status_code: int | None = None
    error: str | None = None
    look_at: float | None = None
    run: RunView | None = None

    def id_of_try(self, attempt: int) -> str:
        """The id of the same firing's first try, or of one of its retries."""
        first = self.id.removesuffix(f".{self.attempt}")
        return first if attempt == 1 else f"{first}.{attempt}"

    @property
    def run_is_removed(self) -> bool:
        """Whether it had a run, which was removed."""
        return self.outcome in _OF_RUNS.values() and self.status_code is None

    @property
    def status(self) -> FiringStatus:
        """What became of it."""
        if self.outcome is not None:
            return self.outcome
        return FiringStatus.RUNNING if self.run is None else _OF_RUNS.get(self.run.row.state, FiringStatus.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleFilter:
    """Which schedules to list."""

    enabled: bool | None = None
    limit: int = 100
    page: int = 1
