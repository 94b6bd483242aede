"""Where a declaration stands, and how an error there is said: one line with file, line, what and cure."""

import difflib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import CodeType

from musterd.core.errors import DeclarationError

_PACKAGE = __name__.rpartition(".")[0]

PORTING = "docs/howto/from-agno.md"
"""The page that says what takes the place of what is Agno's."""


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file that a user wrote."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        here = os.path.abspath(self.file) if os.path.exists(self.file) else self.file
        below = os.path.join(os.getcwd(), "")
        shown = here.removeprefix(below)
        return f"{shown}:{self.line}" if self.line else shown


_standing: ContextVar[Place | None] = ContextVar("_standing", default=None)


@contextmanager
def standing_at(place: Place) -> Iterator[None]:
    """Let what is declared inside stand at ``place`` (a line of YAML) instead of at the calling code."""
    token = _standing.set(place)
    try:
        yield
    finally:
        _standing.reset(token)


def here() -> Place:
    """The place outside this package whose code is being run, or that :func:`standing_at` set."""
    if (place := _standing.get()) is not None:
        return place
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_ours(str(frame.f_globals.get("__name__", ""))):
        frame = frame.f_back
    return Place(frame.f_code.co_filename, frame.f_lineno)


def _is_ours(module: str) -> bool:
    return module == _PACKAGE or module.startswith(f"{_PACKAGE}.") or module == "dataclasses"


def of_code(code: CodeType) -> Place:
    """The place where a function is defined."""
    return Place(code.co_filename, code.co_firstlineno)


def wrong(place: Place | None, what: str, cure: str) -> DeclarationError:
    """The error for a declaration at ``place``: what is wrong with it and what to do, in one line."""
    text = " ".join(f"{what} — {cure}".split())
    return DeclarationError(f"{place}: {text}" if place else text)


def is_agnos(cls: object) -> bool:
    """Whether ``cls`` is a class of Agno, which is not to be taken for that of the same name here."""
    return isinstance(cls, type) and cls.__module__.partition(".")[0] == "agno"


def kind_of(value: object) -> str:
    """What ``value`` is, for a sentence; of Agno's, also where its counterpart is looked up."""
    cls = type if isinstance(value, type) else type(value)  # of a class, its metaclass is no news
    library = cls.__module__.partition(".")[0]
    of = {"agno": f" of agno ({PORTING})", "pydantic_ai": " of pydantic_ai"}.get(library, "")
    return f"{'an' if cls.__name__[0] in 'AEIOU' else 'a'} {cls.__name__}{of}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The name in ``known`` that was probably meant by ``name``."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)), None)


def cure_of(name: str, known: Iterable[str], removed: Mapping[str, str]) -> str:
    """What to do about an option that is not ``known``.

    :param removed: options of Agno's, each with what to do.
    """
    if name in removed:
        return removed[name]
    meant = nearest(name, known)
    return f"did you mean '{meant}'?" if meant else f"it takes {listed(known)}"


def listed(names: Iterable[str]) -> str:
    """Names for a sentence: quoted, separated by commas."""
    return ", ".join(f"'{name}'" for name in names)
