"""Cron expressions in a time zone, and the instants that they name.

A job at a fixed time of day follows the clock on the wall, as with Debian's cron: if clocks go back over its time, it
is named once, at the first of the two; if they go forward over it, it is named at the change. A job whose minute or
hour begins with ``*`` follows elapsed time.
"""

import calendar
import functools
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

MAX_LENGTH = 128
"""The most characters of an expression."""
MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_DAY = timedelta(days=1)
_SEARCH_DAYS = 50 * 366
"""How far ahead a date is searched. February 29 on a given weekday may be 40 years away."""
LATEST = datetime(9000, 1, 1, tzinfo=UTC).timestamp()
"""Instants come before this time, in unix seconds: later ones are no dates in every time zone."""
_LAST = 0
"""In place of a number: the last day of the month, or the last such weekday of the month."""


class InvalidCron(ValueError):
    """A cron expression or a time zone that cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class _Fields:
    """The parsed fields of an expression.

    :param days: days of the month, with ``_LAST`` for the last one.
    :param weekdays: pairs of a weekday (0: Sunday) and its number in the month; None: every week.
    :param needs_both: whether the day of the month and the weekday must both match, because one begins with ``*``.
    :param is_elapsed: whether it follows elapsed time.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[tuple[int, int | None]]
    needs_both: bool
    is_elapsed: bool

    def match(self, day: date) -> bool:
        """Whether they match a date."""
        if day.month not in self.months:
            return False
        length = calendar.monthrange(day.year, day.month)[1]
        by_day = day.day in self.days or (_LAST in self.days and day.day == length)
        weekday = day.isoweekday() % 7
        by_weekday = not self.weekdays.isdisjoint(
            ((weekday, None), (weekday, (day.day + 6) // 7), (weekday, _LAST if day.day + 7 > length else None))
        )
        return (by_day and by_weekday) if self.needs_both else (by_day or by_weekday)


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression in a time zone."""

    fields: _Fields
    zone: ZoneInfo

    @classmethod
    def parse(cls, expression: str, timezone: str = "UTC") -> "Cron":
        """The expression ``minute hour day month weekday``, or one of ``MACROS``, in an IANA time zone.

        :raises InvalidCron: it cannot be used, or never names an instant.
        """
        return cls(_parsed(expression), zone_of(timezone))

    def after(self, at: float) -> float | None:
        """The first instant after a time, both in unix seconds; None: there is none in the next 50 years."""
        return next(self.all_after(at), None)

    def all_after(self, at: float) -> Iterator[float]:
        """The instants after a time, in order, each once."""
        if not 0 <= at < LATEST:
            return
        day = datetime.fromtimestamp(at, self.zone).date()
        for _ in range(_SEARCH_DAYS):
            if self.fields.match(day):
                for instant in self._instants_of(day, at):
                    # Two times that clocks skip become the same instant.
                    if instant > at:
                        yield (at := instant)
            day += _DAY

    def _instants_of(self, day: date, at: float) -> Iterable[float]:
        """The instants of a matching date, in order; those up to ``at`` may be left out."""
        midnight, next_midnight = (
            datetime(some.year, some.month, some.day, tzinfo=self.zone) for some in (day, day + _DAY)
        )
        if midnight.utcoffset() == next_midnight.utcoffset():
            start = midnight.timestamp()
            hours = [start + 3600 * hour for hour in self.fields.hours if start + 3600 * (hour + 1) > at]
            return (hour + 60 * minute for hour in hours for minute in self.fields.minutes)
        times = itertools.product(self.fields.hours, self.fields.minutes)
        walls = [midnight.replace(hour=hour, minute=minute) for hour, minute in times]
        if not self.fields.is_elapsed:
            return sorted({_at_or_after_change(wall) for wall in walls})
        existing = [wall for wall in walls if _exists(wall)]
        return sorted({wall.replace(fold=fold).timestamp() for wall in existing for fold in (0, 1)})


def _exists(wall: datetime) -> bool:
    """Whether clocks show this time, and do not skip it."""
    return wall.astimezone(UTC).astimezone(wall.tzinfo).replace(tzinfo=None) == wall.replace(tzinfo=None)


def _at_or_after_change(wall: datetime) -> float:
    """The instant at which clocks show this time first, or at which they skip it."""
    if _exists(wall):
        return wall.timestamp()
    # A skipped time is reckoned with the offset before the change, which gives an instant after it, or with fold=1 with
    # the offset after the change, which gives one before it.
    before, after = int(wall.replace(fold=1).timestamp()), int(wall.timestamp())
    new_offset = datetime.fromtimestamp(after, wall.tzinfo).utcoffset()
    while after - before > 1:
        middle = (before + after) // 2
        if datetime.fromtimestamp(middle, wall.tzinfo).utcoffset() == new_offset:
            after = middle
        else:
            before = middle
    return float(after)


def zone_of(name: str) -> ZoneInfo:
    """The time zone with an IANA name.

    :raises InvalidCron: there is none.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise InvalidCron(f"Invalid timezone: {name}") from error


def instant_of(time: datetime, timezone: str) -> float:
    """The unix seconds of a time, which is in ``timezone`` unless it has an offset of its own.

    :raises InvalidCron: there is no such time zone.
    """
    return (time if time.tzinfo is not None else time.replace(tzinfo=zone_of(timezone))).timestamp()


def local_time(at: float, timezone: str) -> str:
    """Unix seconds as a time in a zone, in ISO 8601 with its offset.

    :raises InvalidCron: there is no such time zone.
    """
    return datetime.fromtimestamp(at, zone_of(timezone)).isoformat(timespec="seconds")


@functools.lru_cache(maxsize=1024)
def _parsed(expression: str) -> _Fields:
    problem = f"Invalid cron expression: {expression}"
    texts = MACROS.get(expression.strip().lower(), expression).upper().split()
    if len(texts) in (6, 7):
        raise InvalidCron(f"{problem}: it has {len(texts)} fields; use five, without seconds or years")
    if len(texts) != 5 or len(expression) > MAX_LENGTH:
        raise InvalidCron(problem)
    try:
        fields = _fields(*texts)
    except ValueError as error:
        raise InvalidCron(problem) from error
    first = date(2000, 1, 1)
    if not any(fields.match(first + number * _DAY) for number in range(_SEARCH_DAYS)):
        raise InvalidCron(f"{problem}: it matches no date")
    return fields


def _fields(minute: str, hour: str, day: str, month: str, weekday: str) -> _Fields:
    parts = day.split(",")
    days = {number for part in parts if part != "L" for number in _numbers(part, 1, 31)}
    return _Fields(
        minutes=tuple(sorted(_numbers(minute, 0, 59))),
        hours=tuple(sorted(_numbers(hour, 0, 23))),
        days=frozenset({*days, _LAST} if "L" in parts else days),
        months=frozenset(_numbers(month, 1, 12, _MONTHS, first_name=1)),
        weekdays=frozenset(pair for part in weekday.split(",") for pair in _weekdays(part)),
        needs_both=day.startswith("*") or weekday.startswith("*"),
        is_elapsed=minute.startswith("*") or hour.startswith("*"),
    )


def _weekdays(part: str) -> Iterator[tuple[int, int | None]]:
    name, is_numbered, number = part.partition("#")
    if is_numbered:
        yield _number(name, 0, 7, _WEEKDAYS) % 7, _number(number, 1, 5)
    elif part.endswith("L"):
        yield _number(part[:-1], 0, 7, _WEEKDAYS) % 7, _LAST
    else:
        yield from ((weekday % 7, None) for weekday in _numbers(part, 0, 7, _WEEKDAYS))


def _numbers(text: str, lowest: int, highest: int, names: tuple[str, ...] = (), first_name: int = 0) -> Iterator[int]:
    """The numbers of a list of ``*``, ``a``, ``a-b``, each with ``/step`` or without."""
    for part in text.split(","):
        span, has_step, step = part.partition("/")
        low, is_range, high = span.partition("-")
        if span == "*":
            first, last = lowest, highest
        else:
            first = last = _number(low, lowest, highest, names, first_name)
            if is_range:
                last = _number(high, lowest, highest, names, first_name)
            elif has_step:
                last = highest
        if high == "SUN":  # a week may end with it
            last = highest
        if last < first:
            raise ValueError(part)
        yield from range(first, last + 1, _number(step, 1, highest) if has_step else 1)


def _number(text: str, lowest: int, highest: int, names: tuple[str, ...] = (), first_name: int = 0) -> int:
    if text in names:
        return names.index(text) + first_name
    if not (text.isascii() and text.isdigit() and lowest <= int(text) <= highest):
        raise ValueError(text)
    return int(text)
