"""A team, an agent or a workflow, for people."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from musterd.cli.output import one_line, print_text

if TYPE_CHECKING:
    from musterd.cli.remote.components import Served


def print_team(row: "Served") -> None:
    """Print what a component is, and how to run it."""
    for line in _lines(row.kind, row.component.raw):
        print_text(line)


def _lines(kind: str, raw: Mapping[str, Any]) -> Iterator[str]:
    yield f"{kind:<12} {one_line(raw['id'])}"
    for name, value in (
        ("name", raw.get("name")),
        ("description", raw.get("description")),
        ("role", raw.get("role")),
        ("mode", raw.get("mode")),
        ("model", (raw.get("model") or {}).get("model")),
        ("tools", _tools(raw)),
    ):
        if value:
            yield f"{name:<12} {one_line(value)}"
    yield from _members(raw, "")
    steps = raw.get("steps") or ()
    if steps:
        yield "steps"
        yield from _steps(steps, "  ")


def _members(raw: Mapping[str, Any], indent: str) -> Iterator[str]:
    members = raw.get("members") or ()
    if members and not indent:
        yield "members"
    for member in members:
        parts = [f"{indent}  {one_line(member['id'])}", one_line(member.get("role")), _tools(member)]
        yield "  ".join(part for part in parts if part)
        yield from _members(member, f"{indent}  ")


def _steps(steps: Any, indent: str) -> Iterator[str]:
    for step in steps:
        executor = (step.get("team") or step.get("agent") or {}).get("id")
        parts = [one_line(step.get("name")), one_line(step.get("type")), one_line(executor)]
        yield indent + "  ".join(part for part in parts if part)
        yield from _steps(step.get("steps") or (), f"{indent}  ")


def _tools(raw: Mapping[str, Any]) -> str:
    tools = (raw.get("tools") or {}).get("tools") or ()
    own = [tool["name"] for tool in tools if not tool["name"].startswith("delegate_task_to_member")]
    return ", ".join(own)
