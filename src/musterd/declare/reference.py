"""Generates the parts of the declaration reference that are derived from code.

``python -m musterd.declare.reference docs/reference`` writes the JSON Schema and the tables of the page.
"""

import dataclasses
import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any

from musterd.declare.agent import Agent
from musterd.declare.knowledge import Knowledge
from musterd.declare.mcp_server import MCPServer
from musterd.declare.memory_manager import MemoryManager
from musterd.declare.options import options_of
from musterd.declare.removed_options import REMOVED
from musterd.declare.schedule import Schedule
from musterd.declare.signature import parse_docstring
from musterd.declare.team import Team
from musterd.declare.tools import Tool, ToolOptions, tool
from musterd.declare.workflow.steps import Step, StepOptions
from musterd.declare.workflow.workflow import Workflow
from musterd.declare.workflow.workflow_agent import WorkflowAgent
from musterd.declare.yaml_schema import CONTAINERS, json_schema

PAGES = ("teams.md", "workflows.md")
SCHEMA = "teams.schema.json"


def schema_text() -> str:
    """The text of the JSON Schema file for ``teams.yaml``."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


def with_tables(page: str) -> str:
    """Regenerate the tables between the ``<!-- table: name -->`` and ``<!-- end -->`` marks of ``page``."""

    def render(match: re.Match[str]) -> str:
        return "\n".join((f"<!-- table: {match[1]} -->", *_table(match[1]), "<!-- end -->"))

    return re.sub(r"<!-- table: (\w+) -->\n.*?<!-- end -->", render, page, flags=re.DOTALL)


def _table(name: str) -> Iterator[str]:
    shared = options_of(Agent)
    only_teams = {key: option for key, option in options_of(Team).items() if key not in shared}
    if name == "removed":
        yield "| fields | reason or replacement |"
        yield "|---|---|"
        for reason in dict.fromkeys(REMOVED.values()):
            fields = ", ".join(f"`{field}`" for field, other in REMOVED.items() if other == reason)
            yield f"| {fields} | {reason.removeprefix('remove it: ')} |"
        return
    options = _other_options(name) or (shared if name.startswith("shared") else only_teams)
    yield "| field | default | YAML | meaning |"
    yield "|---|---|---|---|"
    for row in listed_fields(options):
        default = "–" if row.default is None else f"`{row.default}`".replace("'", '"')
        yield f"| `{row.name}` | {default} | {'yes' if row.is_in_yaml else '–'} | {row.meaning} |"


@dataclass(frozen=True, slots=True)
class ListedField:
    """A field of a declaration, as people read about it.

    :param default: as it is written in Python; None if there is none, or nothing that one could write.
    :param is_in_yaml: whether ``teams.yaml`` has it too.
    """

    name: str
    default: str | None
    is_in_yaml: bool
    meaning: str


def listed_fields(options: Mapping[str, "dataclasses.Field[Any]"]) -> Iterator[ListedField]:
    """The fields, as they are listed."""
    for name, option in options.items():
        value = None if option.default is MISSING else option.default
        default = None if value in (None, (), "") else repr(value)
        # Those whose values are mappings have forms of their own in YAML.
        is_in_yaml = option.metadata["yaml"] is not None or name in ("budget", "memory_manager")
        yield ListedField(name, default, is_in_yaml, option.metadata["doc"])


def listed_tool_options() -> Iterator[ListedField]:
    """The options of ``@tool``, with the meanings in its docstring."""
    _, meanings = parse_docstring(inspect.getdoc(tool) or "")
    defaults = {field.name: field.default for field in dataclasses.fields(Tool) if field.default is not MISSING}
    for name in ToolOptions.__annotations__:
        value = defaults.get(name)
        default = None if value in (None, ()) else repr(value)
        yield ListedField(name, default, is_in_yaml=False, meaning=meanings[name])


def _other_options(name: str) -> Mapping[str, "dataclasses.Field[Any]"]:
    """The options in a table that is neither of agents nor of teams."""
    every_step = options_of(StepOptions)
    tables: dict[str, Mapping[str, dataclasses.Field[Any]]] = {
        "mcp": options_of(MCPServer),
        "memory_manager": options_of(MemoryManager),
        "schedule": options_of(Schedule),
        "knowledge": options_of(Knowledge),
        "workflow": options_of(Workflow),
        "workflow_agent": options_of(WorkflowAgent),
        "every_step": every_step,
    }
    kinds: list[type[StepOptions]] = [Step, *CONTAINERS.values()]
    for cls in kinds:
        own = options_of(cls)
        tables[cls.kind] = {key: own[key] for key in own if key not in every_step or own[key] is not every_step[key]}
    return tables.get(name, {})


def main(folder: Path) -> None:
    """Update the files in ``folder``."""
    for page in (folder / name for name in PAGES):
        page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")
    (folder / SCHEMA).write_text(schema_text(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
