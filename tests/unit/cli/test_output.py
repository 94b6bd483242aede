"""Tables, times and texts of the commands."""

import io
import json
import sys
from typing import Any

import pytest
from rich.console import Console

from musterd.cli import output
from musterd.cli.output import (
    Column,
    ago,
    call_text,
    dollars,
    duration,
    event_with_iso_times,
    one_line,
    print_json,
    print_json_line,
    print_table,
    printable,
    shortened,
    with_iso_times,
)
from musterd.core import clock

COLUMNS = [Column("RUN", is_id=True), Column("STATUS"), Column("MESSAGE", is_text=True)]
IDS = ["0b2956dc-6d62-4628-bed0-82eb3e72891d", "0b2956dc-7000-4628-bed0-82eb3e72891d"]
ROWS = [(IDS[0], "COMPLETED", "word " * 40), (IDS[1], "ERROR", "one\ntwo\x1b[2J")]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A terminal of 60 columns, without colours."""
    screen = io.StringIO()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(output, "console", lambda _stream: Console(file=screen, width=60, markup=False))
    return screen


def test_a_table_fits_the_terminal_and_its_ids_name_one_row_each(terminal: io.StringIO) -> None:
    print_table(COLUMNS, ROWS, empty="none")
    head, *lines = terminal.getvalue().splitlines()
    assert head.split() == ["RUN", "STATUS", "MESSAGE"]
    assert all(len(line) <= 60 for line in lines)
    assert [line.split()[0] for line in lines] == ["0b2956dc-6", "0b2956dc-7"]
    assert lines[0].rstrip().endswith("…")
    assert "\x1b" not in lines[1]


def test_without_a_terminal_a_table_has_everything(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(COLUMNS, ROWS, empty="none")
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"{IDS[0]}\tCOMPLETED\t{' '.join(['word'] * 40)}"
    assert second == f"{IDS[1]}\tERROR\tone two [2J"


def test_an_empty_table_is_a_sentence_and_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(COLUMNS, [], empty="There are no runs.")
    assert capsys.readouterr() == ("", "There are no runs.\n")


def test_ids_are_cut_where_they_differ() -> None:
    assert shortened(["abc", "abcdefgh-1", "abcdefgh-2"]) == {
        "abc": "abc",
        "abcdefgh-1": "abcdefgh-1",
        "abcdefgh-2": "abcdefgh-2",
    }


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "now"), (5, "5 s ago"), (300, "5 min ago"), (7200, "2 h ago"), (200_000, "2 d ago")]
)
def test_times_are_relative(seconds: float, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: 1_000_000.0)
    assert ago(1_000_000.0 - seconds) == text
    assert ago(None) == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(1.23, "1.2 s"), (200, "3 min 20 s"), (7260, "2 h 1 min"), (180_000, "2 d 2 h"), (None, "")]
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("cost", "text"), [(None, ""), (0.0, "$0"), (0.01234, "$0.0123"), (12.3456, "$12.35")])
def test_costs(cost: float | None, text: str) -> None:
    assert dollars(cost) == text


def test_json_has_iso_times_but_for_what_users_wrote() -> None:
    run = {"created_at": 0, "ended_at": None, "members": [{"started_at": 1.5}], "metadata": {"sent_at": 5}}
    assert with_iso_times([run]) == [
        {
            "created_at": "1970-01-01T00:00:00.000Z",
            "ended_at": None,
            "members": [{"started_at": "1970-01-01T00:00:01.500Z"}],
            "metadata": {"sent_at": 5},
        }
    ]


TIMES = {"created_at": 0, "at": 1.5}
ISO_TIMES = {"created_at": "1970-01-01T00:00:00.000Z", "at": "1970-01-01T00:00:01.500Z"}


def test_details_of_a_tools_progress_stay_as_they_are() -> None:
    details = {"delivery_at": 1767225600000, "eta_at": 60, "members": [{"left_at": 5}], "steps": {"at": 7}}
    event = {"event": "CustomEvent", **TIMES, **details}
    assert event_with_iso_times(event) == {"event": "CustomEvent", **ISO_TIMES, **details}
    event = {"event": "RunPaused", **TIMES, "requirements": [{"expires_at": 0}]}
    assert event_with_iso_times(event) == {
        "event": "RunPaused",
        **ISO_TIMES,
        "requirements": [{"expires_at": "1970-01-01T00:00:00.000Z"}],
    }


@pytest.mark.parametrize("value", [1767225600000, -1e15, 1e300, float("inf"), float("nan"), "soon", None, [1]])
def test_what_is_no_date_stays_as_it_is(value: Any) -> None:
    assert with_iso_times({"delivery_at": value})["delivery_at"] is value


def test_texts_cannot_command_the_terminal() -> None:
    assert printable("a\x1b[31mb\r\nc\td\x07") == "a [31mb\nc d "
    assert one_line({"a": "x\ny"}) == '{"a": "x\\ny"}'
    assert call_text("pay", {"to": "Ana\x1b", "n": 1}) == 'pay(to="Ana\\u001b", n=1)'


def test_json_cannot_command_the_terminal_and_keeps_its_value(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"\x9b2J": "a\x7f\x85\x9f\x1b[2J\ue000ü☃ \\x9b"}
    for show in (print_json, print_json_line):
        show(value)
        text = capsys.readouterr().out
        assert json.loads(text) == value
        assert not [sign for sign in text.replace("\n", "") if sign < " " or "\x7f" <= sign <= "\x9f"]
        assert "\\u0085" in text
        assert "ü☃" in text
