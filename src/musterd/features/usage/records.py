"""Figures of one day: runs, sessions, users, tokens."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from musterd.core.jsontypes import JsonObject
from musterd.core.records import Usage


@dataclass(slots=True, kw_only=True)
class DayFigures:
    """The figures of one day (UTC), for one owner or for everybody. A run counts for the day of its acceptance.

    :param runs: the number of root runs, by kind of component.
    :param sessions: the number of sessions in which they ran, by kind of component.
    :param users: the known users who started them, as hashes: nobody can be named after a session is deleted.
    :param users_before: the number of further users, whose hashes are not kept any more.
    :param usage: tokens of the model calls of runs, including those of members.
    :param models: the number of runs, members' too, of each model: by its name and its provider.
    :param late_imports: how many imports have added runs to the day before it was closed. The figures that were counted
        before one of them are not final.
    """

    runs: dict[str, int] = field(default_factory=dict)
    sessions: dict[str, int] = field(default_factory=dict)
    users: set[str] = field(default_factory=set)
    users_before: int = 0
    usage: Usage = field(default_factory=Usage)
    models: dict[tuple[str, str], int] = field(default_factory=dict)
    late_imports: int = 0

    @property
    def users_count(self) -> int:
        """The number of users who started a run."""
        return self.users_before + len(self.users)

    @property
    def is_empty(self) -> bool:
        """Whether nothing ran."""
        return not any(self.runs.values())

    def without_names(self) -> "DayFigures":
        """The same figures, with the number of users in place of their hashes."""
        return replace(self, users=set(), users_before=self.users_count)

    def add(self, other: "DayFigures") -> None:
        """Add the figures of other runs and sessions of the same day."""
        for own, others in ((self.runs, other.runs), (self.sessions, other.sessions)):
            for kind, count in others.items():
                own[kind] = own.get(kind, 0) + count
        for model, count in other.models.items():
            self.models[model] = self.models.get(model, 0) + count
        self.users |= other.users
        self.users_before += other.users_before
        self.usage.add(other.usage)
        self.late_imports += other.late_imports

    @classmethod
    def sum(cls, parts: "Iterable[DayFigures]") -> "DayFigures":
        """The sum of all ``parts``."""
        total = cls()
        for part in parts:
            total.add(part)
        return total

    def as_json(self) -> JsonObject:
        """The figures as a JSON object."""
        return {
            "runs": self.runs,
            "sessions": self.sessions,
            "users": sorted(self.users),
            "users_before": self.users_before,
            "usage": self.usage.as_json(),
            "models": [[model, provider, count] for (model, provider), count in sorted(self.models.items())],
            "late_imports": self.late_imports,
        }

    @classmethod
    def from_json(cls, value: JsonObject) -> "DayFigures":
        """The figures that :meth:`as_json` wrote."""
        return cls(
            runs=value["runs"],
            sessions=value["sessions"],
            users=set(value["users"]),
            users_before=value["users_before"],
            usage=Usage.from_json(value["usage"]),
            models={(model, provider): count for model, provider, count in value["models"]},
            late_imports=value.get("late_imports", 0),  # earlier programs did not write it
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The figures of one day.

    :param day: the date in UTC, ``YYYY-MM-DD``.
    :param figures: what is counted.
    :param created_at: when they were counted first, in unix seconds.
    :param updated_at: when they were counted last.
    """

    day: str
    figures: DayFigures
    created_at: float
    updated_at: float


@dataclass(slots=True, kw_only=True)
class RefreshState:
    """The state of the last refresh in the background.

    :param status: ``idle``, ``running``, ``completed`` or ``failed``.
    :param started_at: in unix seconds; None if there was none yet.
    :param error: why it failed.
    """

    status: str = "idle"
    started_at: float | None = None
    finished_at: float | None = None
    error: str | None = None
