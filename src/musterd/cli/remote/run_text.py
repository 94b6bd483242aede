"""A run, for people."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from musterd.cli.remote.following import command
from musterd.cli.remote.output import ago, call_text, dollars, duration, iso, one_line, print_text, printable, say

if TYPE_CHECKING:
    from musterd.cli.remote.server_options import ServerOptions
    from musterd.client import Run

TEXT_LENGTH = 80
NAME_WIDTH = 10


def print_run(run: "Run", options: "ServerOptions") -> None:
    """Print a run, and on standard error what can be done with it."""
    for line in _lines(run):
        print_text(line)
    for line in _next(run, options):
        say(line)


def _lines(run: "Run") -> Iterator[str]:
    raw = run.raw
    yield _line("run", run.run_id)
    yield _line(run.component_kind or "component", run.component_id)
    yield _line("status", _status(run))
    yield _line("session", run.session_id)
    if raw.get("forked_from"):
        yield _line("from", raw["forked_from"])
    started = run.started_at or run.created_at
    if started:
        yield _line("started", f"{ago(started)} ({iso(started)})")
    yield _line("used", _usage(raw))
    yield _line("message", _input(raw))
    for member in raw.get("members") or ():
        yield _line("member", _member(member))
    for requirement in run.requirements:
        yield _line("waits for", f"{call_text(requirement.name, requirement.arguments)}  approval {requirement.id}")
    if run.error:
        yield _line("error", f"{run.error.message} ({run.error.code})")
    elif run.content is not None:
        yield ""
        yield printable(run.content) if isinstance(run.content, str) else one_line(run.content)


def _line(name: str, value: Any) -> str:
    return f"{name:<{NAME_WIDTH}} {one_line(value)}"


def _status(run: "Run") -> str:
    if run.ended_at is not None and run.started_at is not None:
        return f"{run.status} ({duration(run.ended_at - run.started_at)})"
    activity = run.raw.get("activity") or {}
    words = " ".join(str(activity[key]) for key in ("member", "kind", "tool") if activity.get(key))
    return f"{run.status} ({words})" if words else run.status


def _usage(raw: dict[str, Any]) -> str:
    totals = raw.get("totals")
    if not totals:
        return "nothing yet"
    tokens = f"{totals['input_tokens']:,} tokens read, {totals['output_tokens']:,} written"
    calls = f"{totals['model_calls']} model calls, {totals['tool_calls']} tool calls"
    return ", ".join(part for part in (tokens, calls, dollars(totals.get("cost"))) if part)


def _input(raw: dict[str, Any]) -> Any:
    value = raw.get("input")
    return value.get("input_content") if isinstance(value, dict) else value


def _member(member: dict[str, Any]) -> str:
    started, ended = member.get("started_at"), member.get("ended_at")
    took = duration(ended - started) if started and ended else ""
    task = one_line(member.get("task"))
    cut = task if len(task) <= TEXT_LENGTH else f"{task[:TEXT_LENGTH]}…"
    return "  ".join(str(part) for part in (member["name"], member["status"], took, cut) if part)


def _next(run: "Run", options: "ServerOptions") -> Iterator[str]:
    if run.requirements:
        yield f"Decide: {command('approvals approve', run.requirements[0].id, options)}, or reject, or edit"
    elif run.status == "ERROR":
        yield f"Continue from the last step: {command('runs continue', run.run_id, options)}"
    elif not run.is_final:
        yield f"Watch it: {command('runs watch', run.run_id, options)}"
