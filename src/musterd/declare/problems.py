"""Problems of declarations: raised at once, or collected while a source is loaded and then reported together.

Code that checks a declaration calls :func:`note`, or raises inside :func:`noted`. Inside :func:`reported_together` the
problem is kept and the check goes on with what is left; anywhere else the error is raised there and then.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from musterd.core.errors import DeclarationError, MusterdError
from musterd.declare.source_location import Place

_PLACE = re.compile(r"(?P<file>.+?):(?P<line>\d+): ")
_LONG_ENOUGH = 4
"""Values of at least this many characters are replaced anywhere in a text, shorter ones only between quotes."""


@dataclass(slots=True)
class _Collection:
    """The problems of one source.

    :param faulty: the places of declarations that have a problem.
    :param variables: values of environment variables, each with the text that is printed in its place.
    """

    problems: list[str] = field(default_factory=list)
    faulty: set[Place] = field(default_factory=set)
    variables: dict[str, str] = field(default_factory=dict)
    is_open: bool = True

    def lines(self) -> list[str]:
        """One line a problem: each once, file by file, in the order of their lines."""
        lines = list(dict.fromkeys(self.without_values(problem) for problem in self.problems))
        places = [_PLACE.match(line) for line in lines]
        files = list(dict.fromkeys(place["file"] if place else "" for place in places))
        keys = [(files.index(place["file"]), int(place["line"])) if place else (files.index(""), 0) for place in places]
        return [line for _, line in sorted(zip(keys, lines, strict=True), key=lambda pair: pair[0])]

    def without_values(self, text: str) -> str:
        """``text`` with the names of variables in place of their values."""
        for value, written in sorted(self.variables.items(), key=lambda pair: len(pair[0]), reverse=True):
            for form in dict.fromkeys((value, repr(value)[1:-1], " ".join(value.split()))):
                if len(form) >= _LONG_ENOUGH:
                    text = text.replace(form, written)
                for part in (form, *re.split(r"[:./]", form)):
                    for quote in "'\"":
                        text = text.replace(f"{quote}{part}{quote}", f"{quote}{written}{quote}") if part else text
        return text


_collection: ContextVar[_Collection | None] = ContextVar("_collection", default=None)


def _open_collection() -> _Collection | None:
    # A task that user code starts while its module is imported keeps this context. It must not report into a
    # collection whose problems have been raised already.
    collection = _collection.get()
    return collection if collection is not None and collection.is_open else None


@contextmanager
def reported_together() -> Iterator[None]:
    """Collect the problems that are noted inside, and raise them together at the end; an outer one collects for all.

    :raises DeclarationError: its message has one line a problem.
    """
    if _open_collection() is not None:
        yield
        return
    collection = _Collection()
    token = _collection.set(collection)
    try:
        yield
    except MusterdError as error:
        if not isinstance(error, DeclarationError) and not collection.problems:
            raise
        collection.problems += error.message.splitlines()
        raise DeclarationError("\n".join(collection.lines())) from error
    finally:
        collection.is_open = False
        _collection.reset(token)
    if collection.problems:
        raise DeclarationError("\n".join(collection.lines()))


@contextmanager
def noted(declared_at: Place | None = None) -> Iterator[None]:
    """Note the error that ends the code inside, and go on after it.

    :param declared_at: the place of the declaration that the code checks.
    :raises DeclarationError: nothing collects problems here.
    """
    try:
        yield
    except DeclarationError as error:
        note(error, declared_at)


def note(error: DeclarationError, declared_at: Place | None = None) -> None:
    """Keep a problem until all are reported.

    :param declared_at: the place of the declaration that has it.
    :raises DeclarationError: nothing collects problems here: ``error`` itself.
    """
    collection = _open_collection()
    if collection is None:
        raise error
    collection.problems += error.message.splitlines()
    if declared_at is not None:
        collection.faulty.add(declared_at)


def is_faulty(declared_at: Place) -> bool:
    """Whether a problem of the declaration at this place was noted: what it lacks may be due to that."""
    collection = _open_collection()
    return collection is not None and declared_at in collection.faulty


def without_values(text: str) -> str:
    """``text`` as it may be printed: without the values that :func:`hide` was given for this source."""
    collection = _open_collection()
    return text if collection is None else collection.without_values(text)


def hide(value: str, written: str) -> None:
    """Keep the value of an environment variable out of the problems that are being collected.

    :param written: what is printed in its place, like ``${NAME}``.
    """
    collection = _open_collection()
    if collection is not None and value:
        collection.variables[value] = written
