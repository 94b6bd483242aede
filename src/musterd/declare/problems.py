"""Problems of declarations: raised immediately, or collected while a source is loaded and reported together.

Code that checks a declaration calls :func:`note`, or raises inside :func:`noting_problems`. Inside
:func:`reported_together` the problem is collected and checking continues. Anywhere else the error is raised.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from musterd.core.errors import DeclarationError, MusterdError
from musterd.declare.source_location import Place

_PLACE = re.compile(r"(?P<file>.+?):(?P<line>\d+): ")
_MIN_LENGTH_UNQUOTED = 4
"""Values of at least this length are redacted anywhere in a text, shorter ones only between quotes."""


@dataclass(slots=True)
class _Collection:
    """The problems of one source.

    :param faulty: the places of declarations that have a problem.
    :param variables: the values of environment variables, with the placeholder that is printed for each.
    """

    problems: list[str] = field(default_factory=list)
    faulty: set[Place] = field(default_factory=set)
    variables: dict[str, str] = field(default_factory=dict)
    is_open: bool = True

    def lines(self) -> list[str]:
        """One line for each distinct problem, grouped by file and sorted by line number."""
        lines = list(dict.fromkeys(self.redact_values(problem) for problem in self.problems))
        matches = [_PLACE.match(line) for line in lines]
        files = list(dict.fromkeys(match["file"] if match else "" for match in matches))
        keys = [
            (files.index(match["file"]), int(match["line"])) if match else (files.index(""), 0) for match in matches
        ]
        return [line for _, line in sorted(zip(keys, lines, strict=True), key=lambda pair: pair[0])]

    def redact_values(self, text: str) -> str:
        """Replace the values of variables in ``text`` by their placeholders."""
        for value, placeholder in sorted(self.variables.items(), key=lambda pair: len(pair[0]), reverse=True):
            for spelling in dict.fromkeys((value, repr(value)[1:-1], " ".join(value.split()))):
                if len(spelling) >= _MIN_LENGTH_UNQUOTED:
                    text = text.replace(spelling, placeholder)
                for part in (spelling, *re.split(r"[:./]", spelling)):
                    for quote in "'\"":
                        text = text.replace(f"{quote}{part}{quote}", f"{quote}{placeholder}{quote}") if part else text
        return text


_collection: ContextVar[_Collection | None] = ContextVar("_collection", default=None)


def _open_collection() -> _Collection | None:
    # A task that user code starts during the import of its module inherits this context. It must not add to a
    # collection whose problems have already been raised.
    collection = _collection.get()
    return collection if collection is not None and collection.is_open else None


@contextmanager
def reported_together() -> Iterator[None]:
    """Collect the problems that are noted inside, and raise them together at the end.

    If nested, the outermost one collects and raises.

    :raises DeclarationError: the message has one line for each problem.
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
def noting_problems(declared_at: Place | None = None) -> Iterator[None]:
    """Note the error that the code inside raises, and continue after the ``with`` block.

    :param declared_at: the place of the declaration that the code checks.
    :raises DeclarationError: problems are not being collected.
    """
    try:
        yield
    except DeclarationError as error:
        note(error, declared_at)


def note(error: DeclarationError, declared_at: Place | None = None) -> None:
    """Collect a problem until all are reported.

    :param declared_at: the place of the declaration that has the problem.
    :raises DeclarationError: ``error`` itself, if problems are not being collected.
    """
    collection = _open_collection()
    if collection is None:
        raise error
    collection.problems += error.message.splitlines()
    if declared_at is not None:
        collection.faulty.add(declared_at)


def is_faulty(declared_at: Place) -> bool:
    """Whether a problem of the declaration at this place was noted, which may be the cause of further problems."""
    collection = _open_collection()
    return collection is not None and declared_at in collection.faulty


def redact_values(text: str) -> str:
    """``text`` without the values that :func:`hide_value` registered for this source."""
    collection = _open_collection()
    return text if collection is None else collection.redact_values(text)


def hide_value(value: str, placeholder: str) -> None:
    """Redact the value of an environment variable in the problems that are being collected.

    :param placeholder: what is printed instead, like ``${NAME}``.
    """
    collection = _open_collection()
    if collection is not None and value:
        collection.variables[value] = placeholder
