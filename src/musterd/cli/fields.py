"""``musterd fields``: the fields of declarations."""

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from musterd.cli.output import print_json, print_text
from musterd.core.errors import DeclarationError
from musterd.core.suggestions import closest_match
from musterd.declare import (
    Agent,
    Budget,
    Knowledge,
    MCPServer,
    MemoryManager,
    Schedule,
    Step,
    Team,
    Workflow,
    WorkflowAgent,
)
from musterd.declare.options import Declared, options_of
from musterd.declare.reference import ListedField, listed_fields, listed_tool_options
from musterd.declare.yaml_schema import CONTAINERS

LONGEST_LINE = 100
_CLASSES: Sequence[type[Declared]] = (
    Agent,
    Team,
    Workflow,
    Step,
    *CONTAINERS.values(),
    WorkflowAgent,
    Budget,
    Knowledge,
    MCPServer,
    MemoryManager,
    Schedule,
)
KINDS: Mapping[str, type[Declared]] = {cls.command_word(): cls for cls in _CLASSES}
"""The classes of declarations by the word that names each on the command line."""
TOOL = "tool"
"""The word for the options of ``@tool``, which only Python has."""


def show_fields(kind: str, *, as_json: bool) -> int:
    """Print the fields of the declarations of one kind.

    :raises DeclarationError: there is no such kind.
    """
    rows = _rows_of(kind)
    if as_json:
        print_json([asdict(row) for row in rows])
        return 0
    width = min(shutil.get_terminal_size().columns, LONGEST_LINE)
    for row in rows:
        details = [] if row.default is None else [f"default {row.default}"]
        details += [] if row.is_in_yaml or kind == TOOL else ["Python only"]
        print_text(f"{row.name}  ({', '.join(details)})" if details else row.name)
        print_text(textwrap.fill(row.meaning, width, initial_indent="    ", subsequent_indent="    "))
    return 0


def _rows_of(kind: str) -> list[ListedField]:
    if kind == TOOL:
        return list(listed_tool_options())
    if kind in KINDS:
        return list(listed_fields(options_of(KINDS[kind])))
    kinds = (*KINDS, TOOL)
    suggestion = closest_match(kind, kinds)
    fix = f"did you mean '{suggestion}'?" if suggestion else f"use one of {', '.join(kinds)}"
    raise DeclarationError(f"there is no kind of declaration '{kind}' — {fix}")
