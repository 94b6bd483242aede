"""Figures of one day: what ran, for how many, with how many tokens."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from musterd.core.jsontypes import JsonObject
from musterd.core.records import Usage


@dataclass(slots=True, kw_only=True)
class DayFigures:
    """What was accepted in one day (UTC), for one owner or for everybody. A run counts for the day of its acceptance.

    :param runs: runs that clients asked for, by kind of component.
    :param sessions: sessions in which they ran, by kind.
    :param users: who asked for them, as far as it is known: hashes, so that nobody is named once a session is deleted.
    :param users_before: how many asked that are not named any more.
    :param usage: tokens of all model calls, members' and those beside the turns too.
    :param models: how many runs, members' too, were of each model: by its name and its provider.
    """

    runs: dict[str, int] = field(default_factory=dict)
    sessions: dict[str, int] = field(default_factory=dict)
    users: set[str] = field(default_factory=set)
    users_before: int = 0
    usage: Usage = field(default_factory=Usage)
    models: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def users_count(self) -> int:
        """How many users asked."""
        return self.users_before + len(self.users)

    @property
    def is_empty(self) -> bool:
        """Whether nothing ran."""
        return not any(self.runs.values())

    def without_names(self) -> "DayFigures":
        """The same figures, with users counted and not named."""
        return replace(self, users=set(), users_before=self.users_count)

    def add(self, other: "DayFigures") -> None:
        """Count ``other`` in: runs and sessions of the same day that are not among these."""
        for own, others in ((self.runs, other.runs), (self.sessions, other.sessions)):
            for kind, count in others.items():
                own[kind] = own.get(kind, 0) + count
        for model, count in other.models.items():
            self.models[model] = self.models.get(model, 0) + count
        self.users |= other.users
        self.users_before += other.users_before
        self.usage.add(other.usage)

    @classmethod
    def sum(cls, parts: "Iterable[DayFigures]") -> "DayFigures":
        """All of them together."""
        whole = cls()
        for part in parts:
            whole.add(part)
        return whole

    def as_json(self) -> JsonObject:
        """The figures as a JSON object."""
        return {
            "runs": self.runs,
            "sessions": self.sessions,
            "users": sorted(self.users),
            "users_before": self.users_before,
            "usage": self.usage.as_json(),
            "models": [[model, provider, count] for (model, provider), count in sorted(self.models.items())],
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
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The figures of one day.

    :param day: the date in UTC, ``YYYY-MM-DD``.
    :param created_at: when they were counted first.
    """

    day: str
    metrics: DayFigures
    created_at: float
    updated_at: float
