"""The reference of what can be declared, as far as it is made from code.

``python -m musterd.declare.reference docs/reference`` writes the schema and the page's tables.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from musterd.declare.agent import Agent
from musterd.declare.mcp_server import MCPServer
from musterd.declare.options import is_late, options_of
from musterd.declare.team import Team
from musterd.declare.unsupported import REMOVED
from musterd.declare.yaml_schema import json_schema

PAGE = "teams.md"
SCHEMA = "teams.schema.json"


def schema_text() -> str:
    """The JSON Schema of ``teams.yaml`` as its file has it."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


def with_tables(page: str) -> str:
    """``page`` with the tables between its ``<!-- table: name -->`` and ``<!-- end -->`` marks made anew."""

    def anew(match: re.Match[str]) -> str:
        return "\n".join((f"<!-- table: {match[1]} -->", *_table(match[1]), "<!-- end -->"))

    return re.sub(r"<!-- table: (\w+) -->\n.*?<!-- end -->", anew, page, flags=re.DOTALL)


def _table(name: str) -> Iterator[str]:
    shared = options_of(Agent)
    only_teams = {key: found for key, found in options_of(Team).items() if key not in shared}
    if name == "removed":
        yield "| field | what to do |"
        yield "|---|---|"
        yield from (f"| `{field}` | {cure} |" for field, cure in REMOVED.items())
        return
    others = {"mcp": options_of(MCPServer)}
    options = others.get(name) or (shared if name.startswith("shared") else only_teams)
    yield "| field | default | YAML | meaning |"
    yield "|---|---|---|---|"
    for key, found in options.items():
        doc = found.metadata["doc"]
        if is_late(found) == name.endswith("_later"):
            in_yaml = "yes" if found.metadata["yaml"] is not None or key == "budget" else "–"
            yield f"| `{key}` | {_default(found.default)} | {in_yaml} | {doc} |"


def _default(value: Any) -> str:
    return "–" if value in (None, (), "") else f"`{value!r}`".replace("'", '"')


def main(folder: Path) -> None:
    """Write the files in ``folder``."""
    page = folder / PAGE
    page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")
    (folder / SCHEMA).write_text(schema_text(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
