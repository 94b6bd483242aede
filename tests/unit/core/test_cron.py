"""Cron expressions: what is accepted, and which instants they name, also when clocks change."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musterd.core.cron import Cron, InvalidCron

# Each zone with a day in spring and one in autumn on which its clocks change, as (year, month, day).
CHANGES = {
    "Europe/Oslo": ((2027, 3, 28), (2027, 10, 31)),
    "Europe/Lisbon": ((2027, 3, 28), (2027, 10, 31)),  # at 1:00
    "Europe/Dublin": ((2027, 3, 28), (2027, 10, 31)),  # winter is the exception
    "America/New_York": ((2027, 3, 14), (2027, 11, 7)),
    "America/St_Johns": ((2027, 3, 14), (2027, 11, 7)),  # 30 minutes off full hours
    "America/Havana": ((2027, 3, 14), (2027, 11, 7)),  # at midnight
    "America/Santiago": ((2027, 9, 5), (2027, 4, 3)),  # at the end of a day
    "Africa/Cairo": ((2027, 4, 30), (2027, 10, 28)),  # at midnight
    "Asia/Beirut": ((2027, 3, 28), (2027, 10, 30)),
    "Australia/Lord_Howe": ((2027, 10, 3), (2027, 4, 4)),  # by 30 minutes
    "Pacific/Auckland": ((2027, 9, 26), (2027, 4, 4)),
    "Antarctica/Troll": ((2027, 3, 28), (2027, 10, 31)),  # by two hours
}
EXPRESSIONS = [
    *("30 2 * * *", "30 1 * * *", "0 0 * * *", "30 0 * * *", "15 23 * * *", "0 3 * * *", "45 1-3 * * *"),
    *("0,30 0,1,2 * * *", "* * * * *", "0 * * * *", "*/20 * * * *", "30 */2 * * *", "0 */6 * * *", "*/30 1 * * *"),
]


def instants_by_rule(expression: str, zone: ZoneInfo, start: datetime, days: int) -> Iterator[float]:
    """The instants of a daily expression, by going through every minute; slow and obvious."""
    minutes, hours = (
        {n for n in range(size) if _matches(field, n, size)}
        for field, size in zip(expression.split()[:2], (60, 24), strict=True)
    )
    first = start.replace(tzinfo=zone).astimezone(UTC)
    if expression.startswith("*") or expression.split()[1].startswith("*"):
        for minute in range(days * 24 * 60):
            local = (first + timedelta(minutes=minute)).astimezone(zone)
            if local.hour in hours and local.minute in minutes:
                yield local.timestamp()
        return
    named = set()
    for minute in range(days * 24 * 60):
        wall = start + timedelta(minutes=minute)
        if wall.hour in hours and wall.minute in minutes:
            while not _exists(wall, zone):
                wall += timedelta(minutes=1)
            named.add(wall.replace(tzinfo=zone).timestamp())
    yield from sorted(named)


def _matches(field: str, value: int, size: int) -> bool:
    for part in field.split(","):
        span, _, step = part.partition("/")
        low, _, high = ("0", "", str(size - 1)) if span == "*" else span.partition("-")
        if int(low) <= value <= int(high or low) and (value - int(low)) % int(step or 1) == 0:
            return True
    return False


def _exists(wall: datetime, zone: ZoneInfo) -> bool:
    return wall.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) == wall


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize("name", CHANGES)
def test_the_instants_around_a_change_of_clocks_are_those_of_the_rule(name: str, expression: str) -> None:
    zone = ZoneInfo(name)
    for year, month, day in CHANGES[name]:
        start = datetime(year, month, day, tzinfo=zone) - timedelta(days=2)
        begin = start.timestamp()
        end = begin + 4 * 86400
        named = takewhile(lambda at, end=end: at < end, Cron.parse(expression, name).all_after(begin - 1))  # type: ignore[misc]
        by_rule = instants_by_rule(expression, zone, start.replace(tzinfo=None), 5)
        assert list(named) == [at for at in by_rule if at < end]


def test_each_zone_of_the_table_changes_its_clocks_on_these_days() -> None:
    for name, days in CHANGES.items():
        for day in days:
            noon = datetime(*day, 12, tzinfo=ZoneInfo(name))
            assert (noon - timedelta(days=2)).utcoffset() != (noon + timedelta(days=1)).utcoffset(), name


def test_a_time_that_clocks_repeat_is_named_once_and_one_that_they_skip_at_the_change() -> None:
    cron = Cron.parse("30 2 * * *", "Europe/Oslo")
    oslo = ZoneInfo("Europe/Oslo")
    autumn = islice(cron.all_after(datetime(2027, 10, 30, 12, tzinfo=oslo).timestamp()), 2)
    assert [datetime.fromtimestamp(at, oslo).isoformat() for at in autumn] == [
        "2027-10-31T02:30:00+02:00",
        "2027-11-01T02:30:00+01:00",
    ]
    spring = islice(cron.all_after(datetime(2027, 3, 27, 12, tzinfo=oslo).timestamp()), 2)
    assert [datetime.fromtimestamp(at, oslo).isoformat() for at in spring] == [
        "2027-03-28T03:00:00+02:00",
        "2027-03-29T02:30:00+02:00",
    ]


@given(
    name=st.sampled_from(sorted(CHANGES)),
    minute=st.integers(0, 59),
    hour=st.integers(0, 23),
    at=st.floats(1_700_000_000, 2_000_000_000),
)
@settings(max_examples=200, deadline=None)
def test_a_daily_job_is_named_once_a_day_whenever_one_begins_to_look(
    name: str, minute: int, hour: int, at: float
) -> None:
    cron = Cron.parse(f"{minute} {hour} * * *", name)
    instants = list(islice(cron.all_after(at), 5))
    gaps = [later - earlier for earlier, later in zip((at, *instants), instants, strict=False)]
    assert gaps[0] > 0
    assert all(22 * 3600 <= gap <= 26 * 3600 for gap in gaps[1:])
    # The same one by one, as schedules ask: nothing depends on where the look began.
    at_once = [at]
    for _ in instants:
        following = cron.after(at_once[-1])
        assert following is not None
        at_once.append(following)
    assert at_once[1:] == instants


@pytest.mark.parametrize(
    ("expression", "first"),
    [
        ("0 9 * * MON-FRI", "2027-01-01T09:00"),
        ("0 9 * * 7", "2027-01-03T09:00"),
        ("0 0 1 jan *", "2028-01-01T00:00"),
        ("0 0 L * *", "2027-01-31T00:00"),
        ("0 0 * * 5L", "2027-01-29T00:00"),
        ("0 0 * * MON#2", "2027-01-11T00:00"),
        ("0 0 13 * 5", "2027-01-08T00:00"),  # day of month or weekday, as cron has it
        ("@hourly", "2027-01-01T01:00"),
        ("@daily", "2027-01-02T00:00"),
        ("@WEEKLY", "2027-01-03T00:00"),
        ("@monthly", "2027-02-01T00:00"),
        ("@yearly", "2028-01-01T00:00"),
        ("0 0 29 2 *", "2028-02-29T00:00"),
    ],
)
def test_names_last_days_and_shortcuts_are_understood(expression: str, first: str) -> None:
    start = datetime(2027, 1, 1, tzinfo=UTC).timestamp()  # a Friday
    instant = Cron.parse(expression).after(start)
    assert instant is not None
    assert datetime.fromtimestamp(instant, UTC).isoformat(timespec="minutes") == f"{first}+00:00"


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("61 * * * *", "Invalid cron expression: 61 * * * *"),
        ("x", "Invalid cron expression: x"),
        ("", "Invalid cron expression: "),
        ("@reboot", "Invalid cron expression: @reboot"),
        ("*/0 * * * *", "Invalid cron expression: */0 * * * *"),
        ("5-3 * * * *", "Invalid cron expression: 5-3 * * * *"),
        ("L/2 * * * *", "Invalid cron expression: L/2 * * * *"),
        ("*/5 * * * * *", "it has 6 fields; use five, without seconds or years"),
        ("0 0 30 2 *", "Invalid cron expression: 0 0 30 2 *"),
        ("0 0 * * 1#5/x", "Invalid cron expression: 0 0 * * 1#5/x"),
        ("* * */20 2 1L", "it matches no date"),
        ("0 0 * * *" + " " * 200, "Invalid cron expression"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(expression: str, words: str) -> None:
    with pytest.raises(InvalidCron) as refusal:
        Cron.parse(expression)
    assert words in str(refusal.value)


@pytest.mark.parametrize("name", ["Mars/One", "", "/etc/passwd", "../UTC", "Europe", "a\0b", "x" * 300])
def test_an_unknown_time_zone_is_refused(name: str) -> None:
    with pytest.raises(InvalidCron, match="Invalid timezone"):
        Cron.parse("* * * * *", name)


@given(st.text(alphabet="0123456789*/,-#LW @?MONJAFEB", max_size=30))
@settings(max_examples=300, deadline=None)
def test_any_text_is_an_expression_or_is_refused(text: str) -> None:
    try:
        cron = Cron.parse(text)
    except InvalidCron:
        return
    assert (cron.after(1_800_000_000) or 1_800_000_001) > 1_800_000_000
