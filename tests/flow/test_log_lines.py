"""What log lines say, and what they never say."""

import re
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog

from musterd.http.sse import EventStream
from tests.support.app import Serve, app_on
from tests.support.http import ServerClient

TRACE = "0af7651916cd43dd8448eb211c80319c"
Lines = list[MutableMapping[str, Any]]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """Every line that is logged, with what it carries."""
    log_lines: Lines = []
    before = structlog.get_config()

    def keep(logger: Any, method: str, line: MutableMapping[str, Any]) -> Any:
        log_lines.append(line)
        raise structlog.DropEvent

    named = [structlog.contextvars.merge_contextvars, structlog.processors.add_log_level]
    everything = structlog.make_filtering_bound_logger("debug")
    structlog.configure(processors=[*named, keep], wrapper_class=everything)
    yield log_lines
    structlog.configure(**before)


async def test_a_line_of_a_run_says_which(client: ServerClient, lines: Lines) -> None:
    ids = {"x-request-id": "q1", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    await client.run()  # now a run finds a slot as it is accepted
    await client.post('[[TOOL boom {"x": "1"}]]', session_id="s1", run_id="r1", stream="false", headers=ids)
    line = next(line for line in lines if line["event"] == "tool failed")
    carried = {name: line.get(name) for name in ("run_id", "session_id", "attempt", "request_id", "trace_id")}
    assert carried == {"run_id": "r1", "session_id": "s1", "attempt": 1, "request_id": "q1", "trace_id": TRACE}


async def test_a_line_of_a_failed_tool_says_what_and_where_and_its_words_are_for_debugging(
    client: ServerClient, lines: Lines
) -> None:
    await client.post('[[TOOL boom {"x": "a secret"}]]', stream="false")
    brief, in_detail = [line for line in lines if line["event"] == "tool failed"]
    assert brief["error"] == "RuntimeError"
    assert re.search(r"boom \(.*tools\.py:\d+\)$", brief["at"])
    assert "exc_info" not in brief
    assert "a secret" not in str([line for line in lines if line is not in_detail])
    assert (in_detail["level"], str(in_detail["exc_info"])) == ("debug", "boom a secret")


async def test_a_trace_that_is_none_is_not_taken_over(client: ServerClient, lines: Lines) -> None:
    for wrong in ("00-" + "0" * 32 + "-b7ad6b7169203331-01", "ff-" + TRACE + "-b7ad6b7169203331-01", "x" * 5000):
        await client.post("[[RAISE]]", stream="false", headers={"traceparent": wrong})
    assert not [line for line in lines if "trace_id" in line]


async def test_every_request_has_a_line_where_that_is_asked_for(serve: Serve, lines: Lines) -> None:
    async with serve(log_requests=True) as client:
        await client.post(
            "a secret message", session_id="s1", stream="false", headers={"authorization": "Bearer secret"}
        )
        await client.http.get("/nowhere")
    answered = [line for line in lines if line["event"] == "answered"]
    assert [(line["operation"], line["status"]) for line in answered] == [("create_team_run", 200), ("none", 404)]
    assert "secret" not in str(lines)


@pytest.mark.parametrize(("level", "expected"), [("info", ["info"]), ("debug", ["debug", "info"])])
def test_an_application_that_has_not_set_its_log_up_hears_what_the_settings_want(
    database: Path, capsys: pytest.CaptureFixture[str], level: str, expected: list[str]
) -> None:
    before = structlog.get_config()
    structlog.reset_defaults()
    try:
        app_on(database, log_level=level)
        log = structlog.get_logger()
        log.debug("a debug line")
        log.info("an info line")
    finally:
        structlog.configure(**before)
    said = capsys.readouterr().out
    assert [line for line in ("debug", "info") if f"{line} line" in said] == expected


def test_without_an_application_s_own_log_tracebacks_have_no_values(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = structlog.get_config()
    structlog.reset_defaults()
    try:
        app_on(database)
        password = "hunter" + "2"
        try:
            raise RuntimeError(len(password))
        except RuntimeError:
            structlog.get_logger("musterd.http").exception("request failed", path="/\x1b[2J")
    finally:
        structlog.configure(**before)
    printed = capsys.readouterr().out
    assert "RuntimeError: 7" in printed
    assert "hunter2" not in printed
    assert r"path=/\x1b[2J" in printed


async def test_an_answer_that_breaks_off_has_one_too(
    serve_live: Serve, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(EventStream, "_send_all", breaks)
    async with serve_live(log_requests=True) as client:
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.post()
    answered = [line for line in lines if line["event"] == "answered"]
    assert [(line["operation"], line["status"]) for line in answered] == [("create_team_run", 200)]
