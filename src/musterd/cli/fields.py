"""``musterd fields``: the fields of declarations."""

import dataclasses
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass
from typing import Any

from musterd.cli.output import print_json, print_text
from musterd.core.errors import DeclarationError
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
from musterd.declare.options import Declared, is_unsupported, options_of
from musterd.declare.reference import is_in_yaml
from musterd.declare.source_location import closest_match
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


@dataclass(frozen=True, slots=True)
class _Row:
    """A field of a declaration.

    :param is_in_yaml: whether ``teams.yaml`` has it too.
    """

    name: str
    default: str | None
    is_in_yaml: bool
    meaning: str


def show_fields(kind: str, *, as_json: bool) -> int:
    """Print the fields of the declarations of one kind.

    :raises DeclarationError: there is no such kind.
    """
    if kind not in KINDS:
        suggestion = closest_match(kind, KINDS)
        fix = f"did you mean '{suggestion}'?" if suggestion else f"use one of {', '.join(KINDS)}"
        raise DeclarationError(f"there is no kind of declaration '{kind}' — {fix}")
    rows = list(_rows(KINDS[kind]))
    if as_json:
        print_json([asdict(row) for row in rows])
        return 0
    width = min(shutil.get_terminal_size().columns, LONGEST_LINE)
    for row in rows:
        details = [] if row.default is None else [f"default {row.default}"]
        details += [] if row.is_in_yaml else ["Python only"]
        print_text(f"{row.name}  ({', '.join(details)})" if details else row.name)
        print_text(textwrap.fill(row.meaning, width, initial_indent="    ", subsequent_indent="    "))
    return 0


def _rows(cls: type[Declared]) -> Iterator[_Row]:
    for name, option in options_of(cls).items():
        if not is_unsupported(option):
            yield _Row(name, _default(option), is_in_yaml(name, option), option.metadata["doc"])


def _default(option: "dataclasses.Field[Any]") -> str | None:
    """The default as it is written in Python; None if there is none, or nothing that one could write."""
    value = None if option.default is MISSING else option.default
    return None if value in (None, (), "") else repr(value)
