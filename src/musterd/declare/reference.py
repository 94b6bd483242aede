"""Generates the parts of the declaration reference that are derived from code.

``python -m musterd.declare.reference docs/reference`` writes the JSON Schema and the tables of the page.
"""

import dataclasses
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import MISSING
from pathlib import Path
from typing import Any

from musterd.declare.agent import Agent
from musterd.declare.knowledge import Knowledge
from musterd.declare.mcp_server import MCPServer
from musterd.declare.memory_manager import MemoryManager
from musterd.declare.options import is_unsupported, options_of
from musterd.declare.schedule import Schedule
from musterd.declare.team import Team
from musterd.declare.unsupported import REMOVED
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
    for key, option in options.items():
        doc, default = option.metadata["doc"], option.default
        if option.default_factory is not MISSING:
            default = None  # an empty one
        if not is_unsupported(option):
            yield f"| `{key}` | {_default(default)} | {'yes' if is_in_yaml(key, option) else '–'} | {doc} |"


def is_in_yaml(name: str, option: "dataclasses.Field[Any]") -> bool:
    """Whether ``teams.yaml`` has the field too. Those whose values are mappings have forms of their own there."""
    return option.metadata["yaml"] is not None or name in ("budget", "memory_manager")


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


def _default(value: Any) -> str:
    return "–" if value in (None, (), "") else f"`{value!r}`".replace("'", '"')


def main(folder: Path) -> None:
    """Update the files in ``folder``."""
    for page in (folder / name for name in PAGES):
        page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")
    (folder / SCHEMA).write_text(schema_text(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
