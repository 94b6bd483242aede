"""``musterd fields``: the fields of declarations."""

import re
import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace

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
_ROLE = re.compile(r":[a-z]+:(?=`)")
_CODE = re.compile(r"(`+)(.+?)\1")
_WORD = re.compile(r"[a-z]+")
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
        print_text(_indented(row.meaning, width))
    return 0


def _indented(text: str, width: int) -> str:
    indent = "    "
    return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def plain_text(markup: str) -> str:
    """A text without the marks of Markdown and reStructuredText. A word of code has quotes, because it reads as prose.

    :param markup: such as "``retry_safe`` or `pause`", which becomes "retry_safe or 'pause'".
    """
    return _CODE.sub(lambda match: f"'{match[2]}'" if _WORD.fullmatch(match[2]) else match[2], _ROLE.sub("", markup))


def _rows_of(kind: str) -> list[ListedField]:
    return [replace(row, meaning=plain_text(row.meaning)) for row in _fields_of(kind)]


def _fields_of(kind: str) -> Iterable[ListedField]:
    if kind == TOOL:
        return listed_tool_options()
    if kind in KINDS:
        return listed_fields(options_of(KINDS[kind]))
    kinds = (*KINDS, TOOL)
    suggestion = closest_match(kind, kinds)
    fix = f"did you mean '{suggestion}'?" if suggestion else f"use one of {', '.join(kinds)}"
    raise DeclarationError(f"there is no kind of declaration '{kind}' — {fix}")
