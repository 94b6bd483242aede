"""Source locations of declarations, and one-line errors with file, line, problem and fix."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import CodeType

from musterd.core.errors import DeclarationError
from musterd.core.suggestions import closest_match

_PACKAGE = __name__.rpartition(".")[0]

PORTING = "docs/howto/from-agno.md"
"""The page that lists the replacements for Agno's classes."""


@dataclass(frozen=True, slots=True)
class Place:
    """A line in a file of the user."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        path = os.path.abspath(self.file) if os.path.exists(self.file) else self.file
        prefix = os.path.join(os.getcwd(), "")
        relative = path.removeprefix(prefix)
        return f"{relative}:{self.line}" if self.line else relative


_place_override: ContextVar[Place | None] = ContextVar("_place_override", default=None)


@contextmanager
def placed_at(place: Place) -> Iterator[None]:
    """Use ``place`` (a line of YAML) as the location of declarations inside, instead of the calling code."""
    token = _place_override.set(place)
    try:
        yield
    finally:
        _place_override.reset(token)


def current_place() -> Place:
    """The line outside this package that is being executed, or the place that :func:`placed_at` set."""
    if (place := _place_override.get()) is not None:
        return place
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_ours(str(frame.f_globals.get("__name__", ""))):
        frame = frame.f_back
    return Place(frame.f_code.co_filename, frame.f_lineno)


def _is_ours(module: str) -> bool:
    return module == _PACKAGE or module.startswith(f"{_PACKAGE}.") or module == "dataclasses"


def place_of_code(code: CodeType) -> Place:
    """The line where a function is defined."""
    return Place(code.co_filename, code.co_firstlineno)


def declaration_error(place: Place | None, problem: str, fix: str) -> DeclarationError:
    """The error for a declaration at ``place``: the problem and how to fix it, in one line."""
    text = " ".join(f"{problem} — {fix}".split())
    return DeclarationError(f"{place}: {text}" if place else text)


def is_from_agno(cls: object) -> bool:
    """Whether ``cls`` is a class of Agno, which must not be confused with musterd's class of the same name."""
    return isinstance(cls, type) and cls.__module__.partition(".")[0] == "agno"


def describe_type(value: object) -> str:
    """The type of ``value`` with an article, for a message. For Agno's classes it names the porting guide."""
    cls = type if isinstance(value, type) else type(value)  # for a class say "a type", not its metaclass
    library = cls.__module__.partition(".")[0]
    origin = {"agno": f" of agno ({PORTING})", "pydantic_ai": " of pydantic_ai"}.get(library, "")
    return f"{'an' if cls.__name__[0] in 'AEIOU' else 'a'} {cls.__name__}{origin}"


def fix_for_unknown(name: str, options: Iterable[str], removed: Mapping[str, str]) -> str:
    """How to fix ``name``, which is not in ``options``.

    :param removed: Agno's options that musterd does not have, with how to replace each.
    """
    if name in removed:
        return removed[name]
    suggestion = closest_match(name, options)
    return f"did you mean '{suggestion}'?" if suggestion else f"it takes {quoted_list(options)}"


def quoted_list(names: Iterable[str]) -> str:
    """Names for a message, quoted and separated by commas."""
    return ", ".join(f"'{name}'" for name in names)
