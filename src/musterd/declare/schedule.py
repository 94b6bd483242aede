"""Schedules: runs of an agent or a team at the instants of a cron expression, or once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, get_args
from zoneinfo import available_timezones

from musterd.core.cron import Cron, InvalidCron, instant_of, zone_of
from musterd.core.records import ComponentKind
from musterd.core.suggestions import closest_match
from musterd.declare.agent import Agent
from musterd.declare.budget import Budget
from musterd.declare.options import COUNT, FLAG, OBJECT, POSITIVE, TEXT, Declared, Kind, about, check_values, one_of
from musterd.declare.problems import note
from musterd.declare.source_location import Place, current_place, declaration_error, describe_type
from musterd.declare.team import Team
from musterd.declare.workflow.workflow import Workflow

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9 ._-]{0,254}")
_TIME = Kind(
    words="a datetime, or a time in ISO 8601 like '2027-05-01T09:00'",
    accepts=lambda value: isinstance(value, datetime) or (isinstance(value, str) and _as_time(value) is not None),
    yaml=str,
)
_COMPONENT = Kind(words="an agent, a team or a workflow", accepts=lambda value: True, yaml=str)
_BUDGET = Kind(words="a Budget", accepts=lambda value: isinstance(value, Budget))


def is_component(value: object) -> bool:
    """Whether ``value`` declares something that can be run."""
    return isinstance(value, Declared) and value.kind in get_args(ComponentKind)


def _as_time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Schedule(Declared):
    """Runs an agent, a team or a workflow at the instants of a cron expression, or once.

    ``docs/reference/teams.md`` lists the fields. The name may be given first: ``Schedule("morning", …)``.

    :raises DeclarationError: a field is unknown or has an invalid value.
    """

    kind = "schedule"

    name: str = field(default="", kw_only=False, metadata=about(TEXT, "Its name, unique in the file."))
    run: Agent | Team | Workflow | None = field(
        default=None, metadata=about(_COMPONENT, "The agent, team or workflow that it runs (in YAML its id).")
    )
    message: str = field(default="", metadata=about(TEXT, "The message of each run."))
    cron: str | None = field(default=None, metadata=about(TEXT, "A cron expression: five fields, or `@daily`."))
    timezone: str = field(default="UTC", metadata=about(TEXT, "An IANA time zone."))
    at: datetime | str | None = field(
        default=None, metadata=about(_TIME, "Fire once at this time, in place of `cron`.")
    )
    starts_at: datetime | str | None = field(default=None, metadata=about(_TIME, "No run starts before this time."))
    ends_at: datetime | str | None = field(default=None, metadata=about(_TIME, "No run starts after this time."))
    description: str | None = field(default=None, metadata=about(TEXT, "What it is for."))
    payload: Mapping[str, Any] = field(
        default_factory=dict, metadata=about(OBJECT, "Further fields of the request that starts a run.")
    )
    jitter_seconds: int = field(
        default=0,
        metadata=about(
            COUNT,
            "The most seconds by which runs start late, so that not all schedules start at once; constant for each "
            "schedule.",
        ),
    )
    on_missed: str = field(
        default="once",
        metadata=about(
            one_of("once", "skip", "all"),
            "What happens after missed times: `once` (one run for all), `skip`, `all` (a run for each, at most 100).",
        ),
    )
    grace_seconds: int = field(
        default=3600, metadata=about(COUNT, "How late a missed run may still start, in seconds.")
    )
    overlap: str = field(
        default="enqueue",
        metadata=about(
            one_of("skip", "enqueue", "interrupt", "parallel"),
            "What a firing does while an earlier run of its session is active: `skip`, `enqueue`, `interrupt` or "
            "`parallel`.",
        ),
    )
    session: str = field(
        default="schedule",
        metadata=about(one_of("schedule", "new"), "One session for all runs (`schedule`), or a `new` one for each."),
    )
    budget: Budget | None = field(default=None, metadata=about(_BUDGET, "A budget for each run."))
    timeout_seconds: int = field(default=3600, metadata=about(POSITIVE, "How long a run may take."))
    max_retries: int = field(default=0, metadata=about(COUNT, "How often a failed run is continued."))
    retry_delay_seconds: int = field(default=60, metadata=about(POSITIVE, "How long after the failure."))
    enabled: bool = field(
        default=True, metadata=about(FLAG, "Whether it is enabled when it is first stored; people may change it.")
    )
    declared_at: Place = field(default_factory=current_place, init=False)

    @classmethod
    def known_fields(cls, args: tuple[Any, ...], fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the known fields; the name may be given without its keyword."""
        if len(args) == 1 and "name" not in fields:
            return super().known_fields((), {"name": args[0], **fields})
        return super().known_fields(args, fields)

    def __post_init__(self) -> None:
        """Check the values."""
        if check_values(self, self.label, self.declared_at):
            for problem, fix in self._problems():
                note(declaration_error(self.declared_at, f"{self.label}: {problem}", fix), self.declared_at)

    def __repr__(self) -> str:
        return f"Schedule({self.name!r})"

    @property
    def label(self) -> str:
        """The declaration as error messages name it: "schedule 'morning'"."""
        return f"schedule '{self.name}'" if self.name else "this schedule"

    def _problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong, each with how to fix it."""
        if not _NAME.fullmatch(self.name):
            yield "its name is not valid", 'use letters, digits, spaces and ._-, like Schedule("morning", …)'
        run: object = self.run
        if not is_component(run):
            problem = "run= is missing" if run is None else f"run= is {describe_type(run)}"
            yield problem, f"set run= to one of musterd's components ({', '.join(get_args(ComponentKind))})"
        if not self.message.strip():
            yield "it has no message", 'set message="…"'
        if (self.cron is None) == (self.at is None):
            has = "neither cron nor at" if self.cron is None else "cron and at"
            yield f"it has {has}", 'set cron="0 7 * * 1-5", or at= for once'
        yield from self._problems_of_times()

    def _problems_of_times(self) -> Iterator[tuple[str, str]]:
        try:
            zone_of(self.timezone)
        except InvalidCron as error:
            meant = closest_match(self.timezone, available_timezones())
            yield str(error), f"did you mean '{meant}'?" if meant else "use an IANA time zone, such as Europe/Oslo"
        try:
            if self.cron is not None:
                Cron.parse(self.cron, "UTC")
        except InvalidCron as error:
            yield str(error), "use five fields or @daily"

    def instant(self, name: str) -> float | None:
        """One of the times, in unix seconds; without an offset it is in the schedule's time zone."""
        value = getattr(self, name)
        time = _as_time(value) if isinstance(value, str) else value
        return None if time is None else instant_of(time, self.timezone)
