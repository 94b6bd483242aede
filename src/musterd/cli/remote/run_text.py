"""A run, for people."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from musterd.cli.output import (
    NAME_WIDTH,
    ago,
    call_text,
    counted,
    cut,
    dollars,
    fact_line,
    iso,
    one_line,
    print_text,
    printable,
    say,
    took,
)
from musterd.cli.remote.decision_hints import decision_hints, waiting_call
from musterd.cli.remote.run_attempts import attempts_text, time_text, was_cut_off
from musterd.cli.remote.server_options import command

if TYPE_CHECKING:
    from musterd.cli.remote.server_options import ServerOptions
    from musterd.client import Run

TEXT_LENGTH = 80


def print_run(run: "Run", options: "ServerOptions") -> None:
    """Print a run, and on standard error what can be done with it."""
    for line in _lines(run):
        print_text(line)
    for line in _next(run, options):
        say(line)


def _lines(run: "Run") -> Iterator[str]:
    raw = run.raw
    yield fact_line("run", run.run_id)
    yield fact_line(run.component_kind or "component", run.component_id)
    yield fact_line("status", _status(run))
    yield fact_line("session", run.session_id)
    if raw.get("forked_from"):
        yield fact_line("from", raw["forked_from"])
    started = run.started_at or run.created_at
    if started:
        yield fact_line("started", f"{ago(started)} ({iso(started)})")
    if attempts := attempts_text(raw):
        yield fact_line("attempts", attempts)
    yield fact_line("used", _usage(raw))
    yield fact_line("message", _input(raw))
    for line in member_lines(raw.get("members") or ()):
        yield f"{'member':<{NAME_WIDTH}} {line}"
    for requirement in run.requirements:
        call = waiting_call(requirement.kind, call_text(requirement.name, requirement.arguments))
        yield fact_line("waits for", f"{call}  approval {requirement.id}")
    if run.error:
        yield fact_line("error", f"{run.error.message} ({run.error.code})")
    elif run.content is not None:
        yield ""
        yield printable(run.content) if isinstance(run.content, str) else one_line(run.content)


def _status(run: "Run") -> str:
    if time := time_text(run.raw):
        return f"{run.status}, {time}"
    activity = run.raw.get("activity") or {}
    words = " ".join(str(activity[key]) for key in ("member", "kind", "tool") if activity.get(key))
    return f"{run.status} ({words})" if words else run.status


def _usage(raw: dict[str, Any]) -> str:
    totals = raw.get("totals")
    if not totals:
        return "nothing yet"
    tokens = f"{totals['input_tokens']:,} tokens read, {totals['output_tokens']:,} written"
    calls = f"{counted(totals['model_calls'], 'model call')}, {counted(totals['tool_calls'], 'tool call')}"
    return ", ".join(part for part in (tokens, calls, dollars(totals.get("cost"))) if part)


def _input(raw: dict[str, Any]) -> Any:
    value = raw.get("input")
    return value.get("input_content") if isinstance(value, dict) else value


def member_lines(members: Sequence[dict[str, Any]]) -> list[str]:
    """The runs of members, one below the other: name, status, time and task."""
    rows = [
        (
            one_line(member["name"]),
            str(member["status"]),
            took(member.get("started_at"), member.get("ended_at")),
            cut(member.get("task"), TEXT_LENGTH),
        )
        for member in members
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = [[f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True) if width] for row in rows]
    return ["  ".join(row).rstrip() for row in cells]


def _next(run: "Run", options: "ServerOptions") -> Iterator[str]:
    if any(was_cut_off(attempt["outcome"]) for attempt in run.raw.get("attempt_list") or ()):
        yield f"See which steps were repeated: {command('runs steps', options, run.run_id)}"
    if run.requirements:
        yield from decision_hints(run.requirements[0].kind, run.requirements[0].id, options)
    elif run.status == "ERROR":
        yield f"Continue from the last step: {command('runs continue', options, run.run_id)}"
    elif not run.is_final:
        yield f"Watch it: {command('runs watch', options, run.run_id)}"
